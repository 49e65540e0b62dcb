// Row-wise ops of the GPU forward pass. Formulas: docs/numerics.md.
#pragma once

#include "kernels/cuda/launch.h"
#include "kernels/kernels.h"
#include "tensor/dtype.h"

namespace qnext::cuda {

// hidden[t] = table[ids[t]] widened to float32. The table may be mapped host memory (the hybrid keeps it in RAM).
struct EmbedRowsArgs {
  const void* table;   // [V, D]
  DType dtype;         // F32, F16, BF16
  const int32_t* ids;  // [m]
  float* hidden;       // [m, D]
  int64_t m, dim;
};
Status LaunchEmbedRows(const EmbedRowsArgs& args, Stream stream);

// hidden += addends (in the order given), then normed = hidden / sqrt(mean(hidden^2) + eps) * (1 + weight), given out
// as float32 and/or as int8 codes. The end of every layer half and the beginning of the next, in one pass.
struct AddNormArgs {
  float* hidden;         // [m, D], updated in place
  const float* addend;   // [m, D] or null: a mixer's output, or the weighted sum of the GPU's experts
  const float* addend2;  // [m, D] or null: what the CPU's experts add (may be mapped host memory)
  const float* shared;   // [m, D] or null: added times sigmoid(shared_gate), where the shared expert is not in `addend`
  const float* shared_gate;  // [m], before the sigmoid
  const float* weight;       // [D], zero-centred
  float* normed;             // [m, D] or null
  Int8Rows quantized;        // codes null: not wanted
  int64_t m, dim;
  float eps;
};
Status LaunchAddNorm(const AddNormArgs& args, Stream stream);

// The CPU's quantize_rows: gathers through `permutation` (device, may be null), pads, quantizes.
struct QuantizeArgs {
  const float* x;              // [m, in], rows x_stride apart
  const int32_t* permutation;  // [in] or null
  Int8Rows out;
  int64_t m, in, x_stride;
};
Status LaunchQuantize(const QuantizeArgs& args, Stream stream);

// DeltaNet's output norm over each head (GatedRmsNormArgs), given out as float32 [m, H*S] and/or as int8 codes.
struct GatedNormArgs {
  const float* o;       // [m, H, S]
  const float* qkvz;    // [m, K groups of (q S | k S | v r*S | z r*S)]
  const float* weight;  // [S]
  float* out;           // [m, H*S] or null
  Int8Rows quantized;   // codes null: not wanted
  int64_t m, key_heads, value_heads, head_dim;
  float eps;
};
Status LaunchGatedNorm(const GatedNormArgs& args, Stream stream);

// out = silu(gate) * up of a dense or shared MLP, as float32 and/or int8 codes.
struct SiluMulQuantizeArgs {
  const float* gate;   // [m, dim]
  const float* up;     // [m, dim]
  float* out;          // [m, dim] or null
  Int8Rows quantized;  // codes null: not wanted
  int64_t m, dim;
};
Status LaunchSiluMul(const SiluMulQuantizeArgs& args, Stream stream);

}  // namespace qnext::cuda
