#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/bytes.h"
#include "checkpoint/inspect.h"

namespace qnext {
namespace {

using Json = nlohmann::ordered_json;

// 79 674 391 296 parameters as "79.67 B".
std::string FormatCount(int64_t count) {
  const auto value = static_cast<double>(count);
  if (count >= 1'000'000'000) return fmt::format("{:.2f} B", value / 1e9);
  if (count >= 1'000'000) return fmt::format("{:.2f} M", value / 1e6);
  if (count >= 1'000) return fmt::format("{:.2f} k", value / 1e3);
  return fmt::format("{}", count);
}

int64_t CountMoeLayers(const ModelConfig& config) {
  int64_t count = 0;
  for (bool moe : config.layer_is_moe) count += moe ? 1 : 0;
  return count;
}

std::string DescribeQuantization(const ModelConfig& config) {
  if (!config.quantization.has_value()) return "none";
  const QuantizationConfig& q = *config.quantization;
  return fmt::format("{}, {} bits, {}, {}, {}, checkpoint_format {}{}", q.method(), q.defaults().bits,
                     q.defaults().group_size < 0 ? "one group" : fmt::format("group {}", q.defaults().group_size),
                     q.defaults().symmetric ? "symmetric" : "asymmetric",
                     q.defaults().desc_act ? "desc_act" : "no desc_act",
                     q.format() == GptqFormat::kV1 ? "gptq" : "gptq_v2", q.lm_head() ? ", lm_head too" : "");
}

std::string ModelText(const ModelConfig& c) {
  std::string text = fmt::format(
      "  layers        {} ({} linear attention, {} full attention; {} with experts)\n"
      "  hidden        {}, vocabulary {}{}\n"
      "  attention     {} query heads, {} key/value heads of {}; rotary {} dims, theta {:g}, {} positions\n"
      "  delta net     {} key heads, {} value heads of {}\n",
      c.num_layers, c.CountLayers(LayerKind::kLinearAttention), c.CountLayers(LayerKind::kFullAttention),
      CountMoeLayers(c), c.hidden_size, c.vocab_size, c.tie_word_embeddings ? ", lm_head tied" : "",
      c.num_attention_heads, c.num_key_value_heads, c.head_dim, c.rotary_dims, c.rope_theta, c.max_position_embeddings,
      c.linear_num_key_heads, c.linear_num_value_heads, c.linear_head_dim);
  if (c.num_experts > 0) {
    text += fmt::format(
        "  experts       {} of width {}, {} per token; shared expert {}\n", c.num_experts, c.moe_intermediate_size,
        c.num_experts_per_token,
        c.shared_expert_intermediate_size > 0 ? fmt::format("of width {}", c.shared_expert_intermediate_size) : "none");
  }
  if (c.yarn.has_value()) {
    text += fmt::format("  yarn          factor {:g} over {} positions\n", c.yarn->factor,
                        c.yarn->original_max_position_embeddings);
  }
  return text + fmt::format("  quantization  {}\n", DescribeQuantization(c));
}

Json ModelJson(const ModelConfig& c) {
  Json model = {
      {"num_layers", c.num_layers},
      {"linear_attention_layers", c.CountLayers(LayerKind::kLinearAttention)},
      {"full_attention_layers", c.CountLayers(LayerKind::kFullAttention)},
      {"moe_layers", CountMoeLayers(c)},
      {"hidden_size", c.hidden_size},
      {"vocab_size", c.vocab_size},
      {"tie_word_embeddings", c.tie_word_embeddings},
      {"num_attention_heads", c.num_attention_heads},
      {"num_key_value_heads", c.num_key_value_heads},
      {"head_dim", c.head_dim},
      {"rotary_dims", c.rotary_dims},
      {"rope_theta", c.rope_theta},
      {"max_position_embeddings", c.max_position_embeddings},
      {"linear_num_key_heads", c.linear_num_key_heads},
      {"linear_num_value_heads", c.linear_num_value_heads},
      {"linear_head_dim", c.linear_head_dim},
      {"num_experts", c.num_experts},
      {"num_experts_per_token", c.num_experts_per_token},
      {"moe_intermediate_size", c.moe_intermediate_size},
      {"shared_expert_intermediate_size", c.shared_expert_intermediate_size},
      {"intermediate_size", c.intermediate_size},
      {"eos_token_ids", c.eos_token_ids},
  };
  if (c.yarn.has_value()) {
    model["yarn"] = {{"factor", c.yarn->factor},
                     {"original_max_position_embeddings", c.yarn->original_max_position_embeddings},
                     {"attention_factor", c.yarn->attention_factor}};
  }
  if (c.quantization.has_value()) {
    const QuantizationConfig& q = *c.quantization;
    model["quantization"] = {{"method", q.method()},
                             {"bits", q.defaults().bits},
                             {"group_size", q.defaults().group_size},
                             {"symmetric", q.defaults().symmetric},
                             {"desc_act", q.defaults().desc_act},
                             {"checkpoint_format", q.format() == GptqFormat::kV1 ? "gptq" : "gptq_v2"},
                             {"lm_head", q.lm_head()}};
  }
  return model;
}

void AppendList(std::string* text, std::string_view title, const std::vector<std::string>& lines) {
  if (lines.empty()) return;
  *text += fmt::format("\n{} ({})\n", title, lines.size());
  for (const std::string& line : lines) *text += fmt::format("  {}\n", line);
}

}  // namespace

std::string FormatInspectText(const InspectReport& report) {
  std::string text = fmt::format("{}: qwen3_next, {} parameters, {} in {} tensors\n", report.folder,
                                 FormatCount(report.parameters), FormatBytes(report.tensor_bytes), report.tensors);
  text += ModelText(report.config);
  if (report.text) {
    text += fmt::format("  tokenizer     {} tokens; chat template: {}\n", report.text->tokens,
                        report.text->chat_template.empty() ? "none" : report.text->chat_template);
  }
  if (!report.components.empty()) {
    text += fmt::format("\n{:<28} {:>9} {:>12} {:>12}\n", "Part", "tensors", "parameters", "bytes");
    for (const InspectReport::ComponentSize& size : report.components) {
      text += fmt::format("{:<28} {:>9} {:>12} {:>12}\n", ComponentName(size.component), size.tensors,
                          FormatCount(size.parameters), FormatBytes(size.bytes));
    }
  }
  if (!report.classes.empty()) {
    text += fmt::format("\n{:<28} {:>9} {:>12}  {}\n", "Linear layers", "modules", "bytes", "stored as");
    for (const InspectReport::ModuleClassInfo& info : report.classes) {
      std::string_view name = info.name;
      for (const InspectReport::Storage& storage : info.storage) {
        text +=
            fmt::format("{:<28} {:>9} {:>12}  {}\n", name, storage.modules, FormatBytes(storage.bytes), storage.format);
        name = "";
      }
    }
  }
  if (!report.shards.empty()) {
    text += fmt::format("\n{:<40} {:>9} {:>12}\n", "Shard", "tensors", "bytes");
    for (const InspectReport::Shard& shard : report.shards) {
      text += fmt::format("{:<40} {:>9} {:>12}\n", shard.name, shard.tensors, FormatBytes(shard.bytes));
    }
  }
  AppendList(&text, "Warnings", report.warnings);
  AppendList(&text, "Problems", report.problems);
  text += report.loadable() ? "\nThe checkpoint can be loaded.\n" : "\nThe checkpoint cannot be loaded.\n";
  return text;
}

std::string FormatInspectJson(const InspectReport& report) {
  Json json = {
      {"folder", report.folder},           {"model_type", "qwen3_next"},  {"loadable", report.loadable()},
      {"parameters", report.parameters},   {"tensors", report.tensors},   {"tensor_bytes", report.tensor_bytes},
      {"model", ModelJson(report.config)}, {"components", Json::array()}, {"linear_layers", Json::array()},
      {"shards", Json::array()},           {"warnings", report.warnings}, {"problems", report.problems}};
  if (report.text) {
    json["text"] = {{"tokens", report.text->tokens},
                    {"chat_template", report.text->chat_template.empty() ? Json() : Json(report.text->chat_template)}};
  }
  for (const InspectReport::ComponentSize& size : report.components) {
    json["components"].push_back({{"name", ComponentName(size.component)},
                                  {"tensors", size.tensors},
                                  {"parameters", size.parameters},
                                  {"bytes", size.bytes}});
  }
  for (const InspectReport::ModuleClassInfo& info : report.classes) {
    Json storage = Json::array();
    for (const InspectReport::Storage& s : info.storage) {
      storage.push_back({{"format", s.format}, {"modules", s.modules}, {"bytes", s.bytes}});
    }
    json["linear_layers"].push_back(
        {{"name", info.name}, {"modules", info.modules}, {"quantized", info.quantized}, {"storage", storage}});
  }
  for (const InspectReport::Shard& shard : report.shards) {
    json["shards"].push_back({{"name", shard.name}, {"tensors", shard.tensors}, {"bytes", shard.bytes}});
  }
  // Names come from file headers; a folder name may hold any bytes, which must not throw here.
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace qnext
