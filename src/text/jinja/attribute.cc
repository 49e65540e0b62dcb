#include "text/jinja/attribute.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "text/jinja/ast.h"
#include "text/jinja/error.h"
#include "text/jinja/functions.h"
#include "text/jinja/iterator.h"
#include "text/jinja/objects.h"
#include "text/jinja/print.h"
#include "text/jinja/unicode.h"

namespace qnext::jinja {
namespace {

bool IsDunder(std::string_view name) { return name.size() > 4 && name.starts_with("__") && name.ends_with("__"); }

// The dunder attributes that every Python object has.
bool IsObjectAttribute(std::string_view name) {
  constexpr std::string_view kNames[] = {
      "__class__", "__delattr__",      "__dir__",    "__doc__",  "__eq__",          "__format__",
      "__ge__",    "__getattribute__", "__gt__",     "__hash__", "__init__",        "__init_subclass__",
      "__le__",    "__lt__",           "__ne__",     "__new__",  "__reduce__",      "__reduce_ex__",
      "__repr__",  "__setattr__",      "__sizeof__", "__str__",  "__subclasshook__"};
  return std::find(std::begin(kNames), std::end(kNames), name) != std::end(kNames);
}

Value Unsafe(const Value& object, std::string_view name) {
  return Value::Undefined(fmt::format("access to attribute '{}' of '{}' object is unsafe.", name, TypeName(object)));
}

Value NoAttribute(const Value& object, std::string_view name) {
  return Value::Undefined(fmt::format("'{} object' has no attribute '{}'", TypeName(object), name));
}

const Method* FindMethod(const Value& object, std::string_view name) {
  return object.Is(Kind::kString) ? FindTextMethod(name) : FindContainerMethod(object.kind(), name);
}

Value NumberProperty(const Value& number, std::string_view name) {
  if (name == "real") return number.Is(Kind::kFloat) ? number : Value::Integer(number.AsInt());
  if (name == "imag") return number.Is(Kind::kFloat) ? Value::Float(0) : Value::Integer(0);
  if (number.Is(Kind::kFloat)) return {};
  if (name == "numerator") return Value::Integer(number.AsInt());
  if (name == "denominator") return Value::Integer(1);
  return {};
}

Value MacroProperty(const MacroObject& macro, std::string_view name) {
  const MacroBody& body = *macro.body;
  if (name == "name") return body.name.empty() ? Value::None() : Value::String(body.name);
  if (name == "catch_kwargs") return Value::Bool(body.kwargs_slot >= 0);
  if (name == "catch_varargs") return Value::Bool(body.varargs_slot >= 0);
  if (name == "caller") return Value::Bool(body.caller_slot >= 0 || body.explicit_caller);
  if (name != "arguments") return {};
  std::vector<Value> names;
  for (const std::string& parameter : body.parameters) names.push_back(Value::String(parameter));
  return Value::Tuple(std::move(names));
}

Value CyclerProperty(const CyclerObject& cycler, std::string_view name) {
  if (name == "current") return cycler.items[cycler.position];
  if (name == "pos") return Value::Integer(static_cast<Int>(cycler.position));
  if (name == "items") return Value::Tuple(cycler.items);
  return {};
}

// Attributes that are no methods; missing when there is none.
Value Property(Runtime& rt, const Value& object, std::string_view name) {
  switch (object.kind()) {
    case Kind::kBool:
    case Kind::kInt:
    case Kind::kFloat:
      return NumberProperty(object, name);
    case Kind::kTuple:
      if (!object.As<SequenceObject>().named_group) return {};
      if (name == "grouper") return object.Items()[0];
      if (name == "list") return object.Items()[1];
      return {};
    case Kind::kRange: {
      const auto& range = object.As<RangeObject>();
      if (name == "start") return Value::Integer(range.start);
      if (name == "stop") return Value::Integer(range.stop);
      if (name == "step") return Value::Integer(range.step);
      return {};
    }
    case Kind::kNamespace: {
      const Value* found = object.As<NamespaceObject>().attributes.Find(name);
      return found == nullptr ? Value() : *found;
    }
    case Kind::kLoop:
      return object.As<LoopObject>().Attribute(rt, name);
    case Kind::kMacro:
      return MacroProperty(object.As<MacroObject>(), name);
    case Kind::kCycler:
      return CyclerProperty(object.As<CyclerObject>(), name);
    case Kind::kJoiner:
      if (name == "sep") return object.As<JoinerObject>().separator;
      if (name == "used") return Value::Bool(object.As<JoinerObject>().used);
      return {};
    default:
      return {};
  }
}

// getattr(object, name) as the sandbox lets it through: missing when there is no such attribute, undefined when it is
// not for templates.
Value FindAttribute(Runtime& rt, const Value& object, std::string_view name) {
  if (object.Is(Kind::kUndefined)) {
    if (!IsDunder(name)) FailUndefined(object);
    return IsObjectAttribute(name) ? Unsafe(object, name) : Value();
  }
  Value property = Property(rt, object, name);
  if (!property.Is(Kind::kMissing)) return name.starts_with("_") ? Unsafe(object, name) : property;
  if (IsObjectAttribute(name) && !object.Is(Kind::kNamespace)) return Unsafe(object, name);
  const Method* method = FindMethod(object, name);
  if (method == nullptr) return {};
  if (method->changes_self) return Unsafe(object, name);
  return {Kind::kMethod, std::make_shared<MethodObject>(object, std::string(name))};
}

// object[key]; missing where Python raises TypeError or LookupError.
Value FindItem(Runtime& rt, const Value& object, const Value& key) {
  switch (object.kind()) {
    case Kind::kUndefined:
      FailUndefined(object);
    case Kind::kDict: {
      if (key.Is(Kind::kList) || key.Is(Kind::kDict)) return {};  // unhashable
      rt.WorkOn(key);
      const Value* found = object.As<DictObject>().Find(key);
      return found == nullptr ? Value() : *found;
    }
    case Kind::kString:
    case Kind::kList:
    case Kind::kTuple:
    case Kind::kRange: {
      if (!key.IsIntegral()) return {};
      const Int size = LengthOf(object);
      const Int index = key.AsInt() < 0 ? key.AsInt() + size : key.AsInt();
      return index < 0 || index >= size ? Value() : ItemAt(rt, object, index);
    }
    default:
      return {};
  }
}

// A slice's bounds after Python's clipping.
struct Bounds {
  Int start;
  Int stop;
  Int step;
};

Int SliceIndex(const Value& value) {
  if (!value.IsIntegral()) Fail("slice indices must be integers or None or have an __index__ method");
  return value.AsInt();
}

Bounds ClipSlice(Int size, const Value& start, const Value& stop, const Value& step) {
  Bounds bounds = {0, 0, step.Is(Kind::kNone) ? 1 : SliceIndex(step)};
  if (bounds.step == 0) Fail("slice step cannot be zero");
  const bool backwards = bounds.step < 0;
  const Int lowest = backwards ? -1 : 0;
  const Int highest = backwards ? size - 1 : size;
  const auto clip = [&](const Value& bound, Int otherwise) {
    if (bound.Is(Kind::kNone)) return otherwise;
    const Int index = SliceIndex(bound);
    return index < 0 ? std::max(index + size, lowest) : std::min(index, highest);
  };
  bounds.start = clip(start, backwards ? highest : lowest);
  bounds.stop = clip(stop, backwards ? lowest : highest);
  return bounds;
}

Value SliceText(Runtime& rt, const Value& text, const Bounds& bounds, Int count) {
  rt.WorkOn(text);
  const std::string_view bytes = text.Text();
  if (count == 0) return Value::String("", text.IsMarkup());
  const bool ascii = text.As<StringObject>().length() == bytes.size();
  const Int first = bounds.step > 0 ? bounds.start : bounds.start + (count - 1) * bounds.step;
  const Int last = bounds.step > 0 ? bounds.start + (count - 1) * bounds.step : bounds.start;
  const size_t from = ascii ? static_cast<size_t>(first) : OffsetOfCodePoint(bytes, static_cast<size_t>(first));
  const std::string_view rest = bytes.substr(from);
  const auto span = static_cast<size_t>(last - first) + 1;
  const std::string_view range = rest.substr(0, ascii ? span : OffsetOfCodePoint(rest, span));
  std::string taken;
  if (bounds.step == 1 || bounds.step == -1) {
    taken = std::string(range);
  } else {
    const Int stride = bounds.step > 0 ? bounds.step : -bounds.step;
    Int position = 0;
    for (size_t at = 0; at < range.size(); ++position) {
      const size_t size = DecodeAt(range, at).size;
      if (position % stride == 0) taken.append(range.substr(at, size));
      at += size;
    }
  }
  if (bounds.step < 0) taken = ReverseCodePoints(taken);
  return rt.String(std::move(taken), text.IsMarkup());
}

}  // namespace

Value GetAttribute(Runtime& rt, const Value& object, const std::string& name) {
  rt.Step();
  if (Value attribute = FindAttribute(rt, object, name); !attribute.Is(Kind::kMissing)) return attribute;
  if (object.Is(Kind::kDict)) {
    if (const Value* found = object.As<DictObject>().Find(name); found != nullptr) return *found;
  } else if (object.Is(Kind::kUndefined)) {
    FailUndefined(object);
  }
  return NoAttribute(object, name);
}

Value GetItem(Runtime& rt, const Value& object, const Value& key) {
  rt.Step();
  if (Value item = FindItem(rt, object, key); !item.Is(Kind::kMissing)) return item;
  if (key.Is(Kind::kString)) {
    if (Value attribute = FindAttribute(rt, object, key.Text()); !attribute.Is(Kind::kMissing)) return attribute;
    return NoAttribute(object, key.Text());
  }
  const std::string element = key.IsNumber() ? Repr(rt, key) : fmt::format("of type '{}'", TypeName(key));
  return Value::Undefined(fmt::format("{} object has no element {}", TypeName(object), element));
}

Value GetOnlyAttribute(Runtime& rt, const Value& object, const std::string& name) {
  rt.Step();
  Value attribute = FindAttribute(rt, object, name);
  return attribute.Is(Kind::kMissing) ? NoAttribute(object, name) : attribute;
}

Value GetSlice(Runtime& rt, const Value& object, const Value& start, const Value& stop, const Value& step) {
  rt.Step();
  switch (object.kind()) {
    case Kind::kUndefined:
      FailUndefined(object);
    case Kind::kString:
    case Kind::kList:
    case Kind::kTuple:
    case Kind::kRange:
      break;
    default:
      Fail(fmt::format("'{}' object cannot be sliced", TypeName(object)));
  }
  const Bounds bounds = ClipSlice(LengthOf(object), start, stop, step);
  RangeObject indices;
  indices.start = bounds.start;
  indices.stop = bounds.stop;
  indices.step = bounds.step;
  const Int count = indices.size();
  if (object.Is(Kind::kString)) return SliceText(rt, object, bounds, count);
  if (object.Is(Kind::kRange)) {
    const auto& range = object.As<RangeObject>();
    auto part = std::make_shared<RangeObject>();
    part->start = range.start + bounds.start * range.step;
    part->stop = range.start + bounds.stop * range.step;
    if (__builtin_mul_overflow(range.step, bounds.step, &part->step)) FailLimit("an integer exceeds 128 bits");
    return {Kind::kRange, std::move(part)};
  }
  std::vector<Value> items;
  items.reserve(static_cast<size_t>(count));
  for (Int i = 0; i < count; ++i) items.push_back(object.Items()[static_cast<size_t>(bounds.start + i * bounds.step)]);
  rt.Step(static_cast<int64_t>(count / 16));
  return object.Is(Kind::kList) ? rt.List(std::move(items)) : rt.Tuple(std::move(items));
}

Value CallMethod(Runtime& rt, const Value& self, std::string_view name, const Arguments& arguments) {
  rt.Step();
  rt.WorkOnCharacters(self);
  rt.WorkOn(arguments);
  const Method* method = FindMethod(self, name);
  if (method == nullptr || method->changes_self) {
    Fail(fmt::format("'{}' object has no method '{}' that templates may call", TypeName(self), name));
  }
  if (method->call == nullptr) FailUnsupported(0, fmt::format("method '{}' of '{}'", name, TypeName(self)));
  return method->call(rt, self, arguments);
}

}  // namespace qnext::jinja
