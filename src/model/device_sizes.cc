#include "model/device_sizes.h"

#include <algorithm>

#include "base/range.h"
#include "kernels/cuda/attention.h"
#include "kernels/cuda/delta.h"
#include "quant/int4_matrix.h"

namespace qnext {
namespace {

constexpr int64_t kAlign = 256;  // of CUDA allocations
// What the driver takes for a context and this program's kernels, rounded up: to be replaced by what is measured at
// start.
constexpr int64_t kContextBytes = int64_t{640} << 20;
constexpr int64_t kStagingBytes = int64_t{128} << 20;  // two pieces of 64 MiB: one is filled while the other is copied
constexpr int64_t kProcessBytes = int64_t{1} << 30;    // program, tokenizer, and what the driver keeps in RAM

// Sums up buffers as an arena would lay them out.
class Arena {
 public:
  void Floats(int64_t count) { bytes_ += RoundUp(count * 4, kAlign); }
  void Bytes(int64_t count) { bytes_ += RoundUp(count, kAlign); }
  // Int8 rows: codes, and a scale and a sum for every 32 of them.
  void Int8Rows(int64_t rows, int64_t width) {
    const int64_t padded = RoundUp(width, kInt4BlockInputs);
    Bytes(rows * padded);
    Floats(rows * padded / kInt4BlockInputs);
    Floats(rows * padded / kInt4BlockInputs);
  }
  int64_t bytes() const { return bytes_; }

 private:
  int64_t bytes_ = 0;
};

int64_t ValueWidth(const ModelConfig& c) { return c.linear_num_value_heads * c.linear_head_dim; }
int64_t QueryWidth(const ModelConfig& c) { return c.num_attention_heads * c.head_dim; }
int64_t KeyWidth(const ModelConfig& c) { return c.num_key_value_heads * c.head_dim; }

}  // namespace

int64_t KvPageBytes(const ModelConfig& config, KvType type) {
  const KvLayout layout = {.type = type, .kv_heads = config.num_key_value_heads, .head_dim = config.head_dim};
  const int64_t layers = config.CountLayers(LayerKind::kFullAttention);
  return layers > 0 ? layers * layout.page_bytes() + static_cast<int64_t>(sizeof(int32_t)) : 0;
}

int64_t RecurrentStateBytes(const ModelConfig& config) {
  const int64_t matrices = config.linear_num_value_heads * config.linear_head_dim * config.linear_head_dim;
  const int64_t history = cuda::kConvRing * config.conv_channels();
  return config.CountLayers(LayerKind::kLinearAttention) * (matrices + history) * 4;
}

int64_t WorkspaceBytes(const ModelConfig& c, const DeviceSizeOptions& options) {
  const int64_t decode_rows = std::max<int64_t>(options.parallel, cuda::kMaxDecodeRows);
  const int64_t rows = std::max(decode_rows, std::min(options.block_tokens, options.ctx));
  const int64_t d = c.hidden_size, entries = c.num_experts_per_token + 1;
  Arena arena;
  arena.Floats(std::min(options.super_block, options.ctx) * d);  // the residual stream of a super-block
  arena.Floats(rows * d);                                        // of the block in work
  arena.Floats(rows * d);                                        // normed
  arena.Floats(rows * d);                                        // mixed
  arena.Int8Rows(rows, std::max({d, ValueWidth(c), QueryWidth(c)}));
  if (c.CountLayers(LayerKind::kLinearAttention) > 0) {
    arena.Floats(rows * (c.conv_channels() + ValueWidth(c)));  // qkvz
    arena.Floats(rows * 2 * c.linear_num_value_heads);         // ba
    arena.Floats(rows * c.conv_channels());
    arena.Floats(rows * ValueWidth(c));  // the recurrence's output
    arena.Floats(rows * ValueWidth(c));  // gated
  }
  if (c.CountLayers(LayerKind::kFullAttention) > 0) {
    arena.Floats(rows * 2 * QueryWidth(c));  // query and gate
    arena.Floats(rows * 2 * KeyWidth(c));
    arena.Floats(rows * QueryWidth(c));  // query after norm and rope
    arena.Floats(rows * QueryWidth(c));  // attended
    arena.Floats(rows * c.rotary_dims);  // cos and sin
    arena.Floats(decode_rows * c.num_attention_heads * cuda::kAttentionSplits * (c.head_dim + 2));
  }
  if (c.num_experts > 0) {
    arena.Floats(rows * (c.num_experts + 1));                  // logits of router and shared gate
    for (int i = 0; i < 4; ++i) arena.Floats(rows * entries);  // experts, weights, slots, order
    arena.Int8Rows(rows * entries, std::max(c.moe_intermediate_size, c.shared_expert_intermediate_size));
    arena.Floats(rows * entries * d);  // outputs before they are weighted
  }
  if (c.intermediate_size > 0 && std::ranges::count(c.layer_is_moe, false) > 0) {
    arena.Floats(2 * rows * c.intermediate_size);
    arena.Int8Rows(rows, c.intermediate_size);
  }
  arena.Floats(decode_rows * c.vocab_size);
  return arena.bytes();
}

DeviceSizes DeviceSizesFor(const ModelConfig& config, const DeviceSizeOptions& options) {
  return {.kv_page_tokens = kKvPageTokens,
          .kv_page_bytes = KvPageBytes(config, options.kv_type),
          .state_bytes = RecurrentStateBytes(config),
          .workspace_bytes = WorkspaceBytes(config, options),
          .context_bytes = kContextBytes,
          .staging_bytes = kStagingBytes,
          .process_bytes = kProcessBytes};
}

double PrefillFlopsPerToken(const ModelConfig& c) {
  const auto linear = [](int64_t out, int64_t in) { return 2.0 * static_cast<double>(out * in); };
  const int64_t d = c.hidden_size;
  const double delta = linear(c.conv_channels() + ValueWidth(c) + 2 * c.linear_num_value_heads, d) +
                       linear(d, ValueWidth(c)) +
                       // Reading and writing the state, once each per head.
                       4.0 * static_cast<double>(ValueWidth(c) * c.linear_head_dim);
  const double attention = linear(2 * QueryWidth(c) + 2 * KeyWidth(c), d) + linear(d, QueryWidth(c));
  const double moe = linear(c.num_experts, d) +
                     static_cast<double>(c.num_experts_per_token) * 3 * linear(c.moe_intermediate_size, d) +
                     3 * linear(c.shared_expert_intermediate_size, d);
  const auto moe_layers = std::ranges::count(c.layer_is_moe, true);
  return static_cast<double>(c.CountLayers(LayerKind::kLinearAttention)) * delta +
         static_cast<double>(c.CountLayers(LayerKind::kFullAttention)) * attention +
         static_cast<double>(moe_layers) * moe +
         static_cast<double>(c.num_layers - moe_layers) * 3 * linear(c.intermediate_size, d);
}

}  // namespace qnext
