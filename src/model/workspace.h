// The buffers of the forward pass: allocated once for the largest block, reused by every layer.
#pragma once

#include <cstdint>
#include <vector>

#include "base/aligned_buffer.h"
#include "config/model_config.h"
#include "model/linear.h"

namespace qnext {

constexpr int64_t kMaxAttentionSplits = 16;

// T = max_block_tokens, P = T * top (token, expert) pairs. All row-major float32. One thread at a time.
struct Workspace {
  Workspace(const ModelConfig& config, int64_t max_block_tokens, Activations activations, int threads,
            bool experts_share_input, bool experts_dense);

  AlignedBuffer<float> hidden;  // [T, D] the residual stream
  AlignedBuffer<float> normed;  // [T, D]
  AlignedBuffer<float> mixed;   // [T, D] the mixer's or MLP's output
  InputCache inputs;            // prepared forms of the current stage's input

  // DeltaNet
  AlignedBuffer<float> qkvz;           // [T, 2*K*S + 2*H*S]
  AlignedBuffer<float> ba;             // [T, 2*H]
  AlignedBuffer<float> conv;           // [T, C]
  AlignedBuffer<float> decay, beta;    // [T, H] each
  AlignedBuffer<float> delta;          // [T, H*S]
  AlignedBuffer<float> gated;          // [T, H*S]
  AlignedBuffer<float> delta_scratch;  // [threads, scratch_floats]

  // Attention
  AlignedBuffer<float> query_gate;          // [T, Hq*2*Dh]
  AlignedBuffer<float> key, value;          // [T, Hkv*Dh] each
  AlignedBuffer<float> query;               // [T, Hq*Dh] after norm and rope
  AlignedBuffer<float> key_roped;           // [T, Hkv*Dh]
  AlignedBuffer<float> attended;            // [T, Hq*Dh]
  AlignedBuffer<float> partial;             // [kAttentionBlockTokens, Hq, kMaxAttentionSplits, Dh + 2]
  AlignedBuffer<float> attention_scratch;   // [threads, scratch_floats]
  AlignedBuffer<float> rope_cos, rope_sin;  // [T, R/2] each

  // MoE
  AlignedBuffer<float> router_logits;     // [T, E]
  AlignedBuffer<int32_t> experts;         // [T, top]
  AlignedBuffer<float> expert_weights;    // [T, top]
  AlignedBuffer<int64_t> slots;           // [T, top] the pair row of a token's j-th expert
  AlignedBuffer<int32_t> pair_tokens;     // [P] the token of a pair row
  AlignedBuffer<int32_t> pair_experts;    // [P]
  std::vector<int64_t> expert_begin;      // [E + 1] first pair row of each expert
  InputBuffer pair_gate_input;            // [P, D]
  InputBuffer pair_up_input;              // [P, D], only if some up_proj orders its inputs unlike its gate_proj
  AlignedBuffer<float> pair_gate;         // [P, I] then silu(gate) * up
  AlignedBuffer<float> pair_up;           // [P, I]
  InputBuffer pair_down_input;            // [P, I]
  AlignedBuffer<float> pair_out;          // [P, D]
  AlignedBuffer<float> mlp_gate, mlp_up;  // [T, max(shared, dense) width]
  InputBuffer mlp_down_input;             // [T, the same]
  AlignedBuffer<float> shared_gate;       // [T]
  std::vector<Product> products;          // room for 2*E + 3
  std::vector<int64_t> first_item;        // room for 2*E + 4
};

}  // namespace qnext
