#include "config/rope_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <string>
#include <string_view>

#include "base/clip.h"

namespace qnext {
namespace {

constexpr double kMaxTheta = 1e15;
constexpr double kMaxFactor = 1 << 20;
constexpr int64_t kMaxPositions = int64_t{1} << 28;

// Fields that this program computes with. Any other field of a rope object could change the angles, so it is refused.
constexpr std::array<std::string_view, 4> kDefaultFields = {"rope_type", "type", "rope_theta", "partial_rotary_factor"};
constexpr std::array<std::string_view, 6> kYarnFields = {
    "factor", "original_max_position_embeddings", "beta_fast", "beta_slow", "attention_factor", "truncate"};

template <size_t N>
bool Contains(const std::array<std::string_view, N>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// A number given at the top, inside the rope object, or (then equal) in both places.
Result<double> EitherNumber(const FieldReader& top, const FieldReader* rope, std::string_view key, double min,
                            double max) {
  const bool inside = rope != nullptr && rope->Find(key) != nullptr;
  if (!inside) return top.Number(key, min, max);
  QNEXT_ASSIGN_OR_RETURN(const double value, rope->Number(key, min, max));
  if (top.Find(key) == nullptr) return value;
  QNEXT_ASSIGN_OR_RETURN(const double outside, top.Number(key, min, max));
  if (outside != value) return rope->Invalid(key, fmt::format("{} contradicts {} outside", value, outside));
  return value;
}

Result<std::string> RopeType(const FieldReader& rope) {
  if (rope.Find("rope_type") == nullptr && rope.Find("type") != nullptr) return rope.String("type");
  QNEXT_ASSIGN_OR_RETURN(std::string type, rope.String("rope_type"));
  QNEXT_ASSIGN_OR_RETURN(const std::string legacy, rope.StringOr("type", type));
  if (legacy != type)
    return rope.Invalid("type", fmt::format("\"{}\" contradicts rope_type \"{}\"", Clip(legacy), Clip(type)));
  return type;
}

Result<YarnConfig> ParseYarn(const FieldReader& rope) {
  YarnConfig yarn;
  QNEXT_ASSIGN_OR_RETURN(yarn.factor, rope.Number("factor", 1, kMaxFactor));
  QNEXT_ASSIGN_OR_RETURN(yarn.original_max_position_embeddings,
                         rope.Integer("original_max_position_embeddings", 1, kMaxPositions));
  QNEXT_ASSIGN_OR_RETURN(yarn.beta_fast, rope.NumberOr("beta_fast", 1e-3, 1e6, yarn.beta_fast));
  QNEXT_ASSIGN_OR_RETURN(yarn.beta_slow, rope.NumberOr("beta_slow", 1e-3, 1e6, yarn.beta_slow));
  if (yarn.beta_fast < yarn.beta_slow) {
    return rope.Invalid("beta_fast", fmt::format("{} is below beta_slow {}", yarn.beta_fast, yarn.beta_slow));
  }
  QNEXT_ASSIGN_OR_RETURN(yarn.attention_factor,
                         rope.NumberOr("attention_factor", 1e-3, 1e3, 0.1 * std::log(yarn.factor) + 1));
  QNEXT_ASSIGN_OR_RETURN(const bool truncate, rope.BoolOr("truncate", true));
  if (!truncate) return rope.NotSupported("truncate", "only true is supported");
  return yarn;
}

Status ParseRopeObject(const FieldReader& rope, const JsonValue& object, ModelConfig* config) {
  QNEXT_ASSIGN_OR_RETURN(const std::string type, RopeType(rope));
  const bool yarn = type == "yarn";
  if (!yarn && type != "default") {
    return rope.NotSupported("rope_type", fmt::format("\"{}\" is not one of \"default\", \"yarn\"", Clip(type)));
  }
  for (const JsonMember& member : *object.object()) {
    if (member.value.is_null() || Contains(kDefaultFields, member.key)) continue;
    if (yarn && Contains(kYarnFields, member.key)) continue;
    return rope.NotSupported(Clip(member.key), fmt::format("is not understood for rope type \"{}\"", Clip(type)));
  }
  if (yarn) {
    QNEXT_ASSIGN_OR_RETURN(config->yarn, ParseYarn(rope));
  }
  return Status();
}

}  // namespace

Status ParseRope(const FieldReader& fields, ModelConfig* config) {
  const JsonValue* scaling = fields.Find("rope_scaling");
  const JsonValue* parameters = fields.Find("rope_parameters");
  if (scaling != nullptr && parameters != nullptr) {
    return fields.Invalid("rope_scaling", "is given next to rope_parameters; only one of them can hold");
  }
  const std::string_view key = parameters != nullptr ? "rope_parameters" : "rope_scaling";
  const JsonValue* object = parameters != nullptr ? parameters : scaling;
  if (object != nullptr && object->object() == nullptr) {
    return fields.Invalid(key, fmt::format("expected an object, found {}", object->Describe()));
  }
  if (object != nullptr && object->object()->empty()) object = nullptr;

  std::optional<FieldReader> rope;
  if (object != nullptr) {
    rope.emplace(*object, fmt::format("{}: {}", fields.context(), key));
    QNEXT_RETURN_IF_ERROR(ParseRopeObject(*rope, *object, config));
  }
  const FieldReader* inner = rope.has_value() ? &*rope : nullptr;
  QNEXT_ASSIGN_OR_RETURN(config->rope_theta, EitherNumber(fields, inner, "rope_theta", 1, kMaxTheta));
  QNEXT_ASSIGN_OR_RETURN(const double fraction, EitherNumber(fields, inner, "partial_rotary_factor", 0, 1));

  const double dims = fraction * static_cast<double>(config->head_dim);
  config->rotary_dims = std::llround(dims);
  if (std::abs(dims - static_cast<double>(config->rotary_dims)) > 1e-6 || config->rotary_dims % 2 != 0 ||
      config->rotary_dims < 2) {
    return fields.Invalid("partial_rotary_factor",
                          fmt::format("{} of head_dim {} is {} rotary dimensions, not a positive even number", fraction,
                                      config->head_dim, dims));
  }
  return Status();
}

}  // namespace qnext
