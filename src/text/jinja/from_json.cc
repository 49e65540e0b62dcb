#include "text/jinja/from_json.h"

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "text/jinja/error.h"
#include "text/jinja/unicode.h"

namespace qnext::jinja {
namespace {

using Json = nlohmann::ordered_json;

Value Text(Runtime& rt, const std::string& text) {
  if (!IsWellFormed(text)) Fail("a string is not valid UTF-8");
  return rt.String(text);
}

Value Convert(Runtime& rt, const Json& json, int depth) {
  if (depth > kMaxValueDepth) FailLimit("values are nested more deeply than this engine allows");
  rt.Step();
  switch (json.type()) {
    case Json::value_t::null:
      return Value::None();
    case Json::value_t::boolean:
      return Value::Bool(json.get<bool>());
    case Json::value_t::number_integer:
      return Value::Integer(json.get<int64_t>());
    case Json::value_t::number_unsigned:
      return Value::Integer(json.get<uint64_t>());
    case Json::value_t::number_float:
      return Value::Float(json.get<double>());
    case Json::value_t::string:
      return Text(rt, json.get_ref<const std::string&>());
    case Json::value_t::array: {
      std::vector<Value> items;
      items.reserve(json.size());
      for (const Json& item : json) items.push_back(Convert(rt, item, depth + 1));
      return rt.List(std::move(items));
    }
    case Json::value_t::object: {
      auto dict = std::make_shared<DictObject>();
      dict->Reserve(json.size());
      rt.Built(json.size() * DictObject::kEntryBytes);
      for (const auto& [key, value] : json.items()) dict->Set(Text(rt, key), Convert(rt, value, depth + 1));
      return MakeDict(std::move(dict));
    }
    case Json::value_t::binary:
    case Json::value_t::discarded:
      break;
  }
  Fail("a value is not JSON");
}

}  // namespace

Value FromJson(Runtime& rt, const nlohmann::ordered_json& json) { return Convert(rt, json, /*depth=*/1); }

}  // namespace qnext::jinja
