#include "model/sequence_state.h"

#include <fmt/format.h>

#include <algorithm>
#include <new>

#include "base/check.h"

namespace qnext {

StateLayout StateLayout::For(const ModelConfig& config, KvType kv_type) {
  return {.linear_layers = config.CountLayers(LayerKind::kLinearAttention),
          .full_layers = config.CountLayers(LayerKind::kFullAttention),
          .channels = config.conv_channels(),
          .value_heads = config.linear_num_value_heads,
          .matrix_floats = config.linear_num_value_heads * config.linear_head_dim * config.linear_head_dim,
          .kv = {.type = kv_type, .kv_heads = config.num_key_value_heads, .head_dim = config.head_dim}};
}

SequenceState::SequenceState(const StateLayout& layout, int64_t max_tokens)
    : layout_(layout),
      max_tokens_(max_tokens),
      matrices_(layout.linear_layers * layout.matrix_floats),
      history_(layout.linear_layers * layout.history_floats()),
      layer_pages_(static_cast<size_t>(layout.full_layers)) {
  const size_t pages = static_cast<size_t>(CeilDiv(max_tokens, kKvPageTokens));
  pages_.reserve(pages);
  for (std::vector<std::byte*>& layer : layer_pages_) layer.reserve(pages);
}

void SequenceState::Reset() {
  QNEXT_CHECK(!drafting(), "a draft ends with CommitDraft");
  tokens_ = 0;
  std::ranges::fill(matrices_.span(), 0.0f);
  std::ranges::fill(history_.span(), 0.0f);
}

std::shared_ptr<const StateSnapshot> SequenceState::Snapshot() const {
  auto snapshot = std::make_shared<StateSnapshot>();
  snapshot->tokens = tokens_;
  snapshot->matrices.assign(matrices_.span().begin(), matrices_.span().end());
  snapshot->history.assign(history_.span().begin(), history_.span().end());
  const auto used = static_cast<std::ptrdiff_t>(CeilDiv(tokens_, kKvPageTokens));
  snapshot->pages.assign(pages_.begin(), pages_.begin() + used);
  return snapshot;
}

void SequenceState::Restore(const StateSnapshot& snapshot) {
  QNEXT_CHECK(static_cast<int64_t>(snapshot.matrices.size()) == matrices_.size() && snapshot.tokens <= max_tokens_,
              "the snapshot belongs to another model or a longer sequence");
  tokens_ = snapshot.tokens;
  std::ranges::copy(snapshot.matrices, matrices_.data());
  std::ranges::copy(snapshot.history, history_.data());
  for (size_t i = 0; i < snapshot.pages.size(); ++i) SetPage(i, snapshot.pages[i]);
}

void SequenceState::BeginDraft() {
  QNEXT_CHECK(!drafting(), "no draft inside a draft");
  if (draft_log_.size() == 0) {
    draft_log_ = AlignedBuffer<float>(layout_.linear_layers * kMaxDraftTokens * layout_.draft_floats());
  }
  draft_base_ = Snapshot();
}

int64_t SequenceState::RewindDraft() {
  QNEXT_CHECK(drafting(), "there is no draft to end");
  const int64_t run = draft_tokens();
  const std::shared_ptr<const StateSnapshot> base = std::move(draft_base_);
  draft_base_ = nullptr;
  // The pages written since stay: what the draft appended is right for the tokens that will be kept.
  tokens_ = base->tokens;
  std::ranges::copy(base->matrices, matrices_.data());
  std::ranges::copy(base->history, history_.data());
  return run;
}

Status SequenceState::Reserve(int64_t tokens) {
  if (tokens > max_tokens_) {
    return ResourceExhausted(fmt::format("{} tokens do not fit into the context of {}", tokens, max_tokens_));
  }
  const size_t pages = static_cast<size_t>(CeilDiv(tokens, kKvPageTokens));
  try {
    while (pages_.size() < pages) {
      SetPage(pages_.size(), std::make_shared<AlignedBuffer<std::byte>>(layout_.page_bytes()));
    }
  } catch (const std::bad_alloc&) {
    return ResourceExhausted(fmt::format("the system has no memory for the KV cache of {} tokens", tokens));
  }
  return Status();
}

Status SequenceState::MakeWritable(int64_t count) {
  QNEXT_RETURN_IF_ERROR(Reserve(tokens_ + count));
  const size_t first = static_cast<size_t>(tokens_ / kKvPageTokens);
  const size_t last = static_cast<size_t>(CeilDiv(tokens_ + count, kKvPageTokens));
  for (size_t i = first; i < last; ++i) {
    if (pages_[i].use_count() == 1) continue;
    auto copy = std::make_shared<AlignedBuffer<std::byte>>(layout_.page_bytes());
    std::ranges::copy(pages_[i]->span(), copy->data());
    SetPage(i, std::move(copy));
  }
  return Status();
}

void SequenceState::SetPage(size_t index, KvPage page) {
  QNEXT_CHECK(index <= pages_.size(), "pages are added in order");
  const bool added = index == pages_.size();
  for (size_t layer = 0; layer < layer_pages_.size(); ++layer) {
    std::byte* data = page->data() + static_cast<int64_t>(layer) * layout_.kv.page_bytes();
    if (added) {
      layer_pages_[layer].push_back(data);
    } else {
      layer_pages_[layer][index] = data;
    }
  }
  if (added) {
    pages_.push_back(std::move(page));
  } else {
    pages_[index] = std::move(page);
  }
}

}  // namespace qnext
