// The CPU's experts against the ops that they are made of, one pair at a time; those have tests of their own.
#include "experts/cpu_experts.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <random>

#include "compare.h"
#include "kernels/cpu/cpu_kernels.h"
#include "kernels/gate_up.h"
#include "quant/random_gptq.h"

namespace qnext {
namespace {

std::vector<CpuIsa> IsasToTest() { return SupportedCpuIsas(DetectCpuFeatures()); }

struct Shape {
  int64_t experts, hidden, intermediate, group_size;
  bool zeros;
};

// Experts of a layer, packed at a stride.
class Layer {
 public:
  explicit Layer(const Shape& shape) {
    for (int64_t e = 0; e < shape.experts; ++e) {
      for (int which = 0; which < 3; ++which) {
        RandomGptqOptions options;
        options.in = which == 2 ? shape.intermediate : shape.hidden;
        options.out = which == 2 ? shape.hidden : shape.intermediate;
        options.group_size = shape.group_size;
        options.symmetric = !shape.zeros;
        options.seed = static_cast<uint64_t>(1 + e * 3 + which);
        const RandomGptq gptq(options);
        Int4Layout layout = Int4LayoutFor(gptq.tensors);
        layout.has_zeros = shape.zeros;
        (which == 2 ? layer.down : layer.gate_up) = layout;
        const int64_t at = which == 0 ? 0 : which == 1 ? layer.gate_up.bytes() : 2 * layer.gate_up.bytes();
        if (layer.stride == 0 && which == 2) {
          layer.stride = 2 * layer.gate_up.bytes() + layer.down.bytes() + 128;
        }
        packed_.emplace_back(at, AlignedBuffer<std::byte>(layout.bytes()));
        PackInt4(gptq.tensors, layout, {}, {}, packed_.back().second.data());
      }
    }
    bytes_ = AlignedBuffer<std::byte>(shape.experts * layer.stride);
    for (size_t i = 0; i < packed_.size(); ++i) {
      std::memcpy(bytes_.data() + static_cast<int64_t>(i / 3) * layer.stride + packed_[i].first,
                  packed_[i].second.data(), static_cast<size_t>(packed_[i].second.size()));
    }
    layer.base = bytes_.data();
  }
  CpuExpertLayer layer;

 private:
  std::vector<std::pair<int64_t, AlignedBuffer<std::byte>>> packed_;
  AlignedBuffer<std::byte> bytes_;
};

struct Codes {
  Codes(int64_t m, int64_t in) : padded(RoundUp(in, kInt4BlockInputs)) {
    codes.resize(static_cast<size_t>(m * padded));
    scales.resize(codes.size() / kInt4BlockInputs);
    sums.resize(scales.size());
  }
  Int8Rows Row(int64_t row) {
    return {.codes = codes.data() + row * padded,
            .scales = scales.data() + row * padded / kInt4BlockInputs,
            .sums = sums.data() + row * padded / kInt4BlockInputs,
            .in_padded = padded};
  }
  int64_t padded;
  std::vector<int8_t> codes;
  std::vector<float> scales;
  std::vector<int32_t> sums;
};

// One pair by the ops themselves.
std::vector<float> OnePair(const Kernels& kernels, const CpuExpertLayer& layer, int64_t expert, const Int8Rows& x) {
  const int64_t intermediate = layer.gate_up.out, dim = layer.down.out;
  const std::byte* base = layer.base + expert * layer.stride;
  std::vector<float> gate(static_cast<size_t>(intermediate)), up(gate.size()), y(static_cast<size_t>(dim));
  Codes hidden(1, intermediate);
  const GateUpArgs args = {.gate = {.layout = layer.gate_up, .data = base},
                           .up = {.layout = layer.gate_up, .data = base + layer.gate_up.bytes()},
                           .x_gate = x,
                           .x_up = x,
                           .gate_y = gate.data(),
                           .up_y = up.data(),
                           .activated = hidden.Row(0),
                           .m = 1,
                           .y_stride = intermediate};
  GateUp(kernels, args, {0, args.items()});
  kernels.int4_matmul_i8({.weight = {.layout = layer.down, .data = base + 2 * layer.gate_up.bytes()},
                          .x = hidden.Row(0),
                          .y = y.data(),
                          .m = 1,
                          .y_stride = dim},
                         {0, layer.down.tiles()});
  return y;
}

void Check(const Shape& shape, int64_t rows, int64_t top, int threads, uint64_t seed) {
  SCOPED_TRACE(::testing::Message() << shape.hidden << "x" << shape.intermediate << ", " << rows << " rows, top " << top
                                    << ", " << threads << " threads");
  Layer made(shape);
  ThreadPool pool(threads);
  std::mt19937_64 random(seed);
  std::normal_distribution<float> normal;
  for (const CpuIsa isa : IsasToTest()) {
    const Kernels& kernels = CpuKernels(isa);
    std::vector<float> x(static_cast<size_t>(rows * shape.hidden));
    for (float& v : x) v = normal(random);
    Codes codes(rows, shape.hidden);
    kernels.quantize_rows({.x = x.data(),
                           .permutation = nullptr,
                           .out = codes.Row(0),
                           .m = rows,
                           .in = shape.hidden,
                           .x_stride = shape.hidden},
                          {0, rows});
    CpuExperts experts(kernels, pool, 8, 8 * top, shape.hidden, shape.intermediate);
    for (int round = 0; round < 3; ++round) {
      std::vector<int32_t> pair_rows, chosen;
      std::vector<float> weights;
      for (int64_t r = 0; r < rows; ++r) {
        std::vector<int32_t> all(static_cast<size_t>(shape.experts));
        for (size_t e = 0; e < all.size(); ++e) all[e] = static_cast<int32_t>(e);
        std::shuffle(all.begin(), all.end(), random);
        for (int64_t j = 0; j < top; ++j) {
          if (round == 1 && random() % 2 == 0) continue;  // a row with fewer, or none
          pair_rows.push_back(static_cast<int32_t>(r));
          chosen.push_back(all[static_cast<size_t>(j)]);
          weights.push_back(std::abs(normal(random)));
        }
      }
      std::vector<float> expected(static_cast<size_t>(rows * shape.hidden)), sum(expected.size(), 99.0f);
      for (size_t i = 0; i < chosen.size(); ++i) {
        const std::vector<float> y = OnePair(kernels, made.layer, chosen[i], codes.Row(pair_rows[i]));
        float* to = expected.data() + pair_rows[i] * shape.hidden;
        for (size_t k = 0; k < y.size(); ++k) to[k] += weights[i] * y[k];
      }
      experts.Run(made.layer, {.rows = pair_rows, .experts = chosen, .weights = weights}, codes.Row(0), rows,
                  sum.data());
      // The same sums in the same order; a compiler may fuse the multiplication with one and not with the other.
      std::vector<double> bound(sum.size());
      for (size_t i = 0; i < chosen.size(); ++i) {
        const std::vector<float> y = OnePair(kernels, made.layer, chosen[i], codes.Row(pair_rows[i]));
        for (size_t k = 0; k < y.size(); ++k) {
          bound[static_cast<size_t>(pair_rows[i] * shape.hidden) + k] +=
              std::abs(static_cast<double>(weights[i]) * static_cast<double>(y[k])) * static_cast<double>(top + 1) *
              0x1p-24;
        }
      }
      EXPECT_TRUE(ElementsWithin(sum, expected, bound));
    }
  }
}

TEST(CpuExperts, GiveWhatTheOpsGive) {
  uint64_t seed = 0;
  for (const int threads : {1, 2, 5}) {
    for (const int64_t rows : {1, 2, 8}) {
      Check({.experts = 6, .hidden = 256, .intermediate = 128, .group_size = 32, .zeros = false}, rows, 3, threads,
            ++seed);
      Check({.experts = 5, .hidden = 96, .intermediate = 160, .group_size = 32, .zeros = true}, rows, 4, threads,
            ++seed);
    }
  }
}

TEST(CpuExperts, TheShapesOfThe80B) {
  Check({.experts = 12, .hidden = 2048, .intermediate = 512, .group_size = 128, .zeros = false}, 1, 10, 2, 77);
}

TEST(CpuExperts, NoPairsGiveZeros) {
  Layer made({.experts = 1, .hidden = 64, .intermediate = 32, .group_size = 32, .zeros = false});
  ThreadPool pool(2);
  CpuExperts experts(CpuKernels(CpuIsa::kGeneric), pool, 8, 8, 64, 32);
  Codes codes(2, 64);
  std::vector<float> sum(128, 99.0f);
  experts.Run(made.layer, {}, codes.Row(0), 2, sum.data());
  EXPECT_EQ(sum, std::vector<float>(128, 0.0f));
}

}  // namespace
}  // namespace qnext
