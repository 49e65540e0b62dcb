#include "model/model.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "checkpoint/tensor_list.h"
#include "model/layers.h"
#include "model/weight_arena.h"
#include "model/workspace.h"

namespace qnext {
namespace {

// Below this many tokens the recurrence is as fast as the chunked form, whose products it need not set up.
constexpr int64_t kChunkedMinTokens = 8;

bool AnyExpert(const ModelWeights& weights, bool (*test)(const MlpWeights&)) {
  return std::ranges::any_of(weights.layers,
                             [&](const LayerWeights& layer) { return std::ranges::any_of(layer.moe.experts, test); });
}

bool HasDenseLinear(const MlpWeights& mlp) { return !mlp.gate_proj.is_int4() || !mlp.up_proj.is_int4(); }

// Row `id` of the embedding table as float32.
void EmbedRow(const Linear& table, int64_t id, float* out) {
  const auto* halves = static_cast<const uint16_t*>(table.dense) + id * table.in;
  const auto* floats = static_cast<const float*>(table.dense) + id * table.in;
  for (int64_t i = 0; i < table.in; ++i) {
    out[i] = table.dtype == DType::kF32    ? floats[i]
             : table.dtype == DType::kBF16 ? BF16ToFloat(halves[i])
                                           : F16ToFloat(halves[i]);
  }
}

}  // namespace

struct Model::Impl {
  Impl(const ModelConfig& c, const ModelOptions& o, const Kernels& kernels, ThreadPool& pool)
      : config(c), options(o), ops{.kernels = kernels, .pool = pool, .activations = o.activations} {}

  // Runs one block of ids at the end of `state`; `done` of `total` tokens of this Forward call went before.
  void RunBlock(std::span<const int32_t> ids, SequenceState& state, const ForwardOutputs& outputs, int64_t done,
                int64_t total);
  void Norm(const float* x, const float* weight, float* out, int64_t rows) const;
  // Fills ws->experts where something else than the router chooses: the call's own list, or simulated routing. False:
  // nothing does.
  bool ForceExperts(const int32_t* list, int64_t list_offset, int64_t moe_layer, int64_t start, int64_t tokens) const;
  void Logits(const ForwardOutputs& outputs, int64_t tokens, int64_t done, int64_t total);

  ModelConfig config;
  ModelOptions options;
  OpContext ops;
  WeightArena arena;
  ModelWeights weights;  // in the arena
  std::unique_ptr<Workspace> ws;
};

Model::Model(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Model::~Model() = default;
const ModelConfig& Model::config() const { return impl_->config; }
int64_t Model::disputed_zeros() const { return impl_->weights.disputed_zeros; }
int64_t Model::weight_bytes() const { return impl_->arena.allocated_bytes(); }

Result<std::unique_ptr<Model>> Model::Load(const Checkpoint& checkpoint, const ModelConfig& config,
                                           const ModelOptions& options, const Kernels& kernels, ThreadPool& pool,
                                           const std::function<void(const LoadProgress&)>& progress) {
  QNEXT_RETURN_IF_ERROR(CheckTensors(checkpoint, config));
  return LoadFrom(CheckpointSource(checkpoint), config, options, kernels, pool, progress);
}

Result<std::unique_ptr<Model>> Model::LoadFrom(const TensorSource& source, const ModelConfig& config,
                                               const ModelOptions& options, const Kernels& kernels, ThreadPool& pool,
                                               const std::function<void(const LoadProgress&)>& progress) {
  if (options.max_block_tokens < 1) return InvalidArgument("max_block_tokens: must be at least 1");
  if (options.dense_weights == DenseWeights::kInt8 && options.activations != Activations::kInt8) {
    return InvalidArgument("dense weights: int8 has int8 activations only");
  }
  QNEXT_CHECK(options.routing == nullptr || options.routing->top() == config.num_experts_per_token,
              "the routing was made for another model");
  auto impl = std::make_unique<Impl>(config, options, kernels, pool);
  QNEXT_RETURN_IF_ERROR(LoadWeights(source, config, options.dense_weights, impl->arena, pool, progress, impl->weights));
  const bool separate_up =
      std::ranges::any_of(impl->weights.layers, [](const LayerWeights& l) { return l.moe.separate_up; });
  impl->ws = std::make_unique<Workspace>(config, options.max_block_tokens, options.activations, pool.threads(),
                                         /*experts_share_input=*/!separate_up,
                                         /*experts_dense=*/AnyExpert(impl->weights, HasDenseLinear));
  return std::unique_ptr<Model>(new Model(std::move(impl)));
}

std::unique_ptr<SequenceState> Model::NewSequence(int64_t max_tokens) const {
  return std::make_unique<SequenceState>(StateLayout::For(impl_->config, impl_->options.kv_type), max_tokens);
}

Status Model::Forward(std::span<const int32_t> ids, SequenceState& state, const ForwardOutputs& outputs,
                      const std::function<bool()>& cancelled) {
  const int64_t total = static_cast<int64_t>(ids.size());
  QNEXT_CHECK(outputs.logit_rows <= total, "more logit rows than tokens");
  for (int32_t id : ids) QNEXT_CHECK(id >= 0 && id < impl_->config.vocab_size, "a token id outside the vocabulary");
  if (state.drafting() && state.draft_tokens() + total > SequenceState::kMaxDraftTokens) {
    return ResourceExhausted(fmt::format("a draft holds at most {} tokens", SequenceState::kMaxDraftTokens));
  }
  QNEXT_RETURN_IF_ERROR(state.MakeWritable(total));
  for (int64_t done = 0; done < total;) {
    if (done > 0 && cancelled && cancelled()) return Cancelled("cancelled during prefill");
    const int64_t count = std::min(total - done, impl_->options.max_block_tokens);
    impl_->RunBlock(ids.subspan(static_cast<size_t>(done), static_cast<size_t>(count)), state, outputs, done, total);
    done += count;
  }
  return Status();
}

void Model::Impl::Norm(const float* x, const float* weight, float* out, int64_t rows) const {
  const RmsNormArgs args = {
      .x = x, .weight = weight, .out = out, .dim = config.hidden_size, .eps = static_cast<float>(config.rms_norm_eps)};
  ParallelItems(ops, rows, [&](Range part) { ops.kernels.rms_norm(args, part); });
}

bool Model::Impl::ForceExperts(const int32_t* list, int64_t list_offset, int64_t moe_layer, int64_t start,
                               int64_t tokens) const {
  const int64_t top = config.num_experts_per_token;
  if (list != nullptr) {
    std::copy_n(list + list_offset, tokens * top, ws->experts.data());
    return true;
  }
  if (options.routing == nullptr) return false;
  for (int64_t t = 0; t < tokens; ++t) {
    std::copy_n(options.routing->At(moe_layer, start + t), top, ws->experts.data() + t * top);
  }
  return true;
}

void AddMixed(const BlockContext& block) {
  const int64_t d = block.config.hidden_size;
  ParallelItems(block.ops, block.tokens, [&](Range rows) {
    float* hidden = block.ws.hidden.data();
    const float* mixed = block.ws.mixed.data();
    for (int64_t i = rows.begin * d; i < rows.end * d; ++i) hidden[i] += mixed[i];
  });
}

void Model::Impl::RunBlock(std::span<const int32_t> ids, SequenceState& state, const ForwardOutputs& outputs,
                           int64_t done, int64_t total) {
  const int64_t tokens = static_cast<int64_t>(ids.size()), d = config.hidden_size, top = config.num_experts_per_token;
  const int64_t start = state.tokens();
  const bool chunked = options.chunked_delta_net && !state.drafting() && tokens >= kChunkedMinTokens;
  const BlockContext block = {.config = config,
                              .ops = ops,
                              .state = state,
                              .ws = *ws,
                              .tokens = tokens,
                              .start = start,
                              .chunked_delta_net = chunked};
  float* hidden = ws->hidden.data();
  const auto keep_hidden = [&](int64_t row, const float* from) {
    if (outputs.hidden_states != nullptr)
      std::copy_n(from, tokens * d, outputs.hidden_states + (row * total + done) * d);
  };

  for (int64_t t = 0; t < tokens; ++t) EmbedRow(weights.embed_tokens, ids[static_cast<size_t>(t)], hidden + t * d);
  FillRopeTable(config, start, tokens, ws->rope_cos.data(), ws->rope_sin.data());
  keep_hidden(0, hidden);

  int64_t linear_index = 0, full_index = 0, moe_index = 0;
  for (int64_t l = 0; l < config.num_layers; ++l) {
    const LayerWeights& layer = weights.layers[static_cast<size_t>(l)];
    if (outputs.forced_inputs != nullptr)
      std::copy_n(outputs.forced_inputs + (l * total + done) * d, tokens * d, hidden);

    Norm(hidden, layer.input_layernorm, ws->normed.data(), tokens);
    if (config.layer_kinds[static_cast<size_t>(l)] == LayerKind::kFullAttention) {
      RunAttention(block, layer.self_attn, full_index++);
    } else {
      RunDeltaNet(block, layer.linear_attn, linear_index++);
    }
    AddMixed(block);

    Norm(hidden, layer.post_attention_layernorm, ws->normed.data(), tokens);
    if (config.layer_is_moe[static_cast<size_t>(l)]) {
      const int64_t offset = (moe_index * total + done) * top;
      const bool forced = ForceExperts(outputs.forced_experts, offset, moe_index++, start, tokens);
      RunMoe(block, layer.moe, forced);
      if (outputs.experts != nullptr) std::copy_n(ws->experts.data(), tokens * top, outputs.experts + offset);
      if (outputs.expert_weights != nullptr) {
        std::copy_n(ws->expert_weights.data(), tokens * top, outputs.expert_weights + offset);
      }
    } else {
      RunDenseMlp(block, layer.mlp);
    }
    if (l + 1 < config.num_layers) keep_hidden(l + 1, hidden);
  }
  state.Advance(tokens);

  if (outputs.hidden_states != nullptr) {
    Norm(hidden, weights.norm, ws->normed.data(), tokens);
    keep_hidden(config.num_layers, ws->normed.data());
  }
  Logits(outputs, tokens, done, total);
}

void Model::Impl::Logits(const ForwardOutputs& outputs, int64_t tokens, int64_t done, int64_t total) {
  // Rows wanted are the last logit_rows of the whole call; this block holds some of them or none.
  const int64_t first_wanted = std::max(total - outputs.logit_rows, done);
  const int64_t rows = done + tokens - first_wanted;
  if (outputs.logits == nullptr || rows <= 0) return;
  const int64_t d = config.hidden_size;
  float* normed = ws->normed.data();
  Norm(ws->hidden.data() + (first_wanted - done) * d, weights.norm, normed, rows);
  ws->inputs.Clear();
  ws->products.clear();
  ws->products.push_back({.weight = &weights.lm_head,
                          .input = ws->inputs.Get(ops, weights.lm_head, normed, rows, d),
                          .y = outputs.logits + (first_wanted - (total - outputs.logit_rows)) * config.vocab_size,
                          .y_stride = config.vocab_size});
  RunProducts(ops, ws->products, ws->first_item);
}

void Model::CommitDraft(SequenceState& state, int64_t accepted) {
  const ModelConfig& c = impl_->config;
  const int64_t channels = c.conv_channels(), heads = c.linear_num_value_heads;
  QNEXT_CHECK(accepted >= 0 && accepted <= state.draft_tokens(), "cannot accept more draft tokens than were run");
  state.RewindDraft();
  for (int64_t layer = 0; layer < state.layout().linear_layers; ++layer) {
    float* history = state.history(layer);
    for (int64_t t = 0; t < accepted; ++t) {
      const float* row = state.draft_row(layer, t);
      std::copy_n(history + channels, 2 * channels, history);
      std::copy_n(row, channels, history + 2 * channels);
      const DeltaArgs step = {.qkv = row + channels,
                              .g = row + 2 * channels,
                              .beta = row + 2 * channels + heads,
                              .state = state.matrices(layer),
                              .out = impl_->ws->delta.data(),
                              .scratch = nullptr,
                              .tokens = 1,
                              .key_heads = c.linear_num_key_heads,
                              .value_heads = heads,
                              .head_dim = c.linear_head_dim};
      ParallelItems(impl_->ops, step.recurrent_items(),
                    [&](Range items) { impl_->ops.kernels.delta_recurrent(step, items); });
    }
  }
  state.Advance(accepted);
}

}  // namespace qnext
