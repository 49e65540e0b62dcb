// What the tests of the CUDA kernels share: skipping without a device, arrays of device memory between guards.
#pragma once

#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include "base/status.h"

namespace qnext::cuda_test {

// Derived fixtures skip every case, and say why, where there is no device.
class CudaTest : public ::testing::Test {
 protected:
  void SetUp() override {
    int devices = 0;
    const cudaError_t error = cudaGetDeviceCount(&devices);
    if (error != cudaSuccess || devices == 0) GTEST_SKIP() << "no CUDA device: " << cudaGetErrorString(error);
  }
};

inline ::testing::AssertionResult IsOk(const Status& status) {
  if (status.ok()) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure() << status.message();
}

// Waits for the device; what a kernel did wrong shows here.
inline ::testing::AssertionResult Synchronized() {
  const cudaError_t error = cudaDeviceSynchronize();
  if (error == cudaSuccess) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure() << cudaGetErrorString(error);
}

// n elements in device memory, aligned as cudaMalloc aligns, between guards of 256 bytes. Everything is 0xff at first:
// NaN as a float. What a kernel leaves unwritten or writes outside shows.
template <typename T>
class DeviceArray {
 public:
  explicit DeviceArray(int64_t n) : n_(static_cast<size_t>(n)) {
    void* memory = nullptr;
    if (cudaMalloc(&memory, bytes() + 2 * kGuard) != cudaSuccess) ADD_FAILURE() << "no device memory for " << bytes();
    memory_ = static_cast<unsigned char*>(memory);
    Poison();
  }
  explicit DeviceArray(std::span<const T> values) : DeviceArray(static_cast<int64_t>(values.size())) {
    EXPECT_EQ(cudaMemcpy(get(), values.data(), bytes(), cudaMemcpyHostToDevice), cudaSuccess);
  }
  explicit DeviceArray(const std::vector<T>& values) : DeviceArray(std::span<const T>(values)) {}
  DeviceArray(const DeviceArray&) = delete;
  DeviceArray& operator=(const DeviceArray&) = delete;
  ~DeviceArray() { cudaFree(memory_); }

  T* get() { return reinterpret_cast<T*>(memory_ + kGuard); }
  const T* get() const { return reinterpret_cast<const T*>(memory_ + kGuard); }
  int64_t size() const { return static_cast<int64_t>(n_); }

  void Poison() { EXPECT_EQ(cudaMemset(memory_, kPattern, bytes() + 2 * kGuard), cudaSuccess); }
  std::vector<T> Download() const {
    std::vector<T> values(n_);
    EXPECT_EQ(cudaMemcpy(values.data(), get(), bytes(), cudaMemcpyDeviceToHost), cudaSuccess);
    return values;
  }
  ::testing::AssertionResult GuardsIntact() const {
    for (const size_t begin : {size_t{0}, kGuard + bytes()}) {
      unsigned char guard[kGuard];
      if (cudaMemcpy(guard, memory_ + begin, kGuard, cudaMemcpyDeviceToHost) != cudaSuccess) {
        return ::testing::AssertionFailure() << "the guard cannot be read";
      }
      for (const unsigned char byte : guard) {
        if (byte != kPattern) return ::testing::AssertionFailure() << "written " << (begin == 0 ? "before" : "behind");
      }
    }
    return ::testing::AssertionSuccess();
  }

 private:
  static constexpr size_t kGuard = 256;
  static constexpr unsigned char kPattern = 0xff;

  size_t bytes() const { return n_ * sizeof(T); }

  size_t n_;
  unsigned char* memory_ = nullptr;
};

// Output rows that stand 3 floats further apart than they need; those floats must stay as they were.
class DeviceRows {
 public:
  DeviceRows(int64_t m, int64_t out) : m_(m), out_(out), y_(m * (out + 3)) {}

  float* get() { return y_.get(); }
  int64_t stride() const { return out_ + 3; }
  // [m, out]
  std::vector<float> Download() const {
    EXPECT_TRUE(y_.GuardsIntact());
    const std::vector<float> rows = y_.Download();
    std::vector<float> dense;
    for (int64_t i = 0; i < m_; ++i) {
      const float* row = rows.data() + i * stride();
      dense.insert(dense.end(), row, row + out_);
      for (int64_t k = out_; k < stride(); ++k) {
        uint32_t bits;
        std::memcpy(&bits, row + k, sizeof bits);
        EXPECT_EQ(bits, 0xffffffffu) << "written past row " << i;
      }
    }
    return dense;
  }

 private:
  int64_t m_, out_;
  DeviceArray<float> y_;
};

}  // namespace qnext::cuda_test
