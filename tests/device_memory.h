/* The only place where tests touch the memory of a device: plain memory for a CPU context, cudaMalloc for a CUDA context. */
#ifndef GURN_TESTS_DEVICE_MEMORY_H
#define GURN_TESTS_DEVICE_MEMORY_H

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "gumbelurn.h"

namespace gurn_test {

void *device_allocate(gurn_device device, size_t bytes);
void device_free(gurn_device device, void *memory);
void device_upload(gurn_device device, void *to, const void *from, size_t bytes);
void device_download(gurn_device device, void *to, const void *from, size_t bytes);
void device_synchronize(gurn_device device);

/*
 * Bytes in device memory, at first all poison, between two guard zones that are poison for ever. Under AddressSanitizer there
 * are no zones, so that it sees reads beyond the end too. `skew` moves the start away from its 256-byte alignment.
 *
 * Where something sees reads of what nobody has written, the bytes are left as they come: in emulation, and on a GPU where
 * GURN_TEST_UNFILLED is set in the environment, for compute-sanitizer --tool initcheck.
 */
class DeviceBytes {
public:
    static constexpr uint8_t kPoison =
        0xCB; /* as float -2.7e7, as double -1.5e57: no value that the library would write */
#if defined(__SANITIZE_ADDRESS__)
    static constexpr size_t kGuard = 0;
#else
    static constexpr size_t kGuard = 256;
#endif

    DeviceBytes(gurn_device device, size_t bytes, size_t skew = 0);
    ~DeviceBytes();
    DeviceBytes(const DeviceBytes &) = delete;
    DeviceBytes &operator=(const DeviceBytes &) = delete;

    void *data() const { return start_; }
    size_t size() const { return bytes_; }
    void upload(const void *from, size_t bytes) { device_upload(device_, start_, from, bytes); }
    std::vector<uint8_t> download() const;
    bool untouched() const; /* every byte is as it was; always so where GURN_TEST_UNFILLED leaves nothing to tell by */
    bool guards_intact() const; /* nothing was written around it */

private:
    gurn_device device_;
    size_t bytes_, skew_;
    bool filled_;
    uint8_t *base_, *start_;
};

/* An array of T in device memory; data() is NULL when it was made without a count. Starts only element-aligned. */
template <class T>
class DeviceArray {
public:
    DeviceArray(gurn_device device, const std::vector<T> &values)
        : bytes_(device, values.size() * sizeof(T), sizeof(T)), null_(values.empty()) {
        if (!values.empty()) bytes_.upload(values.data(), values.size() * sizeof(T));
    }
    T *data() const { return null_ ? nullptr : static_cast<T *>(bytes_.data()); }

private:
    DeviceBytes bytes_;
    bool null_;
};

/* An array of float or double as the dtype says, seen from the tests as double (which loses nothing). */
class RealArray {
public:
    RealArray(gurn_device device, gurn_dtype dtype, size_t count, bool wanted = true);
    RealArray(gurn_device device, gurn_dtype dtype, const std::vector<double> &values); /* NULL when values is empty */

    void *data() const { return wanted_ ? bytes_.data() : nullptr; }
    size_t count() const { return count_; }
    std::vector<double> values() const; /* empty when not wanted */
    const DeviceBytes &bytes() const { return bytes_; }

private:
    gurn_dtype dtype_;
    size_t count_;
    bool wanted_;
    DeviceBytes bytes_;
};

/* Values as they are after rounding to the dtype. */
std::vector<double> rounded(gurn_dtype dtype, std::vector<double> values);

}  // namespace gurn_test

#endif
