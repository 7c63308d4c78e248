#include "device_memory.h"

#include <cstdlib>
#include <new>
#include <stdexcept>

#ifdef GURN_TEST_CUDA
#include <cuda_runtime.h>
#endif

namespace gurn_test {

#ifdef GURN_TEST_CUDA
static void check(cudaError_t error) {
    if (error != cudaSuccess) throw std::runtime_error(cudaGetErrorString(error));
}
#endif

void *device_allocate(gurn_device device, size_t bytes) {
    void *memory = nullptr;
    if (device == GURN_DEVICE_CPU) {
        if (posix_memalign(&memory, 256, bytes) != 0) throw std::bad_alloc();
        return memory;
    }
#ifdef GURN_TEST_CUDA
    check(cudaMalloc(&memory, bytes > 0 ? bytes : 1));
#endif
    return memory;
}

void device_free(gurn_device device, void *memory) {
    if (device == GURN_DEVICE_CPU) {
        free(memory);
        return;
    }
#ifdef GURN_TEST_CUDA
    cudaFree(memory);
#endif
}

void device_upload(gurn_device device, void *to, const void *from, size_t bytes) {
    if (bytes == 0) return;
    if (device == GURN_DEVICE_CPU) {
        memcpy(to, from, bytes);
        return;
    }
#ifdef GURN_TEST_CUDA
    check(cudaMemcpy(to, from, bytes, cudaMemcpyHostToDevice));
    check(cudaStreamSynchronize(nullptr)); /* it may not be over yet, and not every stream waits for the default one */
#endif
}

void device_download(gurn_device device, void *to, const void *from, size_t bytes) {
    if (bytes == 0) return;
    if (device == GURN_DEVICE_CPU) {
        memcpy(to, from, bytes);
        return;
    }
#ifdef GURN_TEST_CUDA
    check(cudaMemcpy(to, from, bytes, cudaMemcpyDeviceToHost));
#endif
}

void device_synchronize(gurn_device device) {
    if (device == GURN_DEVICE_CPU) return;
#ifdef GURN_TEST_CUDA
    check(cudaDeviceSynchronize());
#endif
}

/* ------------------------------------------------------------------------------------------------------- DeviceBytes --- */

static bool sees_unwritten(gurn_device device) {
#ifdef GURN_TEST_EMULATED
    return device == GURN_DEVICE_CUDA;
#else
    const char *unfilled = getenv("GURN_TEST_UNFILLED");
    return device == GURN_DEVICE_CUDA && unfilled && *unfilled;
#endif
}

DeviceBytes::DeviceBytes(gurn_device device, size_t bytes, size_t skew)
    : device_(device), bytes_(bytes), skew_(skew), filled_(!sees_unwritten(device)) {
    const size_t whole = kGuard + skew + bytes + kGuard;
    base_ = static_cast<uint8_t *>(device_allocate(device, whole));
    start_ = base_ + kGuard + skew;
    const std::vector<uint8_t> poison(whole, kPoison);
    if (filled_) {
        device_upload(device, base_, poison.data(), whole);
    } else {
        device_upload(device, base_, poison.data(), kGuard + skew);
        device_upload(device, start_ + bytes, poison.data(), kGuard);
    }
}

DeviceBytes::~DeviceBytes() { device_free(device_, base_); }

std::vector<uint8_t> DeviceBytes::download() const {
    std::vector<uint8_t> out(bytes_);
    device_download(device_, out.data(), start_, bytes_);
    return out;
}

static bool all_are(uint8_t value, const uint8_t *at, size_t bytes) {
    for (size_t i = 0; i < bytes; i++)
        if (at[i] != value) return false;
    return true;
}

bool DeviceBytes::untouched() const {
    uint8_t fresh = kPoison;
    if (!filled_) {
#ifdef GURN_TEST_EMULATED
        fresh = 0xFF; /* what the emulation fills memory with */
#else
        return true; /* it held anything */
#endif
    }
    const std::vector<uint8_t> copy = download();
    return all_are(fresh, copy.data(), copy.size());
}

bool DeviceBytes::guards_intact() const {
    const size_t before = kGuard + skew_;
    std::vector<uint8_t> copy(before + kGuard);
    device_download(device_, copy.data(), base_, before);
    device_download(device_, copy.data() + before, start_ + bytes_, kGuard);
    return all_are(kPoison, copy.data(), copy.size());
}

/* --------------------------------------------------------------------------------------------------------- RealArray --- */

static size_t element(gurn_dtype dtype) { return dtype == GURN_FLOAT32 ? sizeof(float) : sizeof(double); }

RealArray::RealArray(gurn_device device, gurn_dtype dtype, size_t count, bool wanted)
    : dtype_(dtype),
      count_(count),
      wanted_(wanted),
      bytes_(device, wanted ? count * element(dtype) : 0, element(dtype)) {}

RealArray::RealArray(gurn_device device, gurn_dtype dtype, const std::vector<double> &values)
    : RealArray(device, dtype, values.size(), !values.empty()) {
    if (dtype == GURN_FLOAT32) {
        const std::vector<float> narrow(values.begin(), values.end());
        bytes_.upload(narrow.data(), narrow.size() * sizeof(float));
    } else {
        bytes_.upload(values.data(), values.size() * sizeof(double));
    }
}

std::vector<double> RealArray::values() const {
    const std::vector<uint8_t> raw = bytes_.download();
    if (dtype_ == GURN_FLOAT32) {
        std::vector<float> narrow(raw.size() / sizeof(float));
        if (!raw.empty()) memcpy(narrow.data(), raw.data(), raw.size());
        return std::vector<double>(narrow.begin(), narrow.end());
    }
    std::vector<double> out(raw.size() / sizeof(double));
    if (!raw.empty()) memcpy(out.data(), raw.data(), raw.size());
    return out;
}

std::vector<double> rounded(gurn_dtype dtype, std::vector<double> values) {
    if (dtype == GURN_FLOAT32)
        for (double &v : values) v = static_cast<double>(static_cast<float>(v));
    return values;
}

}  // namespace gurn_test
