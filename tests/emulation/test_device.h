/* What the emulation's own tests share: arrays in device memory, launches, and reports that are expected. */
#pragma once

#include <cuda_runtime.h>
#include <gtest/gtest.h>

#include <numeric>

#include "emulation.h"

constexpr unsigned kAll = 0xFFFFFFFFu;

template <class T>
class Device {  // an array in device memory
public:
    explicit Device(size_t n) : n_(n) { EXPECT_EQ(cudaMalloc(&p_, n * sizeof(T)), cudaSuccess); }
    explicit Device(const std::vector<T> &values) : Device(values.size()) {
        EXPECT_EQ(cudaMemcpy(p_, values.data(), n_ * sizeof(T), cudaMemcpyHostToDevice), cudaSuccess);
        EXPECT_EQ(cudaStreamSynchronize(nullptr), cudaSuccess);  // for streams that do not wait for the default one
    }
    Device(const Device &) = delete;
    ~Device() { cudaFree(p_); }
    operator T *() const { return p_; }
    std::vector<T> get() const {
        std::vector<T> values(n_);
        EXPECT_EQ(cudaMemcpy(values.data(), p_, n_ * sizeof(T), cudaMemcpyDeviceToHost), cudaSuccess);
        return values;
    }

private:
    T *p_ = nullptr;
    size_t n_;
};

inline cudaLaunchConfig_t shape(dim3 grid, dim3 block, size_t shared = 0, cudaStream_t stream = nullptr) {
    cudaLaunchConfig_t config{};
    config.gridDim = grid;
    config.blockDim = block;
    config.dynamicSmemBytes = shared;
    config.stream = stream;
    return config;
}

inline std::vector<int> iota(int n) {
    std::vector<int> v(size_t(n), 0);
    std::iota(v.begin(), v.end(), 0);
    return v;
}

class Emulation : public testing::Test {
protected:
    void SetUp() override { emu::set_seed(0); }
    void TearDown() override {
        EXPECT_EQ(emu::take_report(), "");
        EXPECT_EQ(emu::leaks(), "");
    }
    // Runs what was launched, which is expected to be a misuse; its report.
    static std::string caught() {
        EXPECT_EQ(cudaDeviceSynchronize(), cudaErrorLaunchFailure);
        EXPECT_EQ(cudaGetLastError(), cudaErrorLaunchFailure);
        return emu::take_report();
    }
};
using EmulationDeath = Emulation;

#define EXPECT_CAUGHT(substring) EXPECT_PRED_FORMAT2(testing::IsSubstring, substring, caught())
#define NEEDS(condition, what) \
    if (!(condition)) GTEST_SKIP() << "only seen by " what
