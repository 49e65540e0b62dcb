// Everything one sequence carries from token to token: recurrent matrices, convolution history, KV pages.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/aligned_buffer.h"
#include "base/status.h"
#include "config/model_config.h"
#include "kernels/kv_page.h"

namespace qnext {

// The geometry of a sequence's state; a pure value.
struct StateLayout {
  int64_t linear_layers = 0;
  int64_t full_layers = 0;
  int64_t channels = 0;       // C: channels of the convolution
  int64_t value_heads = 0;    // H
  int64_t matrix_floats = 0;  // H*S*S per linear layer
  KvLayout kv;

  static StateLayout For(const ModelConfig& config, KvType kv_type);
  int64_t history_floats() const { return 3 * channels; }
  // What a linear layer needs to replay one draft token: the convolution's input and output, g and beta.
  int64_t draft_floats() const { return 2 * channels + 2 * value_heads; }
  int64_t recurrent_bytes() const { return linear_layers * (matrix_floats + history_floats()) * 4; }
  int64_t page_bytes() const { return full_layers * kv.page_bytes(); }  // one page of every full-attention layer
  int64_t kv_bytes(int64_t tokens) const { return CeilDiv(tokens, kKvPageTokens) * page_bytes(); }
};

using KvPage = std::shared_ptr<AlignedBuffer<std::byte>>;

// A saved state. Immutable; KV pages are shared with the state they came from until one side writes.
struct StateSnapshot {
  int64_t tokens = 0;
  std::vector<float> matrices;
  std::vector<float> history;
  std::vector<KvPage> pages;
};

// One thread at a time. Holds tokens() positions; every layer has seen all of them.
class SequenceState {
 public:
  SequenceState(const StateLayout& layout, int64_t max_tokens);

  const StateLayout& layout() const { return layout_; }
  int64_t tokens() const { return tokens_; }
  int64_t max_tokens() const { return max_tokens_; }

  // Back to an empty sequence; keeps its pages for reuse.
  void Reset();

  // A copy that later Forward calls do not change; Restore makes this state equal to it, bit for bit.
  std::shared_ptr<const StateSnapshot> Snapshot() const;
  void Restore(const StateSnapshot& snapshot);

  // Draft mode: up to kMaxDraftTokens tokens that may be taken back; Model::CommitDraft ends it. No draft inside a
  // draft.
  static constexpr int64_t kMaxDraftTokens = 16;
  void BeginDraft();
  bool drafting() const { return draft_base_ != nullptr; }
  int64_t draft_tokens() const { return drafting() ? tokens_ - draft_base_->tokens : 0; }

  // Allocates pages for positions up to `tokens` ahead of time, so that steps up to there allocate nothing.
  // kResourceExhausted past max_tokens.
  Status Reserve(int64_t tokens);

  // For the layers. Pointers are valid until the next Reserve, MakeWritable, Restore or Reset.
  float* matrices(int64_t linear_layer) {
    return matrices_.data() + linear_layer * layout_.matrix_floats;
  }  // [H, S, S]
  float* history(int64_t linear_layer) { return history_.data() + linear_layer * layout_.history_floats(); }  // [3, C]
  // [kMaxDraftTokens] rows of draft_floats(): convolution input [C], output [C], g [H], beta [H].
  float* draft_row(int64_t linear_layer, int64_t token) {
    return draft_log_.data() + (linear_layer * kMaxDraftTokens + token) * layout_.draft_floats();
  }
  std::byte* const* pages(int64_t full_layer) const { return layer_pages_[static_cast<size_t>(full_layer)].data(); }

  // Reserves, and copies pages in [tokens(), tokens() + count) that a snapshot shares.
  Status MakeWritable(int64_t count);
  void Advance(int64_t count) { tokens_ += count; }

  // For Model::CommitDraft: back to where the draft began, and out of draft mode; returns the tokens that were run.
  int64_t RewindDraft();

 private:
  void SetPage(size_t index, KvPage page);

  StateLayout layout_;
  int64_t max_tokens_ = 0;
  int64_t tokens_ = 0;
  AlignedBuffer<float> matrices_;   // [linear_layers, H*S*S]
  AlignedBuffer<float> history_;    // [linear_layers, 3*C]
  AlignedBuffer<float> draft_log_;  // [linear_layers, kMaxDraftTokens, draft_floats]; made at the first draft
  std::vector<KvPage> pages_;       // page i holds positions 64i .. of every full-attention layer
  std::vector<std::vector<std::byte*>> layer_pages_;  // [full_layers][pages]
  std::shared_ptr<const StateSnapshot> draft_base_;   // set while drafting
};

}  // namespace qnext
