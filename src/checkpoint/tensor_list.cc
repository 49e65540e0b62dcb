#include "checkpoint/tensor_list.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace qnext {
namespace {

// Appends the tensors of one layer or of the whole model.
class ListBuilder {
 public:
  explicit ListBuilder(const ModelConfig& config) : config_(config) {}

  std::vector<ExpectedTensor> Build() {
    const int64_t d = config_.hidden_size;
    list_.push_back({"model.embed_tokens.weight", TensorRole::kEmbedding, {config_.vocab_size, d}, false});
    for (int64_t layer = 0; layer < config_.num_layers; ++layer) AddLayer(layer);
    Vector("model.norm.weight", {d});
    if (!config_.tie_word_embeddings) {
      const bool quantized = config_.quantization.has_value() && config_.quantization->lm_head();
      list_.push_back({"lm_head", TensorRole::kLinear, {config_.vocab_size, d}, quantized});
    }
    return std::move(list_);
  }

 private:
  void Vector(std::string name, Shape shape) {
    list_.push_back({std::move(name), TensorRole::kVector, std::move(shape), false});
  }
  void Linear(std::string module, int64_t out, int64_t in) {
    list_.push_back({std::move(module), TensorRole::kLinear, {out, in}, true});
  }
  void DenseLinear(std::string module, int64_t out, int64_t in) {
    list_.push_back({std::move(module), TensorRole::kLinear, {out, in}, false});
  }

  void AddLayer(int64_t layer) {
    const std::string prefix = fmt::format("model.layers.{}.", layer);
    const auto i = static_cast<size_t>(layer);
    Vector(prefix + "input_layernorm.weight", {config_.hidden_size});
    if (config_.layer_kinds[i] == LayerKind::kLinearAttention) {
      AddLinearAttention(prefix + "linear_attn.");
    } else {
      AddFullAttention(prefix + "self_attn.");
    }
    Vector(prefix + "post_attention_layernorm.weight", {config_.hidden_size});
    if (config_.layer_is_moe[i]) {
      AddMoe(prefix + "mlp.");
    } else {
      AddMlp(prefix + "mlp.", config_.intermediate_size);
    }
  }

  void AddLinearAttention(const std::string& prefix) {
    const int64_t keys = config_.linear_num_key_heads * config_.linear_head_dim;
    const int64_t values = config_.linear_num_value_heads * config_.linear_head_dim;
    const int64_t heads = config_.linear_num_value_heads;
    Linear(prefix + "in_proj_qkvz", 2 * keys + 2 * values, config_.hidden_size);
    Linear(prefix + "in_proj_ba", 2 * heads, config_.hidden_size);
    Vector(prefix + "conv1d.weight", {config_.conv_channels(), 1, config_.linear_conv_kernel});
    Vector(prefix + "A_log", {heads});
    Vector(prefix + "dt_bias", {heads});
    Vector(prefix + "norm.weight", {config_.linear_head_dim});
    Linear(prefix + "out_proj", config_.hidden_size, values);
  }

  void AddFullAttention(const std::string& prefix) {
    const int64_t queries = config_.num_attention_heads * config_.head_dim;
    const int64_t keys = config_.num_key_value_heads * config_.head_dim;
    Linear(prefix + "q_proj", 2 * queries, config_.hidden_size);  // query and gate
    Linear(prefix + "k_proj", keys, config_.hidden_size);
    Linear(prefix + "v_proj", keys, config_.hidden_size);
    Linear(prefix + "o_proj", config_.hidden_size, queries);
    Vector(prefix + "q_norm.weight", {config_.head_dim});
    Vector(prefix + "k_norm.weight", {config_.head_dim});
  }

  void AddMoe(const std::string& prefix) {
    DenseLinear(prefix + "gate", config_.num_experts, config_.hidden_size);
    if (config_.shared_expert_intermediate_size > 0) {
      DenseLinear(prefix + "shared_expert_gate", 1, config_.hidden_size);
      AddMlp(prefix + "shared_expert.", config_.shared_expert_intermediate_size);
    }
    for (int64_t expert = 0; expert < config_.num_experts; ++expert) {
      AddMlp(fmt::format("{}experts.{}.", prefix, expert), config_.moe_intermediate_size);
    }
  }

  void AddMlp(const std::string& prefix, int64_t width) {
    Linear(prefix + "gate_proj", width, config_.hidden_size);
    Linear(prefix + "up_proj", width, config_.hidden_size);
    Linear(prefix + "down_proj", config_.hidden_size, width);
  }

  const ModelConfig& config_;
  std::vector<ExpectedTensor> list_;
};

bool IsNumber(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

}  // namespace

std::vector<ExpectedTensor> ExpectedTensors(const ModelConfig& config) { return ListBuilder(config).Build(); }

LinearFormat StoredFormat(const Checkpoint& checkpoint, const std::string& module) {
  return checkpoint.Find(module + ".qweight") != nullptr ? LinearFormat::kGptq : LinearFormat::kDense;
}

std::string ModuleClass(std::string_view name) {
  std::string result;
  for (size_t begin = 0; begin <= name.size();) {
    const size_t end = std::min(name.find('.', begin), name.size());
    const std::string_view part = name.substr(begin, end - begin);
    if (begin > 0) result += '.';
    result += IsNumber(part) ? "*" : part;
    begin = end + 1;
  }
  constexpr std::string_view kLayer = "model.layers.*.";
  return result.starts_with(kLayer) ? result.substr(kLayer.size()) : result;
}

bool IsMtpTensor(std::string_view name) { return name.starts_with("mtp."); }

}  // namespace qnext
