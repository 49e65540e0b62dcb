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
  int64_t matrix_floats = 0;   // per linear layer: H*S*S
  int64_t history_floats = 0;  // per linear layer: 3*C
  int64_t keys_floats = 0;     // per linear layer and token of a draft step: what replaying it needs
  KvLayout kv;

  static StateLayout For(const ModelConfig& config, KvType kv_type);
  int64_t recurrent_bytes() const { return linear_layers * (matrix_floats + history_floats) * 4; }
  int64_t kv_bytes(int64_t tokens) const { return CeilDiv(tokens, kKvPageTokens) * full_layers * kv.page_bytes(); }
};

// A saved state: the recurrent part by copy, full KV pages shared, the last unfinished page by copy. Immutable.
struct StateSnapshot;

// One thread at a time. Holds `tokens()` positions; every layer has seen all of them.
class SequenceState {
 public:
  SequenceState(const StateLayout& layout, int64_t max_tokens);

  const StateLayout& layout() const { return layout_; }
  int64_t tokens() const { return tokens_; }
  int64_t max_tokens() const { return max_tokens_; }

  // Back to an empty sequence.
  void Reset();

  // A copy that later Forward calls do not change; Restore makes this state equal to it, bit for bit.
  std::shared_ptr<const StateSnapshot> Snapshot() const;
  void Restore(const StateSnapshot& snapshot);

  // Draft steps: between BeginDraft and Commit, Forward advances the state and records what is needed to go back.
  // Commit(n) keeps the first n tokens run since BeginDraft (0 <= n <= tokens run) and forgets the rest. At most
  // kMaxDraftTokens tokens.
  static constexpr int64_t kMaxDraftTokens = 16;
  void BeginDraft();
  void Commit(int64_t accepted);
  bool drafting() const { return drafting_; }

  // For the layers: pointers are valid until the next EnsurePages, Restore or Commit.
  float* matrices(int64_t linear_layer);  // [H, S, S]
  float* history(int64_t linear_layer);   // [3, C] oldest first
  std::byte* const* pages(int64_t full_layer) const;
  // Makes pages for positions up to `tokens` writable (copies those shared with a snapshot). kResourceExhausted past
  // max_tokens.
  Status EnsurePages(int64_t tokens);
  void Advance(int64_t tokens) { tokens_ += tokens; }

 private:
  using Page = std::shared_ptr<AlignedBuffer<std::byte>>;

  StateLayout layout_;
  int64_t max_tokens_ = 0;
  int64_t tokens_ = 0;
  AlignedBuffer<float> matrices_;  // [linear_layers, H*S*S]
  AlignedBuffer<float> history_;   // [linear_layers, 3*C]
  std::vector<Page> pages_;        // one allocation per kKvPageTokens positions, all full layers in it
  std::vector<std::vector<std::byte*>> layer_pages_;  // [full_layers][pages]
  bool drafting_ = false;
  std::shared_ptr<const StateSnapshot> draft_base_;
};

}  // namespace qnext
