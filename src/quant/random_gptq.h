// Random GPTQ tensors for tests and benchmarks.
#pragma once

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "base/range.h"
#include "quant/gptq.h"
#include "tensor/dtype.h"

namespace qnext {

struct RandomGptqOptions {
  int64_t in = 64;
  int64_t out = 16;
  int64_t group_size = 32;  // -1: one group
  bool symmetric = true;    // every zero point 8
  bool act_order = false;   // g_idx is a shuffled sequence
  bool with_g_idx = true;
  GptqFormat format = GptqFormat::kV1;
  DType scale_dtype = DType::kF16;
  uint64_t seed = 1;

  std::string ToString() const {
    return "in=" + std::to_string(in) + " out=" + std::to_string(out) + " group_size=" + std::to_string(group_size) +
           (symmetric ? " sym" : " asym") + (act_order ? " act-order" : "") + (with_g_idx ? "" : " no-g_idx") +
           (format == GptqFormat::kV1 ? " v1 " : " v2 ") + std::string(DTypeName(scale_dtype)) +
           " seed=" + std::to_string(seed);
  }
};

// Owns what a GptqTensors views. Scales lie in (0.005, 0.015), so a weight is at most 0.225.
struct RandomGptq {
  explicit RandomGptq(const RandomGptqOptions& options) {
    std::mt19937_64 random(options.seed);
    const int64_t group_size = options.group_size < 0 ? options.in : options.group_size;
    tensors.in = options.in;
    tensors.out = options.out;
    tensors.groups = CeilDiv(options.in, group_size);
    tensors.format = options.format;
    tensors.scale_dtype = options.scale_dtype;

    qweight.resize(static_cast<size_t>(options.in / 8 * options.out));
    for (int32_t& word : qweight) word = static_cast<int32_t>(random());
    qzeros.resize(static_cast<size_t>(tensors.groups * (options.out / 8)));
    const uint32_t eight = options.format == GptqFormat::kV1 ? 0x77777777u : 0x88888888u;
    for (int32_t& word : qzeros) word = static_cast<int32_t>(options.symmetric ? eight : random());
    std::uniform_real_distribution<float> scale(0.005f, 0.015f);
    scales.resize(static_cast<size_t>(tensors.groups * options.out));
    for (uint16_t& bits : scales) {
      const float value = scale(random);
      bits = options.scale_dtype == DType::kF16 ? FloatToF16(value) : FloatToBF16(value);
    }
    if (options.with_g_idx) {
      g_idx.resize(static_cast<size_t>(options.in));
      for (int64_t i = 0; i < options.in; ++i) g_idx[static_cast<size_t>(i)] = static_cast<int32_t>(i / group_size);
      if (options.act_order) std::shuffle(g_idx.begin(), g_idx.end(), random);
    }
    tensors.qweight = qweight;
    tensors.qzeros = qzeros;
    tensors.scales = scales;
    tensors.g_idx = g_idx;
  }
  RandomGptq(const RandomGptq&) = delete;
  RandomGptq& operator=(const RandomGptq&) = delete;

  std::vector<int32_t> qweight, qzeros, g_idx;
  std::vector<uint16_t> scales;
  GptqTensors tensors;
};

}  // namespace qnext
