// The first half of an expert as one op: activated = quantized(silu(gate_proj · x) * up_proj · x). Each run of 32
// outputs goes through all of its steps at once, in one thread and in its first cache, and is ready for down_proj; so
// an expert takes two parallel loops instead of three.
#pragma once

#include "kernels/kernels.h"

namespace qnext {

// Items: runs of 32 outputs.
struct GateUpArgs {
  Int4Matrix gate;     // [out, in]
  Int4Matrix up;       // alike
  Int8Rows x_gate;     // m rows, in the input order of gate
  Int8Rows x_up;       // m rows, in that of up: the same memory where the orders are the same
  float* gate_y;       // [m, out], rows y_stride apart: scratch, left as silu(gate) * up
  float* up_y;         // [m, out], alike: scratch
  Int8Rows activated;  // m rows of out inputs, as QuantizeRows without a permutation leaves them
  int64_t m, y_stride;
  const void* next = nullptr;  // as in Int4MatmulI8Args

  int64_t items() const { return CeilDiv(gate.layout.out, kInt4BlockInputs); }
};

// Bit for bit what int4_matmul_i8 (twice), silu_mul and quantize_rows of `kernels` give one after another. Does not
// allocate.
void GateUp(const Kernels& kernels, const GateUpArgs& args, Range runs);

}  // namespace qnext
