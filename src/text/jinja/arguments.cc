#include "text/jinja/arguments.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/check.h"
#include "text/jinja/compare.h"
#include "text/jinja/error.h"
#include "text/jinja/print.h"

namespace qnext::jinja {

Int NeedInt(const Value& value, std::string_view what) {
  if (value.Is(Kind::kUndefined)) FailUndefined(value);
  if (!value.IsIntegral())
    Fail(fmt::format("{}: '{}' object cannot be interpreted as an integer", what, TypeName(value)));
  return value.AsInt();
}

std::string_view NeedText(const Value& value, std::string_view what) {
  if (!value.Is(Kind::kString)) Fail(fmt::format("{}: expected a string, not '{}'", what, TypeName(value)));
  return value.Text();
}

Parameters::Parameters(std::string_view function, const Arguments& arguments,
                       std::initializer_list<std::string_view> names, size_t required)
    : function_(function) {
  QNEXT_CHECK(names.size() <= found_.size(), "a builtin has more parameters than Parameters can hold");
  if (arguments.positional.size() > names.size()) {
    Fail(
        fmt::format("{}() takes at most {} arguments ({} given)", function, names.size(), arguments.positional.size()));
  }
  for (size_t i = 0; i < arguments.positional.size(); ++i) found_[i] = &arguments.positional[i];
  for (const auto& [name, value] : arguments.named) {
    const auto* at = name.empty() ? names.end() : std::find(names.begin(), names.end(), name);
    if (at == names.end()) Fail(fmt::format("{}() got an unexpected keyword argument '{}'", function, name));
    const Value*& place = found_[static_cast<size_t>(at - names.begin())];
    if (place != nullptr) Fail(fmt::format("{}() got multiple values for argument '{}'", function, name));
    place = &value;
  }
  for (size_t i = 0; i < required; ++i) {
    if (found_[i] == nullptr) Fail(fmt::format("{}() is missing argument {}", function, i + 1));
  }
}

Int Parameters::IntOr(size_t index, Int fallback) const {
  return found_[index] == nullptr ? fallback : NeedInt(*found_[index], function_);
}

std::string_view Parameters::TextOr(size_t index, std::string_view fallback) const {
  return found_[index] == nullptr ? fallback : NeedText(*found_[index], function_);
}

bool Parameters::FlagOr(size_t index, bool fallback) const {
  return found_[index] == nullptr ? fallback : Truthy(*found_[index]);
}

Value Parameters::Or(size_t index, const Value& fallback) const {
  return found_[index] == nullptr ? fallback : *found_[index];
}

void NeedNoArguments(std::string_view function, const Arguments& arguments) {
  if (!arguments.positional.empty() || !arguments.named.empty()) {
    Fail(fmt::format("{}() takes no arguments", function));
  }
}

}  // namespace qnext::jinja
