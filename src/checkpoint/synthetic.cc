#include "checkpoint/synthetic.h"

#include <fmt/format.h>

#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "base/file.h"
#include "base/random.h"
#include "base/range.h"
#include "checkpoint/synthetic_files.h"
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

// Word i of a stream of random bits.
uint64_t StreamWord(uint64_t key, uint64_t i) { return MixBits(key + i * 0x9e3779b97f4a7c15u); }

// Sixteen codes, spread as a symmetric quantizer spreads them around the zero point 8: 0, which has no counterpart,
// becomes 8. (A mean other than zero would add up in every layer to one direction that drowns all others.)
uint64_t CenteredCodes(uint64_t bits) {
  constexpr uint64_t kOnes = 0x1111111111111111u;
  const uint64_t some = (bits | bits >> 1 | bits >> 2 | bits >> 3) & kOnes;
  return bits | (some ^ kOnes) << 3;
}
constexpr double kCodeDeviation = 4.183;  // of those codes: sqrt(2 * (1 + 4 + ... + 49) / 16)

// Calls make(i) for each 8-byte word of the tensor that `out`, which begins at `offset`, covers.
template <typename Make>
void FillWords(int64_t offset, std::span<std::byte> out, const Make& make) {
  QNEXT_CHECK(offset % 8 == 0, "parts of a tensor begin at a word");
  uint64_t i = static_cast<uint64_t>(offset) / 8;
  size_t at = 0;
  for (; at + 8 <= out.size(); at += 8, ++i) {
    const uint64_t bits = make(i);
    std::memcpy(out.data() + at, &bits, 8);
  }
  if (at < out.size()) {
    const uint64_t bits = make(i);
    std::memcpy(out.data() + at, &bits, out.size() - at);
  }
}

// Evenly spread in [low, high): as finite and as cheap as a weight can be. 16-bit values are drawn from a table of as
// many levels as the formats have between two powers of two.
void FillFloats(uint64_t key, DType dtype, double low, double high, int64_t offset, std::span<std::byte> out) {
  const auto spread = [&](double u) { return static_cast<float>(low + (high - low) * u); };
  if (dtype == DType::kF32) {
    FillWords(offset, out, [&](uint64_t i) {
      const uint64_t bits = StreamWord(key, i);
      const uint64_t first = std::bit_cast<uint32_t>(spread(static_cast<double>(bits & 0xffffffffu) * 0x1.0p-32));
      return first | uint64_t{std::bit_cast<uint32_t>(spread(static_cast<double>(bits >> 32) * 0x1.0p-32))} << 32;
    });
    return;
  }
  QNEXT_CHECK(dtype == DType::kBF16 || dtype == DType::kF16, "weights are floats");
  constexpr size_t kLevels = 1024;
  std::array<uint16_t, kLevels> levels;
  for (size_t i = 0; i < kLevels; ++i) {
    const float value = spread((static_cast<double>(i) + 0.5) / kLevels);
    levels[i] = dtype == DType::kBF16 ? FloatToBF16(value) : FloatToF16(value);
  }
  FillWords(offset, out, [&](uint64_t i) {
    const uint64_t bits = StreamWord(key, i);
    uint64_t word = 0;
    for (int part = 0; part < 4; ++part) {
      word |= uint64_t{levels[(bits >> (16 * part)) % kLevels]} << (16 * part);
    }
    return word;
  });
}

}  // namespace

Result<SyntheticKind> FindSyntheticKind(const std::string& name) {
  if (name == "80b-a" || name == "80b-b") return SyntheticKind{name, Config80b(name == "80b-a", 48)};
  if (name == "80b-a-4layers" || name == "80b-b-4layers")
    return SyntheticKind{name, Config80b(name == "80b-a-4layers", 4)};
  if (!FileExists(name)) {
    return NotFound(
        fmt::format("{}: neither a synthetic kind ({}) nor the path of a config.json", name, kSyntheticKinds));
  }
  QNEXT_ASSIGN_OR_RETURN(std::string text, ReadFileToString(name));
  return SyntheticKind{name, std::move(text)};
}

Result<ModelConfig> SyntheticConfig(const SyntheticKind& kind) {
  QNEXT_ASSIGN_OR_RETURN(ModelConfig config, ParseModelConfig(kind.config_json, kind.name));
  QNEXT_ASSIGN_OR_RETURN(const GenerationDefaults defaults,
                         ParseGenerationDefaults(SyntheticGenerationConfigJson(), kind.name));
  config.eos_token_ids = defaults.eos_token_ids;
  return config;
}

SyntheticCheckpoint::SyntheticCheckpoint(const ModelConfig& config, uint64_t seed)
    : seed_(seed), quantization_(config.quantization) {
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
  const int64_t out = shape[0], in = shape[1];
  // Eight codes share a word; what does not fill words is left as it is, as packing tools do.
  if (!params || in % 8 != 0 || out % 8 != 0) return Add(module + ".weight", dense_dtype_, shape);
  const int64_t groups = params->group_size < 0 ? 1 : CeilDiv(in, params->group_size);
  Add(module + ".qweight", DType::kI32, Shape{in / 8, out});
  Add(module + ".qzeros", DType::kI32, Shape{groups, out / 8});
  Add(module + ".scales", DType::kF16, Shape{groups, out});
  if (params->desc_act && groups > 1) Add(module + ".g_idx", DType::kI32, Shape{in});
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
  Generate(tensor, 0, out);
  return Status();
}

void SyntheticCheckpoint::Generate(const TensorInfo& tensor, int64_t offset, std::span<std::byte> out) const {
  const std::string_view name = tensor.name;
  const uint64_t key = MixBits(seed_) ^ HashName(name);
  const auto fill = [&](double low, double high) { FillFloats(key, tensor.dtype, low, high, offset, out); };
  if (EndsWith(name, ".qweight")) {
    FillWords(offset, out, [&](uint64_t i) { return CenteredCodes(StreamWord(key, i)); });
  } else if (EndsWith(name, ".qzeros")) {
    FillZeroPoints(name.substr(0, name.size() - 7), key, offset, out);
  } else if (EndsWith(name, ".g_idx")) {
    FillGroupIndex(tensor, offset, out);
  } else if (EndsWith(name, ".scales")) {
    // Weights that deviate by 1/sqrt(in) keep activations at size one.
    const TensorInfo* weight = Find(std::string(name.substr(0, name.size() - 6)) + "qweight");
    const double typical = 1 / (kCodeDeviation * std::sqrt(static_cast<double>(weight->shape[0] * 8)));
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
}

// 8 where the configuration says sym; 7 or 9 elsewhere, so that zero points are really read and weights stay centred.
void SyntheticCheckpoint::FillZeroPoints(std::string_view module, uint64_t key, int64_t offset,
                                         std::span<std::byte> out) const {
  const std::optional<GptqParams> params = quantization_->ForModule(module);
  const uint64_t less = quantization_->format() == GptqFormat::kV1 ? 0x1111111111111111u : 0;
  if (params->symmetric) {
    FillWords(offset, out, [&](uint64_t) { return 0x8888888888888888u - less; });
  } else {
    FillWords(offset, out, [&](uint64_t i) {
      return 0x7777777777777777u - less + ((StreamWord(key, i) & 0x1111111111111111u) << 1);
    });
  }
}

// Equal groups in a shuffled order, as act-order leaves them; up_proj has that of gate_proj, whose inputs it shares.
void SyntheticCheckpoint::FillGroupIndex(const TensorInfo& tensor, int64_t offset, std::span<std::byte> out) const {
  std::string name = tensor.name;
  const std::string module = name.substr(0, name.size() - 6);
  if (const size_t up = name.rfind(".up_proj."); up != std::string::npos) name.replace(up, 9, ".gate_proj.");
  const int64_t group = quantization_->ForModule(module)->group_size;
  std::vector<int32_t> index(static_cast<size_t>(tensor.shape[0]));
  for (size_t i = 0; i < index.size(); ++i) index[i] = static_cast<int32_t>(static_cast<int64_t>(i) / group);
  Random random(seed_, HashName(name));
  for (size_t i = index.size() - 1; i > 0; --i) std::swap(index[i], index[random.Below(i + 1)]);
  std::memcpy(out.data(), std::as_bytes(std::span(index)).data() + offset, out.size());
}

}  // namespace qnext
