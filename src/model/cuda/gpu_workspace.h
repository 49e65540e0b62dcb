// The buffers of the forward pass on a GPU: laid out once for the largest block, reused by every layer.
#pragma once

#include <cstdint>

#include "base/arena.h"
#include "config/model_config.h"
#include "kernels/cuda/experts.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/sampling.h"
#include "kernels/kernels.h"

namespace qnext {

// The rows of a call: what each is and which sequence it belongs to.
struct GpuRows {
  int32_t* ids = nullptr;        // [m]
  int32_t* positions = nullptr;  // [m]
  int32_t* slots = nullptr;      // [m]
};

struct GpuWorkspaceShape {
  int64_t rows = 0;              // the largest block, at least kMaxDecodeRows
  int64_t slots = 1;             // sequences
  int64_t vocab_end = 0;         // ids that can be chosen
  bool ordered_experts = false;  // act-order
};

// A block of a prompt. Every block reads all weights, and experts that are in RAM cross the link once for each; a
// token's activations take about 0.18 MB with the 80B's shapes.
constexpr int64_t kPromptBlock = 4096;
// Rows of logits that exist at a time.
constexpr int64_t kLogitRows = cuda::kMaxDecodeRows;
// Orders of inputs that the linears of one stage may have besides the plain one.
constexpr int kMaxInputOrders = 4;

// m rows of a call, P = m * (top + 1) pairs of a row and an expert (the last is the shared one). Row-major float32
// unless said otherwise. Pointers are null while the arena counts.
struct GpuWorkspace {
  static GpuWorkspace LayOut(const ModelConfig& config, const GpuWorkspaceShape& shape, Arena& vram);

  GpuRows block_rows;        // [rows] of a prefill block
  GpuRows decode_rows;       // [kMaxDecodeRows]: ids and positions move on by themselves from step to step
  uint32_t* step = nullptr;  // number of the last finished decode step

  float* hidden = nullptr;                 // [m, D] the residual stream
  float* normed = nullptr;                 // [m, D]
  Int8Rows normed_codes = {};              // [m, D]
  float* mixed = nullptr;                  // [m, D] a mixer's output
  Int8Rows ordered[kMaxInputOrders] = {};  // [m, widest input] gathered and quantized

  // DeltaNet
  float* qkvz = nullptr;   // [m, 2*K*S + 2*H*S]
  float* ba = nullptr;     // [m, 2*H]
  float* conv = nullptr;   // [m, C]
  float* delta = nullptr;  // [m, H*S]
  float* gated = nullptr;  // [m, H*S]
  Int8Rows gated_codes = {};

  // Attention
  float* query_gate = nullptr;             // [m, Hq*2*Dh]
  float *key = nullptr, *value = nullptr;  // [m, Hkv*Dh]
  float* query = nullptr;                  // [m, Hq*Dh]
  float* partial = nullptr;                // AttentionPartialFloats
  float* attended = nullptr;               // [m, Hq*Dh]
  Int8Rows attended_codes = {};
  double* rope_frequencies = nullptr;              // [R/2]
  float *rope_cos = nullptr, *rope_sin = nullptr;  // [m, R/2]

  // MoE
  float* router_logits = nullptr;   // [m, E]
  float* shared_gate = nullptr;     // [m]
  int32_t* forced = nullptr;        // [moe layers, m, top] experts that somebody else has chosen
  int32_t* experts = nullptr;       // [m, top]
  float* expert_weights = nullptr;  // [m, top]
  int32_t* entry_slots = nullptr;   // [m, top + 1]
  float* entry_weights = nullptr;   // [m, top + 1]
  Int8Rows entry_inputs = {};       // [P, D] act-order only
  Int8Rows entry_up_inputs = {};    // the same
  Int8Rows entry_hidden = {};       // [P, I]
  int32_t* group_counts = nullptr;  // [E + 2]
  int32_t* group_pairs = nullptr;   // [P]
  float* pair_out = nullptr;        // [P, D]
  float* moe_out = nullptr;         // [m, D]
  float *mlp_gate = nullptr, *mlp_up = nullptr, *mlp_hidden = nullptr;  // [m, width of a shared or dense MLP]
  Int8Rows mlp_codes = {};
  float* mlp_out = nullptr;  // [m, D]

  // Choice of tokens
  float* logits = nullptr;                // [kLogitRows, V]
  int32_t* chosen = nullptr;              // [kMaxDecodeRows], -1: the logits were broken
  cuda::SamplingRow* sampling = nullptr;  // [slots]
  uint32_t* answer_counts = nullptr;      // [slots, vocab_end]
  uint8_t* seen = nullptr;                // the same
  float* bias = nullptr;                  // the same
  float* sampling_scratch = nullptr;
};

}  // namespace qnext
