// What the kernel tests share: random inputs, guarded outputs, the tables under test, error units.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <random>
#include <span>
#include <vector>

#include "base/function_ref.h"
#include "kernels/cpu/float_ops.h"
#include "kernels/kernels.h"

namespace qnext::kernels_test {

constexpr double kUnit = 1.0 / (1 << 24);  // u: half the spacing of float32 around 1

// n u / (1 - n u): the bound of n roundings in a row (docs/numerics.md).
inline double Gamma(double n) { return n * kUnit / (1 - n * kUnit); }

inline size_t Index(int64_t i) { return static_cast<size_t>(i); }

class Random {
 public:
  explicit Random(uint32_t seed) : engine_(seed) {}

  float Uniform(double low, double high) {
    return static_cast<float>(std::uniform_real_distribution<double>(low, high)(engine_));
  }
  std::vector<float> Uniform(int64_t n, double low, double high) {
    std::vector<float> out(Index(n));
    for (float& x : out) x = Uniform(low, high);
    return out;
  }
  std::vector<float> Normal(int64_t n, double deviation = 1) {
    std::normal_distribution<double> normal(0, deviation);
    std::vector<float> out(Index(n));
    for (float& x : out) x = static_cast<float>(normal(engine_));
    return out;
  }
  std::mt19937& engine() { return engine_; }

 private:
  std::mt19937 engine_;
};

// An array between two guards. A write outside it, or an element never written (when it began unset), shows.
template <typename T>
class Guarded {
 public:
  explicit Guarded(int64_t n) : n_(Index(n)), data_(n_ + 2 * kGuard) {
    std::memset(data_.data(), kPattern, data_.size() * sizeof(T));
  }
  explicit Guarded(const std::vector<T>& values) : Guarded(static_cast<int64_t>(values.size())) {
    std::memcpy(get(), values.data(), values.size() * sizeof(T));
  }

  T* get() { return data_.data() + kGuard; }
  std::span<const T> span() const { return {data_.data() + kGuard, n_}; }

  ::testing::AssertionResult GuardsIntact() const {
    const auto* bytes = reinterpret_cast<const unsigned char*>(data_.data());
    const size_t guard = kGuard * sizeof(T), size = data_.size() * sizeof(T);
    for (size_t i = 0; i < guard; ++i) {
      if (bytes[i] != kPattern) return ::testing::AssertionFailure() << "written " << guard - i << " bytes before";
      if (bytes[size - 1 - i] != kPattern) {
        return ::testing::AssertionFailure() << "written " << guard - i << " bytes after the end";
      }
    }
    return ::testing::AssertionSuccess();
  }

 private:
  static constexpr size_t kGuard = 32;
  static constexpr unsigned char kPattern = 0xff;  // NaN as a float

  size_t n_;
  std::vector<T> data_;
};

template <typename T>
::testing::AssertionResult BitEqual(std::span<const T> a, std::span<const T> b) {
  if (a.size() != b.size()) return ::testing::AssertionFailure() << "lengths differ: " << a.size() << ", " << b.size();
  for (size_t i = 0; i < a.size(); ++i) {
    if (std::memcmp(&a[i], &b[i], sizeof(T)) != 0) {
      return ::testing::AssertionFailure() << "first differ at " << i << ": " << +a[i] << " and " << +b[i];
    }
  }
  return ::testing::AssertionSuccess();
}

inline Kernels FilledBy(const char* name, void (*fill)(Kernels*)) {
  Kernels kernels{};
  kernels.name = name;
  fill(&kernels);
  return kernels;
}

// The float ops of every instruction set of this machine, the generic ones first.
inline std::vector<Kernels> FloatOpsUnderTest() {
  std::vector<Kernels> all = {FilledBy("generic", SetFloatOpsGeneric)};
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
    all.push_back(FilledBy("avx2", SetFloatOpsAvx2));
  }
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
      __builtin_cpu_supports("avx512dq")) {
    all.push_back(FilledBy("avx512", SetFloatOpsAvx512));
  }
  return all;
}

// How a test covers [0, items): at once, one by one from the end, or in ragged pieces.
enum class Grouping { kWhole, kSinglesBackwards, kRagged };
constexpr Grouping kOtherGroupings[] = {Grouping::kSinglesBackwards, Grouping::kRagged};

inline void ForRanges(Grouping grouping, int64_t items, FunctionRef<void(Range)> body) {
  switch (grouping) {
    case Grouping::kWhole:
      body({0, items});
      break;
    case Grouping::kSinglesBackwards:
      for (int64_t i = items; i > 0; --i) body({i - 1, i});
      break;
    case Grouping::kRagged:
      for (int64_t i = 0, size = 3; i < items; size = size % 7 + 1) {
        const int64_t end = i + size < items ? i + size : items;
        body({i, end});
        i = end;
      }
      break;
  }
}

}  // namespace qnext::kernels_test
