// Gated DeltaNet on the GPU: convolution, gates and the recurrence, for one token of several sequences (decode) or many
// tokens of one (the simple prefill). Formulas: docs/numerics.md.
#pragma once

#include "kernels/cuda/launch.h"

namespace qnext::cuda {

// Row r = s * tokens + t is token t of sequence s. Sequence s keeps its state in slot slots[s]: the matrices at
// state + slot * state_stride, the last three convolution inputs at history + slot * history_stride as a ring of
// kConvRing rows (the row of position p is p mod kConvRing), so that a step overwrites no row that it reads.
constexpr int64_t kConvRing = 4;

struct DeltaStepArgs {
  const float* qkvz;         // [m, K groups of (q S | k S | v r*S | z r*S)], r = H/K
  const float* ba;           // [m, K groups of (b r | a r)]
  const float* conv_weight;  // [C, 4], tap 3 is the current token
  const float* a_log;        // [H]
  const float* dt_bias;      // [H]
  float* conv;           // [m, C] scratch: q, k, v after the convolution and silu (unused where the kernels fuse it)
  float* state;          // [slots][H, S, S] (key, value) of this layer, read and written
  float* history;        // [slots][kConvRing, C]: inputs of the convolution before position start
  float* out;            // [m, H, S]
  const int32_t* slots;  // [sequences]
  const int32_t* positions;  // [m] the position of each row (for the ring); tokens of one sequence are consecutive
  int64_t state_stride, history_stride;  // floats from slot to slot
  int64_t sequences, tokens;             // m = sequences * tokens
  int64_t key_heads, value_heads, head_dim;

  int64_t channels() const { return 2 * key_heads * head_dim + value_heads * head_dim; }
  int64_t qkvz_width() const { return channels() + value_heads * head_dim; }
};
// May be more than one kernel. q and k are L2-normalised and q scaled by 1/sqrt(S). Positions below 0 of the history
// are zeros: the launcher's caller zeroes state and ring of a slot when a sequence begins.
Status LaunchDeltaStep(const DeltaStepArgs& args, Stream stream);

}  // namespace qnext::cuda
