#include "text/jinja/compare.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <compare>
#include <functional>

#include "text/jinja/error.h"
#include "text/jinja/iterator.h"
#include "text/jinja/number.h"
#include "text/jinja/print.h"
#include "text/jinja/unicode.h"

namespace qnext::jinja {
namespace {

std::partial_ordering CompareIntFloat(Int a, double b) {
  if (std::isnan(b)) return std::partial_ordering::unordered;
  constexpr double kLimit = 170141183460469231731687303715884105728.0;  // 2^127
  if (b >= kLimit) return std::partial_ordering::less;
  if (b < -kLimit) return std::partial_ordering::greater;
  const double whole = std::trunc(b);
  const Int integer = static_cast<Int>(whole);
  if (a != integer) return a < integer ? std::partial_ordering::less : std::partial_ordering::greater;
  const double fraction = b - whole;
  if (fraction == 0) return std::partial_ordering::equivalent;
  return fraction > 0 ? std::partial_ordering::less : std::partial_ordering::greater;
}

std::partial_ordering Reverse(std::partial_ordering order) {
  if (order == std::partial_ordering::less) return std::partial_ordering::greater;
  return order == std::partial_ordering::greater ? std::partial_ordering::less : order;
}

std::partial_ordering CompareNumbers(const Value& a, const Value& b) {
  if (a.IsIntegral() && b.IsIntegral()) {
    if (a.AsInt() == b.AsInt()) return std::partial_ordering::equivalent;
    return a.AsInt() < b.AsInt() ? std::partial_ordering::less : std::partial_ordering::greater;
  }
  if (a.IsIntegral()) return CompareIntFloat(a.AsInt(), b.AsFloat());
  if (b.IsIntegral()) return Reverse(CompareIntFloat(b.AsInt(), a.AsFloat()));
  return a.AsFloat() <=> b.AsFloat();
}

bool Holds(Order order, std::partial_ordering found) {
  switch (order) {
    case Order::kLess:
      return std::is_lt(found);
    case Order::kLessEqual:
      return std::is_lteq(found);
    case Order::kGreater:
      return std::is_gt(found);
    case Order::kGreaterEqual:
      break;
  }
  return std::is_gteq(found);
}

std::string_view OrderSign(Order order) {
  switch (order) {
    case Order::kLess:
      return "<";
    case Order::kLessEqual:
      return "<=";
    case Order::kGreater:
      return ">";
    case Order::kGreaterEqual:
      break;
  }
  return ">=";
}

// Equality, with `rt` null where the cost needs no counting (dict keys).
bool EqualValues(Runtime* rt, const Value& a, const Value& b);

bool EqualItems(Runtime* rt, const std::vector<Value>& a, const std::vector<Value>& b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    if (!EqualValues(rt, a[i], b[i])) return false;
  }
  return true;
}

bool EqualDicts(Runtime* rt, const DictObject& a, const DictObject& b) {
  if (a.entries().size() != b.entries().size()) return false;
  for (const auto& [key, value] : a.entries()) {
    if (rt != nullptr) rt->WorkOn(key);
    const Value* other = b.Find(key);
    if (other == nullptr || !EqualValues(rt, value, *other)) return false;
  }
  return true;
}

bool EqualRanges(const RangeObject& a, const RangeObject& b) {
  if (a.size() != b.size()) return false;
  if (a.size() == 0) return true;
  return a.start == b.start && (a.size() == 1 || a.step == b.step);
}

bool EqualValues(Runtime* rt, const Value& a, const Value& b) {
  if (rt != nullptr) rt->Step();
  if (a.IsNumber() && b.IsNumber()) return std::is_eq(CompareNumbers(a, b));
  if (a.kind() != b.kind()) return false;
  switch (a.kind()) {
    case Kind::kMissing:
    case Kind::kUndefined:
    case Kind::kNone:
      return true;
    case Kind::kString:
      if (rt != nullptr) rt->Work(std::min(a.Text().size(), b.Text().size()));
      return a.Text() == b.Text();
    case Kind::kList:
    case Kind::kTuple:
      return EqualItems(rt, a.Items(), b.Items());
    case Kind::kDict:
      return EqualDicts(rt, a.As<DictObject>(), b.As<DictObject>());
    case Kind::kRange:
      return EqualRanges(a.As<RangeObject>(), b.As<RangeObject>());
    case Kind::kMethod:
      return a.As<MethodObject>().name == b.As<MethodObject>().name &&
             a.As<MethodObject>().self.object() == b.As<MethodObject>().self.object();
    default:
      return a.object() == b.object();
  }
}

bool CompareItems(Runtime& rt, Order order, const std::vector<Value>& a, const std::vector<Value>& b) {
  const size_t common = std::min(a.size(), b.size());
  for (size_t i = 0; i < common; ++i) {
    if (!Equal(rt, a[i], b[i])) return Compare(rt, order, a[i], b[i]);
  }
  return Holds(order, a.size() <=> b.size());
}

bool InRange(const RangeObject& range, Int value) {
  if (range.step > 0 ? value < range.start || value >= range.stop : value > range.start || value <= range.stop) {
    return false;
  }
  return (value - range.start) % range.step == 0;
}

size_t Mix(size_t seed, size_t value) { return seed ^ (value + 0x9E3779B97F4A7C15ULL + (seed << 6) + (seed >> 2)); }

size_t HashInt(Int value) {
  return Mix(static_cast<size_t>(static_cast<UInt>(value)), static_cast<size_t>(static_cast<UInt>(value) >> 64));
}

}  // namespace

bool Truthy(const Value& value) {
  switch (value.kind()) {
    case Kind::kMissing:
    case Kind::kUndefined:
    case Kind::kNone:
      return false;
    case Kind::kBool:
      return value.AsBool();
    case Kind::kInt:
      return value.AsInt() != 0;
    case Kind::kFloat:
      return value.AsFloat() != 0;
    case Kind::kString:
      return !value.Text().empty();
    case Kind::kList:
    case Kind::kTuple:
      return !value.Items().empty();
    case Kind::kDict:
      return !value.As<DictObject>().entries().empty();
    case Kind::kRange:
      return value.As<RangeObject>().size() != 0;
    case Kind::kDictView:
      return !value.As<DictViewObject>().dict->entries().empty();
    default:
      return true;
  }
}

bool Equal(Runtime& rt, const Value& a, const Value& b) { return EqualValues(&rt, a, b); }

bool EqualKeys(const Value& a, const Value& b) { return EqualValues(nullptr, a, b); }

bool Compare(Runtime& rt, Order order, const Value& a, const Value& b) {
  rt.Step();
  if (a.IsNumber() && b.IsNumber()) return Holds(order, CompareNumbers(a, b));
  if (a.Is(Kind::kUndefined) || b.Is(Kind::kUndefined)) FailUndefined(a.Is(Kind::kUndefined) ? a : b);
  if (a.Is(Kind::kString) && b.Is(Kind::kString)) {
    rt.Work(std::min(a.Text().size(), b.Text().size()));
    return Holds(order, a.Text() <=> b.Text());  // the order of UTF-8 bytes is that of code points
  }
  if (a.kind() == b.kind() && (a.Is(Kind::kList) || a.Is(Kind::kTuple))) {
    return CompareItems(rt, order, a.Items(), b.Items());
  }
  Fail(
      fmt::format("'{}' not supported between instances of '{}' and '{}'", OrderSign(order), TypeName(a), TypeName(b)));
}

bool Contains(Runtime& rt, const Value& container, const Value& item) {
  rt.Step();
  switch (container.kind()) {
    case Kind::kString:
      if (!item.Is(Kind::kString)) {
        Fail(fmt::format("'in <string>' requires string as left operand, not {}", TypeName(item)));
      }
      rt.WorkOn(container);
      return FindBytes(container.Text(), item.Text(), 0) != std::string_view::npos;
    case Kind::kDict:
      return container.As<DictObject>().Find(item) != nullptr;
    case Kind::kDictView: {
      const auto& view = container.As<DictViewObject>();
      if (view.part == DictPart::kKeys) return view.dict->Find(item) != nullptr;
      break;
    }
    case Kind::kRange:
      if (item.IsIntegral()) return InRange(container.As<RangeObject>(), item.AsInt());
      break;
    default:
      break;
  }
  const std::shared_ptr<IteratorObject> items = Iterate(rt, container);
  Value candidate;
  while (items->Next(rt, &candidate)) {
    if (Equal(rt, candidate, item)) return true;
  }
  return false;
}

size_t HashText(std::string_view text) { return std::hash<std::string_view>()(text); }

size_t HashKey(const Value& value) {
  switch (value.kind()) {
    case Kind::kBool:
    case Kind::kInt:
      return HashInt(value.AsInt());
    case Kind::kFloat: {
      // Equal numbers hash alike whatever their type.
      const std::optional<Int> whole = ExactInt(value.AsFloat());
      return whole.has_value() ? HashInt(*whole) : std::hash<double>()(value.AsFloat());
    }
    case Kind::kString:
      return HashText(value.Text());
    case Kind::kTuple: {
      size_t hash = value.Items().size();
      for (const Value& item : value.Items()) hash = Mix(hash, HashKey(item));
      return hash;
    }
    case Kind::kRange: {
      const auto& range = value.As<RangeObject>();
      return Mix(HashInt(range.size()), range.size() == 0 ? 0 : HashInt(range.start));
    }
    case Kind::kList:
    case Kind::kDict:
      Fail(fmt::format("unhashable type: '{}'", TypeName(value)));
    case Kind::kDictView:
      if (value.As<DictViewObject>().part != DictPart::kValues) Fail("unhashable type: 'dict view'");
      return std::hash<const void*>()(value.object().get());
    case Kind::kMethod:
      return HashText(value.As<MethodObject>().name);
    case Kind::kMissing:
    case Kind::kUndefined:
    case Kind::kNone:
      return static_cast<size_t>(value.kind());
    default:
      return std::hash<const void*>()(value.object().get());
  }
}

}  // namespace qnext::jinja
