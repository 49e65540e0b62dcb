// Filters over whole sequences: sorting, grouping, adding up.
#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include "text/jinja/arguments.h"
#include "text/jinja/ast.h"
#include "text/jinja/attribute_path.h"
#include "text/jinja/compare.h"
#include "text/jinja/error.h"
#include "text/jinja/filters.h"
#include "text/jinja/iterator.h"
#include "text/jinja/objects.h"
#include "text/jinja/operators.h"
#include "text/jinja/print.h"
#include "text/jinja/text_split.h"
#include "text/jinja/unicode.h"

namespace qnext::jinja::filters {
namespace {

struct Keyed {
  Value key;
  Value item;
};

// sorted(): stable, also in reverse.
void SortByKey(Runtime& rt, bool reverse, std::vector<Keyed>* items) {
  std::stable_sort(items->begin(), items->end(), [&rt, reverse](const Keyed& a, const Keyed& b) {
    return reverse ? Less(rt, b.key, a.key) : Less(rt, a.key, b.key);
  });
}

Value ItemsOf(Runtime& rt, std::vector<Keyed>* keyed) {
  std::vector<Value> items;
  items.reserve(keyed->size());
  for (Keyed& entry : *keyed) items.push_back(std::move(entry.item));
  return rt.List(std::move(items));
}

Value KeyOf(Runtime& rt, const Value& value, bool case_sensitive) {
  return case_sensitive ? value : IgnoreCase(rt, value);
}

Value Extreme(Runtime& rt, const Value& input, const Arguments& arguments, Order order) {
  const Parameters given("min", arguments, {"case_sensitive", "attribute"});
  const AttributePath path(rt, given.Or(1, Value::None()));
  const bool case_sensitive = given.FlagOr(0, false);
  const std::shared_ptr<IteratorObject> items = Iterate(rt, input);
  Value item;
  Value best = Value::Undefined("No aggregated item, sequence was empty.");
  Value best_key;
  while (items->Next(rt, &item)) {
    Value key = KeyOf(rt, path.Get(rt, item), case_sensitive);
    if (best_key.Is(Kind::kMissing) || Compare(rt, order, key, best_key)) {
      best_key = std::move(key);
      best = item;
    }
  }
  return best;
}

}  // namespace

Value DictSort(Runtime& rt, const Value& input, const Arguments& arguments) {
  const Parameters given("dictsort", arguments, {"case_sensitive", "by", "reverse"});
  const Value by = given.Or(1, Value::String("key"));
  const bool by_key = by.Is(Kind::kString) && by.Text() == "key";
  if (!by_key && !(by.Is(Kind::kString) && by.Text() == "value")) {
    Fail("You can only sort by either \"key\" or \"value\"");
  }
  if (input.Is(Kind::kUndefined)) FailUndefined(input);
  if (!input.Is(Kind::kDict)) Fail(fmt::format("'{}' object has no attribute 'items'", TypeName(input)));
  std::vector<Keyed> items;
  for (const auto& [key, value] : input.As<DictObject>().entries()) {
    items.push_back({KeyOf(rt, by_key ? key : value, given.FlagOr(0, false)), rt.Tuple({key, value})});
  }
  SortByKey(rt, given.IntOr(2, 0) != 0, &items);
  return ItemsOf(rt, &items);
}

Value First(Runtime& rt, const Value& input, const Arguments& arguments) {
  NeedNoArguments("first", arguments);
  Value item;
  if (Iterate(rt, input)->Next(rt, &item)) return item;
  return Value::Undefined("No first item, sequence was empty.");
}

Value GroupBy(Runtime& rt, const Value& input, const Arguments& arguments) {
  const Parameters given("groupby", arguments, {"attribute", "default", "case_sensitive"}, 1);
  const AttributePath path(rt, given[0]);
  const Value fallback = given.Or(1, Value::None());
  const bool case_sensitive = given.FlagOr(2, false);
  std::vector<Keyed> items;
  for (Value& item : ToVector(rt, input)) {
    Value key = KeyOf(rt, path.Get(rt, item, fallback), case_sensitive);
    items.push_back({std::move(key), std::move(item)});
  }
  SortByKey(rt, /*reverse=*/false, &items);
  std::vector<Value> groups;
  for (size_t begin = 0; begin < items.size();) {
    std::vector<Value> members;
    size_t end = begin;
    while (end < items.size() && Equal(rt, items[begin].key, items[end].key)) members.push_back(items[end++].item);
    // NaN equals nothing, not even itself; it still makes a group.
    if (end == begin) members.push_back(items[end++].item);
    const Value grouper = case_sensitive ? items[begin].key : path.Get(rt, members[0], fallback);
    Value group = rt.Tuple({grouper, rt.List(std::move(members))});
    group.As<SequenceObject>().named_group = true;
    groups.push_back(std::move(group));
    begin = end;
  }
  return rt.List(std::move(groups));
}

Value JoinFilter(Runtime& rt, const Value& input, const Arguments& arguments) {
  const Parameters given("join", arguments, {"d", "attribute"});
  const std::string separator = given.Find(0) == nullptr ? "" : Str(rt, *given.Find(0));
  const AttributePath path(rt, given.Or(1, Value::None()));
  TextBuilder out(rt);
  const std::shared_ptr<IteratorObject> items = Iterate(rt, input);
  Value item;
  bool first = true;
  while (items->Next(rt, &item)) {
    if (!first) out.Append(separator);
    first = false;
    AppendStr(path.Get(rt, item), &out);
  }
  return Value::String(out.Take());
}

Value Last(Runtime& rt, const Value& input, const Arguments& arguments) {
  NeedNoArguments("last", arguments);
  const std::shared_ptr<IteratorObject> items = IterateReversed(rt, input);
  if (items == nullptr) Fail(fmt::format("'{}' object is not reversible", TypeName(input)));
  Value item;
  if (items->Next(rt, &item)) return item;
  return Value::Undefined("No last item, sequence was empty.");
}

Value Length(Runtime& rt, const Value& input, const Arguments& arguments) {
  NeedNoArguments("len", arguments);
  if (input.Is(Kind::kLoop)) return Value::Integer(input.As<LoopObject>().Length(rt));
  const Int length = LengthOf(input);
  if (length < 0) Fail(fmt::format("object of type '{}' has no len()", TypeName(input)));
  return Value::Integer(length);
}

Value ListFilter(Runtime& rt, const Value& input, const Arguments& arguments) {
  NeedNoArguments("list", arguments);
  return Value::List(ToVector(rt, input));
}

Value Max(Runtime& rt, const Value& input, const Arguments& arguments) {
  return Extreme(rt, input, arguments, Order::kGreater);
}

Value Min(Runtime& rt, const Value& input, const Arguments& arguments) {
  return Extreme(rt, input, arguments, Order::kLess);
}

Value Reverse(Runtime& rt, const Value& input, const Arguments& arguments) {
  NeedNoArguments("reverse", arguments);
  if (input.Is(Kind::kString)) return rt.String(ReverseCodePoints(input.Text()), input.IsMarkup());
  if (std::shared_ptr<IteratorObject> items = IterateReversed(rt, input); items != nullptr) {
    return {Kind::kIterator, std::move(items)};
  }
  if (!IsIterable(input)) Fail("argument must be iterable");
  std::vector<Value> items = ToVector(rt, input);
  std::reverse(items.begin(), items.end());
  return Value::List(std::move(items));
}

Value Sort(Runtime& rt, const Value& input, const Arguments& arguments) {
  const Parameters given("sort", arguments, {"reverse", "case_sensitive", "attribute"});
  const Value attribute = given.Or(2, Value::None());
  const bool case_sensitive = given.FlagOr(1, false);
  std::vector<AttributePath> paths;  // "age,name": several, in order of weight
  if (attribute.Is(Kind::kString)) {
    for (const std::string_view part : SplitAt(rt, attribute.Text(), ",", -1, /*from_right=*/false)) {
      paths.emplace_back(rt, Value::String(std::string(part)));
    }
  } else {
    paths.emplace_back(rt, attribute);
  }
  std::vector<Keyed> items;
  for (Value& item : ToVector(rt, input)) {
    std::vector<Value> keys;
    keys.reserve(paths.size());
    for (const AttributePath& path : paths) keys.push_back(KeyOf(rt, path.Get(rt, item), case_sensitive));
    items.push_back({rt.List(std::move(keys)), std::move(item)});
  }
  SortByKey(rt, given.IntOr(0, 0) != 0, &items);
  return ItemsOf(rt, &items);
}

Value Sum(Runtime& rt, const Value& input, const Arguments& arguments) {
  const Parameters given("sum", arguments, {"attribute", "start"});
  const AttributePath path(rt, given.Or(0, Value::None()));
  Value total = given.Or(1, Value::Integer(0));
  if (total.Is(Kind::kString)) Fail("sum() can't sum strings [use ''.join(seq) instead]");
  const std::shared_ptr<IteratorObject> items = Iterate(rt, input);
  Value item;
  while (items->Next(rt, &item)) total = ApplyBinary(rt, BinaryOp::kAdd, total, path.Get(rt, item));
  return total;
}

}  // namespace qnext::jinja::filters
