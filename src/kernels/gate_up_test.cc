// The fused first half of an expert against the ops that it is made of, which have their own tests against the scalar
// reference.
#include "kernels/gate_up.h"

#include <gtest/gtest.h>

#include "compare.h"
#include "kernels/cpu/matmul_problems.h"

namespace qnext {
namespace {

struct Rows {
  Rows(int64_t m, int64_t in) : padded(RoundUp(in, kInt4BlockInputs)), runs(padded / kInt4BlockInputs) {
    codes.assign(static_cast<size_t>(m * padded), 99);
    scales.assign(static_cast<size_t>(m * runs), -1);
    sums.assign(static_cast<size_t>(m * runs), 99);
  }
  Int8Rows view() { return {.codes = codes.data(), .scales = scales.data(), .sums = sums.data(), .in_padded = padded}; }

  int64_t padded, runs;
  std::vector<int8_t> codes;
  std::vector<float> scales;
  std::vector<int32_t> sums;
};

void CheckShape(int64_t in, int64_t out, int64_t m, bool act_order) {
  SCOPED_TRACE("in=" + std::to_string(in) + " out=" + std::to_string(out) + " m=" + std::to_string(m));
  RandomGptqOptions options;
  options.in = in;
  options.out = out;
  options.act_order = act_order;
  options.seed = static_cast<uint64_t>(in + out + m);
  const Int4Problem gate(options, m);
  options.seed += 1000;
  const Int4Problem up(options, m);
  for (const CpuIsa isa : IsasOfThisMachine()) {
    SCOPED_TRACE(CpuIsaName(isa));
    const Kernels& kernels = CpuKernels(isa);
    Rows x_gate(m, in), x_up(m, in), expected(m, out), actual(m, out);
    const auto quantize = [&](const Int4Problem& problem, Rows& rows) {
      kernels.quantize_rows({.x = gate.x().data(),
                             .permutation = problem.permutation(),
                             .out = rows.view(),
                             .m = m,
                             .in = in,
                             .x_stride = in},
                            {0, m});
    };
    quantize(gate, x_gate);
    quantize(up, x_up);

    std::vector<float> gate_y(static_cast<size_t>(m * out)), up_y(gate_y.size());
    const Range tiles = {0, gate.matrix().layout.tiles()};
    kernels.int4_matmul_i8({.weight = gate.matrix(), .x = x_gate.view(), .y = gate_y.data(), .m = m, .y_stride = out},
                           tiles);
    kernels.int4_matmul_i8({.weight = up.matrix(), .x = x_up.view(), .y = up_y.data(), .m = m, .y_stride = out}, tiles);
    kernels.silu_mul({.gate = gate_y.data(), .up = up_y.data(), .out = gate_y.data(), .dim = out}, {0, m});
    kernels.quantize_rows(
        {.x = gate_y.data(), .permutation = nullptr, .out = expected.view(), .m = m, .in = out, .x_stride = out},
        {0, m});

    const int64_t stride = out + 5;
    std::vector<float> fused_gate(static_cast<size_t>(m * stride)), fused_up(fused_gate.size());
    const GateUpArgs args = {.gate = gate.matrix(),
                             .up = up.matrix(),
                             .x_gate = x_gate.view(),
                             .x_up = x_up.view(),
                             .gate_y = fused_gate.data(),
                             .up_y = fused_up.data(),
                             .activated = actual.view(),
                             .m = m,
                             .y_stride = stride};
    for (const std::vector<Range>& cut : Cuts(args.items())) {
      for (const Range runs : cut) GateUp(kernels, args, runs);
      EXPECT_EQ(actual.codes, expected.codes);
      EXPECT_TRUE(BitEqual(actual.scales, expected.scales));
      EXPECT_EQ(actual.sums, expected.sums);
      for (int64_t row = 0; row < m; ++row) {
        const auto part = [&](const std::vector<float>& y, int64_t row_stride) {
          return std::vector<float>(y.begin() + row * row_stride, y.begin() + row * row_stride + out);
        };
        EXPECT_TRUE(BitEqual(part(fused_gate, stride), part(gate_y, out)));
      }
      std::fill(actual.codes.begin(), actual.codes.end(), int8_t{99});
    }
  }
}

TEST(GateUp, RaggedShapes) {
  for (const int64_t in : {8, 40, 136}) {
    for (const int64_t out : {8, 16, 24, 40, 72, 96}) {
      for (const int64_t m : {1, 3, 11}) CheckShape(in, out, m, /*act_order=*/(in + out + m) % 2 == 0);
    }
  }
}

TEST(GateUp, RealShape) {
  CheckShape(2048, 512, 1, false);
  CheckShape(2048, 512, 10, true);
}

}  // namespace
}  // namespace qnext
