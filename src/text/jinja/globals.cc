// The environment's global functions.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <ctime>
#include <iterator>
#include <string>

#include "text/jinja/arguments.h"
#include "text/jinja/error.h"
#include "text/jinja/functions.h"
#include "text/jinja/iterator.h"
#include "text/jinja/number.h"
#include "text/jinja/print.h"

namespace qnext::jinja {
namespace {

constexpr Int kMaxRange = 100'000;             // the sandbox's
constexpr Int kMaxRangeBound = Int{1} << 100;  // so that no range computes beyond 128 bits

Value Range(Runtime&, const Arguments& arguments) {
  const Parameters given("range", arguments, {"", "", ""}, 1);
  auto range = std::make_shared<RangeObject>();
  const bool only_stop = given.Find(1) == nullptr;
  range->start = only_stop ? 0 : NeedInt(given[0], "range");
  range->stop = NeedInt(given[only_stop ? 0 : 1], "range");
  range->step = given.IntOr(2, 1);
  if (range->step == 0) Fail("range() arg 3 must not be zero");
  for (const Int bound : {range->start, range->stop, range->step}) {
    if (bound > kMaxRangeBound || bound < -kMaxRangeBound) FailLimit("range() beyond 2**100");
  }
  if (range->size() > kMaxRange) {
    Fail(fmt::format("Range too big. The sandbox blocks ranges larger than MAX_RANGE ({}).", IntText(kMaxRange)));
  }
  return {Kind::kRange, std::move(range)};
}

// dict(mapping or pairs, **named) into `dict`.
void FillDict(Runtime& rt, std::string_view function, const Arguments& arguments, DictObject* dict) {
  if (arguments.positional.size() > 1) {
    Fail(fmt::format("{} expected at most 1 argument, got {}", function, arguments.positional.size()));
  }
  if (!arguments.positional.empty()) {
    const Value& source = arguments.positional[0];
    if (source.Is(Kind::kUndefined)) FailUndefined(source);
    rt.WorkOn(source);
    if (source.Is(Kind::kDict)) {
      for (const auto& [key, value] : source.As<DictObject>().entries()) dict->Set(key, value);
    } else {
      const std::shared_ptr<IteratorObject> pairs = Iterate(rt, source);
      Value pair;
      while (pairs->Next(rt, &pair)) {
        const std::vector<Value> items = ToVector(rt, pair);
        if (items.size() != 2) Fail("dictionary update sequence element has the wrong length; 2 is required");
        dict->Set(items[0], items[1]);
      }
    }
  }
  for (const auto& [name, value] : arguments.named) dict->Set(Value::String(name), value);
  rt.Built(dict->entries().size() * DictObject::kEntryBytes);
}

Value Dict(Runtime& rt, const Arguments& arguments) {
  auto dict = std::make_shared<DictObject>();
  FillDict(rt, "dict", arguments, dict.get());
  return MakeDict(std::move(dict));
}

Value Namespace(Runtime& rt, const Arguments& arguments) {
  auto space = std::make_shared<NamespaceObject>();
  rt.Retain(space);
  FillDict(rt, "namespace", arguments, &space->attributes);
  return {Kind::kNamespace, std::move(space)};
}

Value Cycler(Runtime& rt, const Arguments& arguments) {
  if (!arguments.named.empty()) Fail("cycler() takes no keyword arguments");
  if (arguments.positional.empty()) Fail("at least one item has to be provided");
  auto cycler = std::make_shared<CyclerObject>();
  cycler->depth = DepthAbove(arguments.positional);
  cycler->items = arguments.positional;
  rt.Built(cycler->items.size() * sizeof(Value));
  return {Kind::kCycler, std::move(cycler)};
}

Value Joiner(Runtime& rt, const Arguments& arguments) {
  const Parameters given("joiner", arguments, {"sep"});
  auto joiner = std::make_shared<JoinerObject>();
  joiner->separator = given.Or(0, rt.String(", "));
  joiner->depth = DepthAbove(joiner->separator);
  return {Kind::kJoiner, std::move(joiner)};
}

Value RaiseException(Runtime& rt, const Arguments& arguments) {
  const Parameters given("raise_exception", arguments, {"message"}, 1);
  Fail(Str(rt, given[0]));
}

struct Now {
  std::tm time = {};
  int microseconds = 0;
};

Now LocalNow(const RenderOptions& options) {
  Now now;
  if (options.local_time) {
    now.time = options.local_time();
    return now;
  }
  const auto clock = std::chrono::system_clock::now();
  const std::time_t seconds = std::chrono::system_clock::to_time_t(clock);
  localtime_r(&seconds, &now.time);
  const auto since = clock - std::chrono::system_clock::from_time_t(seconds);
  now.microseconds = static_cast<int>(std::chrono::duration_cast<std::chrono::microseconds>(since).count());
  return now;
}

Value StrftimeNow(Runtime& rt, const Arguments& arguments) {
  const Parameters given("strftime_now", arguments, {"format"}, 1);
  const std::string_view text = NeedText(given[0], "strftime_now");
  const Now now = LocalNow(rt.options());
  // Python fills in what C's strftime would not know of a local time without a zone.
  std::string format;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%' || i + 1 == text.size()) {
      format.push_back(text[i]);
      continue;
    }
    const char code = text[++i];
    if (code == 'f') {
      format += fmt::format("{:06d}", now.microseconds);
    } else if (code != 'z' && code != 'Z') {
      format.push_back('%');
      format.push_back(code);
    }
  }
  if (format.empty()) return rt.String("");
  format.push_back(' ');  // an empty result is then no error
  std::string buffer(format.size() * 64 + 256, '\0');
  rt.Built(buffer.size());
  const size_t size = std::strftime(buffer.data(), buffer.size(), format.c_str(), &now.time);
  if (size == 0) FailLimit("strftime_now(): the result is too long");
  buffer.resize(size - 1);
  return rt.String(std::move(buffer));
}

constexpr GlobalFunction kGlobals[] = {
    {"range", "", Range},
    {"dict", "<class 'dict'>", Dict},
    {"namespace", "<class 'jinja2.utils.Namespace'>", Namespace},
    {"cycler", "<class 'jinja2.utils.Cycler'>", Cycler},
    {"joiner", "<class 'jinja2.utils.Joiner'>", Joiner},
    {"raise_exception", "", RaiseException},
    {"strftime_now", "", StrftimeNow},
};

}  // namespace

const GlobalFunction* FindGlobal(std::string_view name) {
  const auto* found = std::find_if(std::begin(kGlobals), std::end(kGlobals),
                                   [name](const GlobalFunction& global) { return global.name == name; });
  return found == std::end(kGlobals) ? nullptr : found;
}

}  // namespace qnext::jinja
