#include "config/quantization_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <unordered_map>
#include <utility>

#include "base/clip.h"
#include "config/field_reader.h"
#include "config/json_value.h"
#include "config/module_pattern.h"

namespace qnext {
namespace {

constexpr size_t kMaxPatternRules = 4096;

Status CheckBits(const FieldReader& fields, int64_t bits) {
  if (bits == 4) return Status();
  return fields.NotSupported("bits", fmt::format("{}; only 4 is supported", bits));
}

// The fields of `fields` over `params`; absent fields leave it as it is.
Status Override(const FieldReader& fields, GptqParams* params) {
  QNEXT_ASSIGN_OR_RETURN(const int64_t bits, fields.IntegerOr("bits", 1, 64, params->bits));
  QNEXT_RETURN_IF_ERROR(CheckBits(fields, bits));
  QNEXT_ASSIGN_OR_RETURN(params->group_size, fields.IntegerOr("group_size", INT64_MIN, INT64_MAX, params->group_size));
  if (params->group_size != 32 && params->group_size != 64 && params->group_size != 128 && params->group_size != -1) {
    return fields.NotSupported("group_size", fmt::format("{} is not one of 32, 64, 128, -1", params->group_size));
  }
  QNEXT_ASSIGN_OR_RETURN(params->symmetric, fields.BoolOr("sym", params->symmetric));
  QNEXT_ASSIGN_OR_RETURN(params->desc_act, fields.BoolOr("desc_act", params->desc_act));
  return Status();
}

// A field that, when set, changes what the stored numbers mean.
Status RequireAbsent(const FieldReader& fields, std::string_view key) {
  const JsonValue* value = fields.Find(key);
  if (value == nullptr || (value->object() != nullptr && value->object()->empty())) return Status();
  return fields.NotSupported(key, fmt::format("{}; not supported", value->Describe()));
}

Status RequireString(const FieldReader& fields, std::string_view key, std::string_view only) {
  QNEXT_ASSIGN_OR_RETURN(const std::string value, fields.StringOr(key, std::string(only)));
  if (value == only) return Status();
  return fields.NotSupported(key, fmt::format("\"{}\"; only \"{}\" is supported", Clip(value), only));
}

// A list of strings that may nest and, for block names, may be one string with commas. Depth is bounded by ParseJson.
Status CollectNames(const FieldReader& fields, std::string_view key, const JsonValue& value,
                    std::vector<std::string>* names) {
  if (value.string() != nullptr) {
    names->push_back(*value.string());
    return Status();
  }
  if (value.array() == nullptr) {
    return fields.Invalid(key, fmt::format("expected a list of names, found {}", value.Describe()));
  }
  for (const JsonValue& item : *value.array()) QNEXT_RETURN_IF_ERROR(CollectNames(fields, key, item, names));
  return Status();
}

Status ParseNameList(const FieldReader& fields, std::string_view key, ModuleNameList* list) {
  const JsonValue* value = fields.Find(key);
  if (value == nullptr) return Status();
  // One string would be taken for one name, whatever its writer meant by the commas in it.
  if (value->array() == nullptr) {
    return fields.Invalid(key, fmt::format("expected a list of names, found {}", value->Describe()));
  }
  std::vector<std::string> names;
  QNEXT_RETURN_IF_ERROR(CollectNames(fields, key, *value, &names));
  for (const std::string& name : names) {
    const Status added = list->Add(name);
    if (!added.ok()) return fields.Invalid(key, added.message());
  }
  return Status();
}

}  // namespace

struct QuantizationConfig::Rules {
  struct Rule {
    ModulePattern pattern;
    std::optional<GptqParams> params;  // nothing: leaves the module unquantized
  };

  std::vector<Rule> dynamic;  // in the order they are tried
  std::unordered_map<std::string, std::optional<GptqParams>> extra;
  std::vector<Rule> extra_patterns;
  ModuleNameList not_converted;
  ModuleNameList in_block;          // empty: every module of a block
  std::vector<std::string> blocks;  // prefixes with their dot; empty: everywhere

  // GPTQModel's order: first every rule that excludes, then the others, each in the order of the file; the first match
  // decides.
  Status ParseDynamic(const FieldReader& fields, const GptqParams& defaults);
  Status ParseExtra(const FieldReader& fields, const GptqParams& defaults);
  Status ParseBlocks(const FieldReader& fields, std::string_view key);

  // Null when no entry of extra_config picks the module.
  Result<const std::optional<GptqParams>*> FindExtra(std::string_view module) const;
};

Status QuantizationConfig::Rules::ParseDynamic(const FieldReader& fields, const GptqParams& defaults) {
  const JsonValue* value = fields.Find("dynamic");
  if (value == nullptr) return Status();
  if (value->object() == nullptr) return fields.Invalid("dynamic", "expected an object of rules");
  if (value->object()->size() > kMaxPatternRules) return fields.Invalid("dynamic", "has too many rules");
  std::vector<Rule> positive;
  for (const JsonMember& member : *value->object()) {
    const std::string context = fmt::format("{}: dynamic: \"{}\"", fields.context(), Clip(member.key));
    const bool excludes = member.key.starts_with("-:");
    const std::string text = excludes || member.key.starts_with("+:") ? member.key.substr(2) : member.key;
    Result<ModulePattern> pattern = ModulePattern::Compile(text, ModulePattern::Anchor::kStart);
    if (!pattern.ok()) return pattern.status().WithContext(context);
    if (member.value.object() == nullptr) {
      return InvalidArgument(fmt::format("{}: expected an object, found {}", context, member.value.Describe()));
    }
    if (excludes) {
      dynamic.push_back({*std::move(pattern), std::nullopt});
      continue;
    }
    const FieldReader overrides(member.value, context);
    GptqParams params = defaults;
    QNEXT_RETURN_IF_ERROR(Override(overrides, &params));
    for (std::string_view key : {"adapter", "format", "checkpoint_format", "method", "quant_method"}) {
      QNEXT_RETURN_IF_ERROR(RequireAbsent(overrides, key));
    }
    positive.push_back({*std::move(pattern), params});
  }
  std::move(positive.begin(), positive.end(), std::back_inserter(dynamic));
  return Status();
}

Status QuantizationConfig::Rules::ParseExtra(const FieldReader& fields, const GptqParams& defaults) {
  const JsonValue* value = fields.Find("extra_config");
  if (value == nullptr) return Status();
  if (value->object() == nullptr) return fields.Invalid("extra_config", "expected an object by module name");
  for (const JsonMember& member : *value->object()) {
    const std::string context = fmt::format("{}: extra_config: \"{}\"", fields.context(), Clip(member.key));
    if (member.value.object() == nullptr) {
      return InvalidArgument(fmt::format("{}: expected an object, found {}", context, member.value.Describe()));
    }
    const FieldReader overrides(member.value, context);
    QNEXT_ASSIGN_OR_RETURN(const int64_t bits, overrides.IntegerOr("bits", 1, 64, defaults.bits));
    std::optional<GptqParams> params;
    if (bits < 16) {
      params = defaults;
      QNEXT_RETURN_IF_ERROR(Override(overrides, &*params));
      QNEXT_RETURN_IF_ERROR(RequireString(overrides, "data_type", "int"));
    }
    if (!LooksLikePattern(member.key)) {
      extra.emplace(member.key, params);
      continue;
    }
    if (extra_patterns.size() >= kMaxPatternRules) return fields.Invalid("extra_config", "has too many patterns");
    Result<ModulePattern> pattern = ModulePattern::Compile(member.key, ModulePattern::Anchor::kAnywhere);
    if (!pattern.ok()) return pattern.status().WithContext(context);
    extra_patterns.push_back({*std::move(pattern), params});
  }
  return Status();
}

Status QuantizationConfig::Rules::ParseBlocks(const FieldReader& fields, std::string_view key) {
  const JsonValue* value = fields.Find(key);
  if (value == nullptr) return Status();
  std::vector<std::string> names;
  QNEXT_RETURN_IF_ERROR(CollectNames(fields, key, *value, &names));
  for (const std::string& name : names) {
    for (size_t begin = 0; begin <= name.size();) {
      const size_t comma = std::min(name.find(',', begin), name.size());
      if (comma > begin) blocks.push_back(name.substr(begin, comma - begin) + ".");
      begin = comma + 1;
    }
  }
  return Status();
}

Result<const std::optional<GptqParams>*> QuantizationConfig::Rules::FindExtra(std::string_view module) const {
  const auto exact = extra.find(std::string(module));
  if (exact != extra.end()) return &exact->second;
  for (const Rule& rule : extra_patterns) {
    QNEXT_ASSIGN_OR_RETURN(const bool matches, rule.pattern.Matches(module));
    if (matches) return &rule.params;
  }
  return nullptr;
}

QuantizationConfig::QuantizationConfig() : method_("gptq"), rules_(std::make_shared<Rules>()) {}

Result<QuantizationConfig> QuantizationConfig::Parse(const std::string& json_text) {
  Result<JsonValue> object = ParseJson(json_text);
  if (!object.ok()) return object.status().WithContext("quantization_config");
  return FromJson(*object, "quantization_config", Source::kModelConfig);
}

Result<QuantizationConfig> QuantizationConfig::FromJson(const JsonValue& object, const std::string& context,
                                                        Source source) {
  if (object.object() == nullptr) {
    return InvalidArgument(fmt::format("{}: expected an object, found {}", context, object.Describe()));
  }
  QuantizationConfig config;
  QNEXT_RETURN_IF_ERROR(config.ParseMethod(object, context, source));
  QNEXT_RETURN_IF_ERROR(config.ParseRules(object, context));
  return config;
}

Status QuantizationConfig::ParseMethod(const JsonValue& object, const std::string& context, Source source) {
  const FieldReader fields(object, context);
  if (source == Source::kQuantizeConfig) {
    QNEXT_ASSIGN_OR_RETURN(method_, fields.StringOr("quant_method", "gptq"));
  } else {
    QNEXT_ASSIGN_OR_RETURN(method_, fields.String("quant_method"));
  }
  const bool auto_round = method_ == "auto-round";
  if (!auto_round && method_ != "gptq") {
    return fields.NotSupported("quant_method",
                               fmt::format("\"{}\"; this program reads \"gptq\" and \"auto-round\"", Clip(method_)));
  }
  for (std::string_view key : auto_round ? std::vector<std::string_view>{"bits", "group_size", "sym"}
                                         : std::vector<std::string_view>{"bits", "group_size", "sym", "desc_act"}) {
    if (fields.Find(key) == nullptr) return fields.Invalid(key, "is required and missing");
  }
  QNEXT_RETURN_IF_ERROR(Override(fields, &defaults_));
  QNEXT_ASSIGN_OR_RETURN(lm_head_, fields.BoolOr("lm_head", false));

  if (auto_round) {
    QNEXT_ASSIGN_OR_RETURN(const std::string packing, fields.String("packing_format"));
    if (packing != "auto_round:auto_gptq") {
      return fields.NotSupported("packing_format",
                                 fmt::format("\"{}\"; only \"auto_round:auto_gptq\" is supported", Clip(packing)));
    }
    QNEXT_RETURN_IF_ERROR(RequireString(fields, "data_type", "int"));
    QNEXT_ASSIGN_OR_RETURN(const int64_t act_bits, fields.IntegerOr("act_bits", 1, 64, 16));
    if (act_bits < 16) {
      return fields.NotSupported("act_bits", fmt::format("{}; activations stay 16-bit here", act_bits));
    }
    QNEXT_RETURN_IF_ERROR(RequireAbsent(fields, "super_bits"));
  }

  // Newer GPTQ tools write `format` next to `checkpoint_format`; older ones write neither and mean "gptq".
  QNEXT_ASSIGN_OR_RETURN(const std::string other, fields.StringOr("format", "gptq"));
  QNEXT_ASSIGN_OR_RETURN(const std::string format, fields.StringOr("checkpoint_format", other));
  if (fields.Find("format") != nullptr && format != other) {
    return fields.Invalid("checkpoint_format",
                          fmt::format("\"{}\" contradicts format \"{}\"", Clip(format), Clip(other)));
  }
  if (format != "gptq" && format != "gptq_v2") {
    return fields.NotSupported("checkpoint_format",
                               fmt::format("\"{}\" is not one of \"gptq\", \"gptq_v2\"", Clip(format)));
  }
  format_ = format == "gptq" ? GptqFormat::kV1 : GptqFormat::kV2;

  QNEXT_ASSIGN_OR_RETURN(const bool marlin, fields.BoolOr("is_marlin_format", false));
  if (marlin) return fields.NotSupported("is_marlin_format", "true; only the plain GPTQ layout is supported");
  QNEXT_RETURN_IF_ERROR(RequireString(fields, "pack_dtype", "int32"));
  QNEXT_RETURN_IF_ERROR(RequireAbsent(fields, "rotation"));
  return RequireAbsent(fields, "adapter");
}

Status QuantizationConfig::ParseRules(const JsonValue& object, const std::string& context) {
  const FieldReader fields(object, context);
  auto rules = std::make_shared<Rules>();
  QNEXT_RETURN_IF_ERROR(rules->ParseDynamic(fields, defaults_));
  QNEXT_RETURN_IF_ERROR(rules->ParseExtra(fields, defaults_));
  QNEXT_RETURN_IF_ERROR(ParseNameList(fields, "modules_to_not_convert", &rules->not_converted));
  QNEXT_RETURN_IF_ERROR(ParseNameList(fields, "modules_in_block_to_quantize", &rules->in_block));
  QNEXT_RETURN_IF_ERROR(rules->ParseBlocks(fields, "block_name_to_quantize"));
  const auto head = rules->extra.find("lm_head");
  if (head != rules->extra.end()) lm_head_ = head->second.has_value();
  rules_ = std::move(rules);
  return Status();
}

Result<std::optional<GptqParams>> QuantizationConfig::Evaluate(std::string_view module) const {
  const std::optional<GptqParams> unquantized;
  if (module == "lm_head") {
    if (!lm_head_) return unquantized;
  } else {
    const std::vector<std::string>& blocks = rules_->blocks;
    const auto holds = [module](const std::string& block) { return module.starts_with(block); };
    if (!blocks.empty() && std::none_of(blocks.begin(), blocks.end(), holds)) return unquantized;
    if (!rules_->in_block.empty()) {
      QNEXT_ASSIGN_OR_RETURN(const bool listed, rules_->in_block.Matches(module));
      if (!listed) return unquantized;
    }
  }
  QNEXT_ASSIGN_OR_RETURN(const bool excluded, rules_->not_converted.Matches(module));
  if (excluded) return unquantized;
  for (const Rules::Rule& rule : rules_->dynamic) {
    QNEXT_ASSIGN_OR_RETURN(const bool matches, rule.pattern.Matches(module));
    if (matches) return rule.params;
  }
  QNEXT_ASSIGN_OR_RETURN(const std::optional<GptqParams>* extra, rules_->FindExtra(module));
  return extra != nullptr ? *extra : std::optional(defaults_);
}

std::optional<GptqParams> QuantizationConfig::ForModule(std::string_view module) const {
  Result<std::optional<GptqParams>> params = Evaluate(module);
  return params.ok() ? *params : std::nullopt;
}

bool QuantizationConfig::Names(std::string_view module) const {
  const auto exact = rules_->extra.find(std::string(module));
  if (exact != rules_->extra.end()) return exact->second.has_value();
  if (rules_->in_block.empty()) return false;
  const Result<bool> listed = rules_->in_block.Matches(module);
  return listed.ok() && *listed;
}

}  // namespace qnext
