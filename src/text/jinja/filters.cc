#include "text/jinja/filters.h"

#include <algorithm>
#include <iterator>

#include "text/jinja/attribute.h"
#include "text/jinja/functions.h"

namespace qnext::jinja {
namespace {

constexpr FilterFunction kFilters[] = {
    {"abs", filters::Absolute},
    {"attr", filters::Attribute},
    {"batch", filters::Batch},
    {"capitalize", filters::Capitalize},
    {"center", filters::Center},
    {"count", filters::Length},
    {"d", filters::Default},
    {"default", filters::Default},
    {"dictsort", filters::DictSort},
    {"e", filters::EscapeFilter},
    {"escape", filters::EscapeFilter},
    {"filesizeformat", filters::FileSize},
    {"first", filters::First},
    {"float", filters::FloatFilter},
    {"forceescape", filters::ForceEscape},
    {"format", filters::FormatFilter},
    {"groupby", filters::GroupBy},
    {"indent", filters::Indent},
    {"int", filters::IntFilter},
    {"items", filters::Items},
    {"join", filters::JoinFilter},
    {"last", filters::Last},
    {"length", filters::Length},
    {"list", filters::ListFilter},
    {"lower", filters::Lower},
    {"map", filters::Map},
    {"max", filters::Max},
    {"min", filters::Min},
    {"reject", filters::Reject},
    {"rejectattr", filters::RejectAttribute},
    {"replace", filters::Replace},
    {"reverse", filters::Reverse},
    {"round", filters::RoundFilter},
    {"safe", filters::Safe},
    {"select", filters::Select},
    {"selectattr", filters::SelectAttribute},
    {"slice", filters::Slice},
    {"sort", filters::Sort},
    {"string", filters::String},
    {"sum", filters::Sum},
    {"title", filters::Title},
    {"tojson", filters::ToJson},
    {"trim", filters::Trim},
    {"truncate", filters::Truncate},
    {"unique", filters::Unique},
    {"upper", filters::Upper},
    {"urlencode", filters::UrlEncode},
    {"wordcount", filters::WordCount},
    {"xmlattr", filters::XmlAttributes},
};

// In Jinja, not here: results that depend on chance, on Python's printer, on HTML's table of entities or on textwrap.
constexpr std::string_view kRefusedFilters[] = {"pprint", "random", "striptags", "urlize", "wordwrap"};

}  // namespace

const FilterFunction* FindFilter(std::string_view name) {
  const auto* found = std::find_if(std::begin(kFilters), std::end(kFilters),
                                   [name](const FilterFunction& filter) { return filter.name == name; });
  return found == std::end(kFilters) ? nullptr : found;
}

bool IsJinjaFilter(std::string_view name) {
  return FindFilter(name) != nullptr ||
         std::find(std::begin(kRefusedFilters), std::end(kRefusedFilters), name) != std::end(kRefusedFilters);
}

bool IsKnownMethod(std::string_view name) {
  const auto known = [](const Method* method) {
    return method != nullptr && (method->call != nullptr || method->changes_self);
  };
  if (known(FindTextMethod(name))) return true;
  constexpr Kind kKinds[] = {Kind::kDict,   Kind::kList, Kind::kTuple, Kind::kLoop,
                             Kind::kCycler, Kind::kInt,  Kind::kFloat};
  return std::any_of(std::begin(kKinds), std::end(kKinds),
                     [&](Kind kind) { return known(FindContainerMethod(kind, name)); });
}

}  // namespace qnext::jinja
