// For the tests of this folder: the tiny checkpoint's references and the rules by which a model agrees with them
// (docs/numerics.md).
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "base/check.h"
#include "checkpoint/safetensors.h"
#include "kernels/cpu/cpu_kernels.h"
#include "model/model.h"

namespace qnext {

inline const std::string kTiny = QNEXT_SOURCE_DIR "/models/tiny";

// tests/golden/reference.safetensors, read once.
class Golden {
 public:
  Golden() {
    Result<SafetensorsFile> file = SafetensorsFile::Open(QNEXT_SOURCE_DIR "/tests/golden/reference.safetensors");
    QNEXT_CHECK(file.ok(), file.status().message().c_str());
    for (const TensorInfo& info : file->tensors()) {
      std::vector<std::byte> raw(static_cast<size_t>(info.bytes));
      QNEXT_CHECK(file->Read(info, raw).ok(), "golden file");
      if (info.dtype == DType::kI32) {
        ints_[info.name].assign(reinterpret_cast<const int32_t*>(raw.data()),
                                reinterpret_cast<const int32_t*>(raw.data()) + info.bytes / 4);
      } else {
        floats_[info.name].assign(reinterpret_cast<const float*>(raw.data()),
                                  reinterpret_cast<const float*>(raw.data()) + info.bytes / 4);
      }
    }
  }
  const std::vector<int32_t>& ids(int prompt) const { return ints_.at(std::to_string(prompt) + ".input_ids"); }
  const std::vector<int32_t>& greedy(int prompt) const { return ints_.at(std::to_string(prompt) + ".greedy_ids"); }
  const std::vector<float>& logits(int prompt) const { return floats_.at(std::to_string(prompt) + ".logits"); }
  const std::vector<float>& hidden(int prompt) const { return floats_.at(std::to_string(prompt) + ".hidden_states"); }

 private:
  std::map<std::string, std::vector<float>> floats_;
  std::map<std::string, std::vector<int32_t>> ints_;
};

inline const Golden& TheGolden() {
  static const Golden golden;
  return golden;
}

inline const Kernels& BestKernels() {
  Result<const Kernels*> kernels = SelectCpuKernels(DetectCpuFeatures(), std::nullopt);
  QNEXT_CHECK(kernels.ok(), "no kernels");
  return **kernels;
}

constexpr ModelOptions kFloat = {.activations = Activations::kFloat32, .kv_type = KvType::kF32};
constexpr ModelOptions kInt8 = {.activations = Activations::kInt8, .kv_type = KvType::kBF16};

// numerics.md: the arg-max equals the reference's wherever its top-2 gap is at least `gap`.
inline void ExpectArgMax(const std::vector<float>& actual, const std::vector<float>& expected, size_t vocab,
                         float gap) {
  for (size_t t = 0; t < expected.size() / vocab; ++t) {
    const auto row = expected.begin() + static_cast<std::ptrdiff_t>(t * vocab);
    const auto best = std::max_element(row, row + static_cast<std::ptrdiff_t>(vocab));
    float second = -INFINITY;
    for (auto it = row; it != row + static_cast<std::ptrdiff_t>(vocab); ++it) {
      if (it != best) second = std::max(second, *it);
    }
    if (*best - second < gap) continue;
    const auto mine = actual.begin() + static_cast<std::ptrdiff_t>(t * vocab);
    const auto my_best = std::max_element(mine, mine + static_cast<std::ptrdiff_t>(vocab));
    EXPECT_EQ(my_best - mine, best - row) << "position " << t << ", reference gap " << *best - second;
  }
}

inline double CrossEntropy(const std::vector<float>& logits, const std::vector<int32_t>& ids, size_t vocab) {
  double sum = 0;
  for (size_t t = 0; t + 1 < ids.size(); ++t) {
    const float* row = logits.data() + t * vocab;
    const double top = *std::max_element(row, row + vocab);
    double total = 0;
    for (size_t v = 0; v < vocab; ++v) total += std::exp(static_cast<double>(row[v]) - top);
    sum += top + std::log(total) - static_cast<double>(row[static_cast<size_t>(ids[t + 1])]);
  }
  return sum / static_cast<double>(ids.size() - 1);
}

}  // namespace qnext
