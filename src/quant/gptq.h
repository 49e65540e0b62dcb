// The GPTQ Int4 tensor format, and its plain dequantization: the reference for everything faster. docs/checkpoint.md
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/status.h"
#include "tensor/dtype.h"
#include "tensor/gptq_format.h"

namespace qnext {

// The four tensors of one quantized linear layer, as stored. Views: the memory must outlive the struct.
struct GptqTensors {
  int64_t in = 0;
  int64_t out = 0;
  int64_t groups = 0;                // ceil(in / group_size)
  std::span<const int32_t> qweight;  // [in/8, out]
  std::span<const int32_t> qzeros;   // [groups, out/8]
  std::span<const uint16_t> scales;  // [groups, out], F16 or BF16 bits
  DType scale_dtype = DType::kF16;
  std::span<const int32_t> g_idx;  // [in] or empty: floor(i / group_size)
  GptqFormat format = GptqFormat::kV1;

  // Inputs per group: `in` with one group, else the number of inputs that g_idx gives to group 0, else (no g_idx) the
  // one size of 32, 64, 128, ... or the even division that gives `groups`; 0 when there is none.
  int64_t group_size() const;
  int Code(int64_t row, int64_t input) const;  // 0..15
  int Zero(int64_t row, int64_t group) const;  // 0..15, the zero point in effect
  // Zero points stored as 15 in format "gptq" (v1), which add up to 16: writers disagree whether that means 0 or 16.
  int64_t DisputedZeros() const;
  float Scale(int64_t row, int64_t group) const;
  int64_t Group(int64_t input) const;
};

// Checks sizes, group indices (in range; every group as full as group_size says) and finite scales: kCorrupt, the
// message starting with the tensor's suffix ("scales: ..."). kUnsupported for a group size below `in` that is not a
// multiple of 32, which the packed layout cannot hold.
Status ValidateGptq(const GptqTensors& tensors);

// weights [out, in] row-major float32: scale * (code - zero), one rounding.
std::vector<float> DequantizeGptq(const GptqTensors& tensors);

}  // namespace qnext
