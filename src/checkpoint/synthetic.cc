#include "checkpoint/synthetic.h"

#include <fmt/format.h>

#include <cmath>
#include <cstring>

#include "base/check.h"
#include "base/file.h"
#include "base/random.h"
#include "base/range.h"
#include "checkpoint/tensor_list.h"

namespace qnext {
namespace {

constexpr std::string_view k80bConfig = R"({{
 "architectures": ["Qwen3NextForCausalLM"],
 "model_type": "qwen3_next",
 "torch_dtype": "{dtype}",
 "hidden_size": 2048,
 "num_hidden_layers": {layers},
 "full_attention_interval": 4,
 "vocab_size": 151936,
 "num_attention_heads": 16,
 "num_key_value_heads": 2,
 "head_dim": 256,
 "partial_rotary_factor": 0.25,
 "rope_theta": 10000000,
 "max_position_embeddings": 262144,
 "rms_norm_eps": 1e-06,
 "hidden_act": "silu",
 "attention_bias": false,
 "linear_conv_kernel_dim": 4,
 "linear_key_head_dim": 128,
 "linear_value_head_dim": 128,
 "linear_num_key_heads": 16,
 "linear_num_value_heads": 32,
 "num_experts": 512,
 "num_experts_per_tok": 10,
 "moe_intermediate_size": 512,
 "shared_expert_intermediate_size": 512,
 "intermediate_size": 5120,
 "norm_topk_prob": true,
 "decoder_sparse_step": 1,
 "mlp_only_layers": [],
 "tie_word_embeddings": false,
 "bos_token_id": 256,
 "eos_token_id": 258,
 "quantization_config": {{
  "quant_method": "gptq",
  "bits": 4,
  "group_size": {group},
  "sym": true,
  "desc_act": false,
  "lm_head": false,
  "checkpoint_format": "gptq",
  "dynamic": {{ {dynamic} }}
 }}
}}
)";

// The two published kinds: all block linears quantized at group 128, and experts only at group 32 with the rest in F16.
std::string Config80b(bool kind_a, int layers) {
  const std::string_view dynamic =
      kind_a ? R"("-:.*in_proj_ba.*": {}, "-:.*mlp\\.gate$": {}, "-:.*shared_expert_gate.*": {})"
             : R"("-:.*(self_attn|linear_attn|shared_expert|mlp\\.gate$).*": {})";
  return fmt::format(fmt::runtime(k80bConfig), fmt::arg("dtype", kind_a ? "bfloat16" : "float16"),
                     fmt::arg("layers", layers), fmt::arg("group", kind_a ? 128 : 32), fmt::arg("dynamic", dynamic));
}

// FNV-1a: a stream number for a tensor's name.
uint64_t HashName(std::string_view name) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (char c : name) hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3u;
  return hash;
}

bool EndsWith(std::string_view text, std::string_view suffix) {
  return text.size() >= suffix.size() && text.substr(text.size() - suffix.size()) == suffix;
}

void FillWords(uint64_t key, std::span<std::byte> out) {
  size_t at = 0;
  for (uint64_t i = 0; at < out.size(); ++i, at += 8) {
    const uint64_t bits = MixBits(key + i * 0x9e3779b97f4a7c15u);
    std::memcpy(out.data() + at, &bits, std::min<size_t>(8, out.size() - at));
  }
}

// Evenly spread in [low, high): as finite and as cheap as a weight can be.
void FillFloats(uint64_t key, DType dtype, double low, double high, std::span<std::byte> out) {
  Random random(key);
  const size_t size = static_cast<size_t>(DTypeSize(dtype));
  for (size_t at = 0; at < out.size(); at += size) {
    const float value = static_cast<float>(low + (high - low) * random.Uniform());
    const uint16_t half = dtype == DType::kBF16 ? FloatToBF16(value) : dtype == DType::kF16 ? FloatToF16(value) : 0;
    if (dtype == DType::kF32) {
      std::memcpy(out.data() + at, &value, 4);
    } else {
      std::memcpy(out.data() + at, &half, 2);
    }
  }
}

}  // namespace

Result<SyntheticKind> FindSyntheticKind(const std::string& name) {
  if (name == "80b-a" || name == "80b-b") return SyntheticKind{name, Config80b(name == "80b-a", 48)};
  if (name == "80b-a-4layers" || name == "80b-b-4layers")
    return SyntheticKind{name, Config80b(name == "80b-a-4layers", 4)};
  if (!FileExists(name)) {
    return NotFound(fmt::format(
        "{}: neither a synthetic kind (80b-a, 80b-b, 80b-a-4layers, 80b-b-4layers) nor the path of a config.json",
        name));
  }
  QNEXT_ASSIGN_OR_RETURN(std::string text, ReadFileToString(name));
  return SyntheticKind{name, std::move(text)};
}

SyntheticCheckpoint::SyntheticCheckpoint(const ModelConfig& config, uint64_t seed) : seed_(seed) {
  // The kind with 16-bit linears has F16 ones, as published.
  const bool experts_only =
      config.quantization && !config.quantization->ForModule("model.layers.0.mlp.shared_expert.up_proj").has_value();
  dense_dtype_ = experts_only ? DType::kF16 : DType::kBF16;
  for (const ExpectedTensor& expected : ExpectedTensors(config)) {
    if (expected.role == TensorRole::kLinear) {
      AddLinear(config, expected.name, expected.shape, expected.may_be_quantized);
    } else {
      Add(expected.name, DType::kBF16, expected.shape);
    }
  }
}

void SyntheticCheckpoint::Add(const std::string& name, DType dtype, Shape shape) {
  TensorInfo info = {.name = name, .dtype = dtype, .shape = std::move(shape), .offset = total_bytes_};
  info.bytes = *info.shape.Elements() * DTypeSize(dtype);
  total_bytes_ += info.bytes;
  tensors_.emplace(name, std::move(info));
}

void SyntheticCheckpoint::AddLinear(const ModelConfig& config, const std::string& module, const Shape& shape,
                                    bool may_be_quantized) {
  std::optional<GptqParams> params;
  if (may_be_quantized && config.quantization) params = config.quantization->ForModule(module);
  if (!params) return Add(module + ".weight", dense_dtype_, shape);
  const int64_t out = shape[0], in = shape[1];
  const int64_t groups = params->group_size < 0 ? 1 : CeilDiv(in, params->group_size);
  Add(module + ".qweight", DType::kI32, Shape{in / 8, out});
  Add(module + ".qzeros", DType::kI32, Shape{groups, out / 8});
  Add(module + ".scales", DType::kF16, Shape{groups, out});
}

const TensorInfo* SyntheticCheckpoint::Find(std::string_view name) const {
  const auto found = tensors_.find(name);
  return found == tensors_.end() ? nullptr : &found->second;
}

void SyntheticCheckpoint::ForEach(FunctionRef<void(const TensorInfo&)> visit) const {
  for (const auto& [name, info] : tensors_) visit(info);
}

Status SyntheticCheckpoint::Read(const TensorInfo& tensor, std::span<std::byte> out) const {
  QNEXT_CHECK(static_cast<int64_t>(out.size()) == tensor.bytes, "the buffer fits the tensor");
  const std::string_view name = tensor.name;
  const uint64_t key = MixBits(seed_) ^ HashName(name);
  const auto fill = [&](double low, double high) { FillFloats(key, tensor.dtype, low, high, out); };
  if (EndsWith(name, ".qweight")) {
    FillWords(key, out);
  } else if (EndsWith(name, ".qzeros")) {
    std::memset(out.data(), 0x77, out.size());  // zero point 8, stored minus one
  } else if (EndsWith(name, ".scales")) {
    // Codes are even over 0..15, so a weight's deviation is 4.6 scales; 1/sqrt(in) of it keeps activations at size one.
    const TensorInfo* weight = Find(std::string(name.substr(0, name.size() - 6)) + "qweight");
    const double typical = 1 / (4.61 * std::sqrt(static_cast<double>(weight->shape[0] * 8)));
    fill(0.5 * typical, 1.5 * typical);
  } else if (EndsWith(name, "norm.weight")) {
    const bool as_stored = EndsWith(name, "linear_attn.norm.weight");
    fill(as_stored ? 0.9 : -0.1, as_stored ? 1.1 : 0.1);
  } else if (EndsWith(name, "conv1d.weight")) {
    fill(-0.5, 0.5);
  } else if (EndsWith(name, "A_log")) {
    fill(-4.0, 2.0);
  } else if (EndsWith(name, "dt_bias")) {
    fill(-4.0, 1.0);
  } else if (EndsWith(name, "embed_tokens.weight")) {
    fill(-1.0, 1.0);
  } else {
    const double bound = std::sqrt(3.0 / static_cast<double>(tensor.shape[tensor.shape.rank() - 1]));
    fill(-bound, bound);
  }
  return Status();
}

}  // namespace qnext
