# Short names for what CMake and the scripts do. Builds go to build/<preset> (CMakePresets.json).

PREFIX ?= /usr/local
DESTDIR ?=
JOBS ?= $(shell nproc)
CTEST_ARGS ?=
export CTEST_PARALLEL_LEVEL ?= $(JOBS)

.PHONY: help setup demo test bench peers install gpu-bundle test-gpu sass-report ks clean test-cpu test-emulated

help:
	@echo 'make demo           build, then learn the class importances behind real counts (examples/)'
	@echo 'make test           build and run all tests, on the CPU and with the CUDA kernels in emulation'
	@echo 'make test-cpu       those of a build without CUDA'
	@echo 'make bench          build and run the benchmarks (bench/)'
	@echo 'make peers          time other samplers beside this one (bench/README.md)'
	@echo 'make install        build and install (PREFIX=$(PREFIX), DESTDIR=$(DESTDIR))'
	@echo 'make gpu-bundle     pack tests and benchmark for a GPU machine (GPU_ARCH=$(GPU_ARCH)); needs nvcc, no GPU'
	@echo 'make test-gpu       pack them for the GPU of this machine, and run them'
	@echo 'make sass-report    count the instructions of the compiled CUDA kernels; needs nvcc, no GPU'
	@echo 'make ks             the Kolmogorov-Smirnov protocol of the MVHG paper'
	@echo 'make clean          remove build/'

setup:
	@scripts/setup.sh test

configure-%: setup
	cmake --preset $* $(CMAKE_ARGS)

demo: configure-cpu
	cmake --build --preset cpu -j $(JOBS) --target gumbelurn_tool
	examples/demo.sh build/cpu/gumbelurn

test: test-emulated

test-cpu test-emulated: test-%: configure-%
	cmake --build --preset $* -j $(JOBS)
	ctest --preset $* --output-junit $(CURDIR)/build/$*/junit.xml $(CTEST_ARGS)

bench: configure-cpu
	cmake --build --preset cpu -j $(JOBS) --target bench_mvhg
	bench/run.sh build/cpu $(BENCH_ARGS)

# PEERS_ARGS: bench/peers/peers.py --help. PYTHON: one that has NumPy, and the peers in Python.
PYTHON ?= $(firstword $(wildcard .venv/bin/python) python3)
# The target named gumbelurn is the program's file: the library is asked for by its own.
peers: configure-cpu
	cmake --build --preset cpu -j $(JOBS) --target libgumbelurn.so
	$(PYTHON) bench/peers/peers.py --library build/cpu/libgumbelurn.so $(PEERS_ARGS)

install:
	@scripts/setup.sh build
	cmake --preset release $(CMAKE_ARGS)
	cmake --build --preset release -j $(JOBS)
	DESTDIR=$(DESTDIR) cmake --install build/release --prefix $(PREFIX)

# GPU_ARCH: one or several, 90-real,100-real. GO_ARGS: scripts/gpu/go.sh.
GPU_ARCH ?= 90-real
gpu-bundle: setup
	scripts/gpu/bundle.sh --arch '$(GPU_ARCH)'

GO_ARGS ?= all
test-gpu: GPU_ARCH = native
test-gpu: gpu-bundle
	tar -C build/gpu-bundle -xf build/gpu-bundle/gumbelurn-gpu.tar.xz
	build/gpu-bundle/gumbelurn-gpu/go.sh $(GO_ARGS) --out build/gpu-bundle/results

sass-report: setup
	@scripts/setup.sh sass
	bench/sass_report.sh

# KS_ARGS: examples/ks/ks.py --help.
ks: configure-cpu
	@scripts/setup.sh ks
	cmake --build --preset cpu -j $(JOBS) --target gumbelurn_tool
	examples/ks.sh build/cpu/gumbelurn $(KS_ARGS)

clean:
	rm -rf build
