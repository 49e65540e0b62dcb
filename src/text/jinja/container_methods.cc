// Methods of dicts, lists, tuples, ranges, numbers, loops and cyclers.
#include <algorithm>
#include <cmath>
#include <iterator>
#include <utility>

#include "text/jinja/arguments.h"
#include "text/jinja/attribute.h"
#include "text/jinja/compare.h"
#include "text/jinja/error.h"
#include "text/jinja/iterator.h"
#include "text/jinja/objects.h"
#include "text/jinja/print.h"

namespace qnext::jinja {
namespace {

template <DictPart kPart>
Value DictView(Runtime&, const Value& self, const Arguments& arguments) {
  NeedNoArguments("dict method", arguments);
  auto view = std::make_shared<DictViewObject>(std::static_pointer_cast<DictObject>(self.object()), kPart);
  view->depth = DepthAbove(self);
  return {Kind::kDictView, std::move(view)};
}

Value DictGet(Runtime&, const Value& self, const Arguments& arguments) {
  const Parameters given("get", arguments, {"", ""}, 1);
  const Value* found = self.As<DictObject>().Find(given[0]);
  return found != nullptr ? *found : given.Or(1, Value::None());
}

// Nothing changes a value once made, so a copy is the value itself.
Value CopyMethod(Runtime&, const Value& self, const Arguments& arguments) {
  NeedNoArguments("copy", arguments);
  return self;
}

Value CountMethod(Runtime& rt, const Value& self, const Arguments& arguments) {
  const Parameters given("count", arguments, {""}, 1);
  Int count = 0;
  const std::shared_ptr<IteratorObject> items = Iterate(rt, self);
  Value item;
  while (items->Next(rt, &item)) count += Equal(rt, item, given[0]) ? 1 : 0;
  return Value::Integer(count);
}

Value IndexMethod(Runtime& rt, const Value& self, const Arguments& arguments) {
  const Parameters given("index", arguments, {"", "", ""}, 1);
  const Int size = LengthOf(self);
  const auto bound = [&](size_t parameter, Int otherwise) {
    const Int index = given.IntOr(parameter, otherwise);
    return index < 0 ? std::max<Int>(index + size, 0) : index;
  };
  const Int start = bound(1, 0);
  const Int stop = std::min(bound(2, size), size);
  for (Int i = start; i < stop; ++i) {
    if (Equal(rt, ItemAt(rt, self, i), given[0])) return Value::Integer(i);
  }
  Fail("the value is not in the list");
}

Value LoopCycle(Runtime&, const Value& self, const Arguments& arguments) {
  return self.As<LoopObject>().Cycle(arguments);
}

Value LoopChanged(Runtime& rt, const Value& self, const Arguments& arguments) {
  // A loop may be given itself; what it remembers must be let go in the end.
  auto& loop = self.As<LoopObject>();
  if (!std::exchange(loop.retained, true)) rt.Retain(std::static_pointer_cast<LoopObject>(self.object()));
  return Value::Bool(loop.Changed(rt, arguments));
}

Value CyclerNext(Runtime&, const Value& self, const Arguments& arguments) {
  NeedNoArguments("next", arguments);
  auto& cycler = self.As<CyclerObject>();
  Value item = cycler.items[cycler.position];
  cycler.position = (cycler.position + 1) % cycler.items.size();
  return item;
}

Value CyclerReset(Runtime&, const Value& self, const Arguments& arguments) {
  NeedNoArguments("reset", arguments);
  self.As<CyclerObject>().position = 0;
  return Value::None();
}

Value IntBitLength(Runtime&, const Value& self, const Arguments& arguments) {
  NeedNoArguments("bit_length", arguments);
  Int bits = 0;
  const Int value = self.AsInt();
  for (UInt rest = value < 0 ? -static_cast<UInt>(value) : static_cast<UInt>(value); rest != 0; rest >>= 1) ++bits;
  return Value::Integer(bits);
}

Value Conjugate(Runtime&, const Value& self, const Arguments& arguments) {
  NeedNoArguments("conjugate", arguments);
  return self.Is(Kind::kFloat) ? self : Value::Integer(self.AsInt());
}

Value FloatIsInteger(Runtime&, const Value& self, const Arguments& arguments) {
  NeedNoArguments("is_integer", arguments);
  return Value::Bool(std::isfinite(self.AsFloat()) && self.AsFloat() == std::floor(self.AsFloat()));
}

constexpr Method kDictMethods[] = {
    {"clear", nullptr, true},
    {"copy", CopyMethod},
    {"fromkeys", nullptr},
    {"get", DictGet},
    {"items", DictView<DictPart::kItems>},
    {"keys", DictView<DictPart::kKeys>},
    {"pop", nullptr, true},
    {"popitem", nullptr, true},
    {"setdefault", nullptr, true},
    {"update", nullptr, true},
    {"values", DictView<DictPart::kValues>},
};

constexpr Method kListMethods[] = {
    {"append", nullptr, true}, {"clear", nullptr, true},   {"copy", CopyMethod},      {"count", CountMethod},
    {"extend", nullptr, true}, {"index", IndexMethod},     {"insert", nullptr, true}, {"pop", nullptr, true},
    {"remove", nullptr, true}, {"reverse", nullptr, true}, {"sort", nullptr, true},
};

constexpr Method kTupleMethods[] = {{"count", CountMethod}, {"index", IndexMethod}};
constexpr Method kViewMethods[] = {{"isdisjoint", nullptr}, {"mapping", nullptr}};
constexpr Method kLoopMethods[] = {{"cycle", LoopCycle}, {"changed", LoopChanged}};
constexpr Method kCyclerMethods[] = {{"next", CyclerNext}, {"reset", CyclerReset}};
constexpr Method kIteratorMethods[] = {{"close", nullptr}, {"send", nullptr}, {"throw", nullptr}};

constexpr Method kIntMethods[] = {
    {"as_integer_ratio", nullptr}, {"bit_count", nullptr},  {"bit_length", IntBitLength},
    {"conjugate", Conjugate},      {"from_bytes", nullptr}, {"to_bytes", nullptr},
};

constexpr Method kFloatMethods[] = {
    {"as_integer_ratio", nullptr},  {"conjugate", Conjugate}, {"fromhex", nullptr}, {"hex", nullptr},
    {"is_integer", FloatIsInteger},
};

template <size_t kSize>
const Method* FindIn(const Method (&methods)[kSize], std::string_view name) {
  const auto* found = std::find_if(std::begin(methods), std::end(methods),
                                   [name](const Method& method) { return method.name == name; });
  return found == std::end(methods) ? nullptr : found;
}

}  // namespace

const Method* FindContainerMethod(Kind kind, std::string_view name) {
  switch (kind) {
    case Kind::kDict:
      return FindIn(kDictMethods, name);
    case Kind::kList:
      return FindIn(kListMethods, name);
    case Kind::kTuple:
    case Kind::kRange:
      return FindIn(kTupleMethods, name);
    case Kind::kDictView:
      return FindIn(kViewMethods, name);
    case Kind::kLoop:
      return FindIn(kLoopMethods, name);
    case Kind::kCycler:
      return FindIn(kCyclerMethods, name);
    case Kind::kIterator:
      return FindIn(kIteratorMethods, name);
    case Kind::kBool:
    case Kind::kInt:
      return FindIn(kIntMethods, name);
    case Kind::kFloat:
      return FindIn(kFloatMethods, name);
    default:
      return nullptr;
  }
}

}  // namespace qnext::jinja
