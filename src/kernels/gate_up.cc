#include "kernels/gate_up.h"

#include <algorithm>

namespace qnext {

void GateUp(const Kernels& kernels, const GateUpArgs& args, Range runs) {
  constexpr int64_t kTilesPerRun = kInt4BlockInputs / kInt4TileRows;
  const int64_t out = args.gate.layout.out, out_runs = args.activated.in_padded / kInt4BlockInputs;
  const Range tiles = {runs.begin * kTilesPerRun, std::min(runs.end * kTilesPerRun, args.gate.layout.tiles())};
  kernels.int4_matmul_i8({.weight = args.gate,
                          .x = args.x_gate,
                          .y = args.gate_y,
                          .m = args.m,
                          .y_stride = args.y_stride,
                          .next = args.up.codes(tiles.begin)},
                         tiles);
  kernels.int4_matmul_i8(
      {.weight = args.up, .x = args.x_up, .y = args.up_y, .m = args.m, .y_stride = args.y_stride, .next = args.next},
      tiles);
  const int64_t first = runs.begin * kInt4BlockInputs;
  const int64_t count = std::min(runs.end * kInt4BlockInputs, out) - first;
  for (int64_t row = 0; row < args.m; ++row) {
    float* gate = args.gate_y + row * args.y_stride + first;
    const float* up = args.up_y + row * args.y_stride + first;
    kernels.silu_mul({.gate = gate, .up = up, .out = gate, .dim = count}, Range{0, 1});
    kernels.quantize_rows({.x = gate,
                           .permutation = nullptr,
                           .out = {.codes = args.activated.codes + row * args.activated.in_padded + first,
                                   .scales = args.activated.scales + row * out_runs + runs.begin,
                                   .sums = args.activated.sums + row * out_runs + runs.begin,
                                   .in_padded = runs.size() * kInt4BlockInputs},
                           .m = 1,
                           .in = count,
                           .x_stride = count},
                          Range{0, 1});
  }
}

}  // namespace qnext
