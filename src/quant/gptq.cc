#include "quant/gptq.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/range.h"

namespace qnext {
namespace {

constexpr int64_t kPackedCodes = 8;                         // codes per int32
constexpr int64_t kLargestExtent = (int64_t{1} << 31) - 8;  // so that products of extents fit in 64 bits

uint32_t Nibble(int32_t word, int64_t index) { return (static_cast<uint32_t>(word) >> (4 * index)) & 15u; }

int64_t DeriveGroupSize(int64_t in, int64_t groups) {
  for (int64_t size = 32; size < in; size *= 2) {
    if (CeilDiv(in, size) == groups) return size;
  }
  return in % groups == 0 ? in / groups : 0;
}

Status CheckSize(const char* name, size_t size, int64_t expected) {
  if (static_cast<int64_t>(size) == expected) return {};
  return Corrupt(fmt::format("{}: {} elements, expected {}", name, size, expected));
}

Status CheckGroups(const GptqTensors& tensors) {
  if (!tensors.g_idx.empty()) {
    for (size_t i = 0; i < tensors.g_idx.size(); ++i) {
      if (tensors.g_idx[i] < 0 || tensors.g_idx[i] >= tensors.groups) {
        return Corrupt(fmt::format("g_idx: input {} is in group {} of {}", i, tensors.g_idx[i], tensors.groups));
      }
    }
  }
  const int64_t group_size = tensors.group_size();
  if (group_size <= 0 || CeilDiv(tensors.in, group_size) != tensors.groups) {
    return Corrupt(fmt::format("scales: {} groups do not divide {} inputs evenly", tensors.groups, tensors.in));
  }
  if (!tensors.g_idx.empty()) {
    std::vector<int64_t> filled(static_cast<size_t>(tensors.groups));
    for (const int32_t group : tensors.g_idx) ++filled[static_cast<size_t>(group)];
    for (int64_t group = 0; group < tensors.groups; ++group) {
      const int64_t expected = std::min(group_size, tensors.in - group * group_size);
      if (filled[static_cast<size_t>(group)] != expected) {
        return Corrupt(fmt::format("g_idx: group {} has {} inputs, expected {}", group,
                                   filled[static_cast<size_t>(group)], expected));
      }
    }
  }
  if (group_size < tensors.in && group_size % 32 != 0) {
    return Unsupported(fmt::format("scales: group size {} is not a multiple of 32", group_size));
  }
  return {};
}

Status CheckScales(const GptqTensors& tensors) {
  const uint32_t exponent = tensors.scale_dtype == DType::kF16 ? 0x7c00u : 0x7f80u;
  for (size_t i = 0; i < tensors.scales.size(); ++i) {
    if ((tensors.scales[i] & exponent) == exponent) {
      const auto out = static_cast<size_t>(tensors.out);
      return Corrupt(fmt::format("scales: not finite at group {}, output {}", i / out, i % out));
    }
  }
  return {};
}

}  // namespace

int64_t GptqTensors::group_size() const {
  if (groups == 1) return in;
  if (!g_idx.empty()) return std::count(g_idx.begin(), g_idx.end(), 0);
  return DeriveGroupSize(in, groups);
}

int GptqTensors::Code(int64_t row, int64_t input) const {
  return static_cast<int>(Nibble(qweight[static_cast<size_t>(input / kPackedCodes * out + row)], input % kPackedCodes));
}

int GptqTensors::Zero(int64_t row, int64_t group) const {
  const int32_t word = qzeros[static_cast<size_t>(group * (out / kPackedCodes) + row / kPackedCodes)];
  const uint32_t stored = Nibble(word, row % kPackedCodes);
  return static_cast<int>(format == GptqFormat::kV1 ? (stored + 1) & 15u : stored);
}

int64_t GptqTensors::DisputedZeros() const {
  if (format != GptqFormat::kV1) return 0;
  int64_t count = 0;
  for (const int32_t word : qzeros) {
    for (int64_t i = 0; i < kPackedCodes; ++i) count += Nibble(word, i) == 15u ? 1 : 0;
  }
  return count;
}

float GptqTensors::Scale(int64_t row, int64_t group) const {
  const uint16_t bits = scales[static_cast<size_t>(group * out + row)];
  return scale_dtype == DType::kF16 ? F16ToFloat(bits) : BF16ToFloat(bits);
}

int64_t GptqTensors::Group(int64_t input) const {
  return g_idx.empty() ? input / group_size() : g_idx[static_cast<size_t>(input)];
}

Status ValidateGptq(const GptqTensors& tensors) {
  const auto [in, out, groups] = std::array{tensors.in, tensors.out, tensors.groups};
  if (in <= 0 || in % kPackedCodes != 0 || in > kLargestExtent) {
    return Corrupt(fmt::format("qweight: {} inputs are not a positive multiple of 8", in));
  }
  if (out <= 0 || out % kPackedCodes != 0 || out > kLargestExtent) {
    return Corrupt(fmt::format("qweight: {} outputs are not a positive multiple of 8", out));
  }
  if (groups <= 0 || groups > in) return Corrupt(fmt::format("scales: {} groups of {} inputs", groups, in));
  if (tensors.scale_dtype != DType::kF16 && tensors.scale_dtype != DType::kBF16) {
    return Unsupported(fmt::format("scales: {} is neither F16 nor BF16", DTypeName(tensors.scale_dtype)));
  }
  QNEXT_RETURN_IF_ERROR(CheckSize("qweight", tensors.qweight.size(), in / kPackedCodes * out));
  QNEXT_RETURN_IF_ERROR(CheckSize("qzeros", tensors.qzeros.size(), groups * (out / kPackedCodes)));
  QNEXT_RETURN_IF_ERROR(CheckSize("scales", tensors.scales.size(), groups * out));
  if (!tensors.g_idx.empty()) QNEXT_RETURN_IF_ERROR(CheckSize("g_idx", tensors.g_idx.size(), in));
  QNEXT_RETURN_IF_ERROR(CheckGroups(tensors));
  return CheckScales(tensors);
}

std::vector<float> DequantizeGptq(const GptqTensors& tensors) {
  const int64_t group_size = tensors.group_size();
  std::vector<float> weights(static_cast<size_t>(tensors.in * tensors.out));
  for (int64_t i = 0; i < tensors.in; ++i) {
    const int64_t group = tensors.g_idx.empty() ? i / group_size : tensors.g_idx[static_cast<size_t>(i)];
    for (int64_t row = 0; row < tensors.out; ++row) {
      const int difference = tensors.Code(row, i) - tensors.Zero(row, group);
      weights[static_cast<size_t>(row * tensors.in + i)] = tensors.Scale(row, group) * static_cast<float>(difference);
    }
  }
  return weights;
}

}  // namespace qnext
