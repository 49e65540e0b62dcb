// Filters whose result is an iterator: nothing is computed, and nothing fails, before it is asked for.
#include <fmt/format.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "text/jinja/arguments.h"
#include "text/jinja/attribute_path.h"
#include "text/jinja/compare.h"
#include "text/jinja/error.h"
#include "text/jinja/filters.h"
#include "text/jinja/functions.h"
#include "text/jinja/iterator.h"

namespace qnext::jinja::filters {
namespace {

int DepthAboveAll(const Value& input, const Arguments& arguments) {
  std::vector<Value> held = arguments.positional;
  held.push_back(input);
  for (const auto& [name, value] : arguments.named) held.push_back(value);
  return DepthAbove(held);
}

const Value* FindNamed(const Arguments& arguments, std::string_view name) {
  for (const auto& [key, value] : arguments.named) {
    if (key == name) return &value;
  }
  return nullptr;
}

// A generator over `input`: Begin runs at the first Next, Step for each item until it yields something.
class Generator : public IteratorObject {
 public:
  Generator(Value input, Arguments arguments) : input_(std::move(input)), arguments_(std::move(arguments)) {
    depth = DepthAboveAll(input_, arguments_);
  }

  bool Next(Runtime& rt, Value* out) final {
    const DepthGuard guard(rt);
    if (!started_) {
      started_ = true;
      // Jinja asks `if value:` first, and so never looks at the arguments when there is nothing to do.
      if (!Truthy(input_)) {
        done_ = true;
      } else {
        Begin(rt);
        items_ = Iterate(rt, input_);
      }
    }
    Value item;
    while (!done_ && items_->Next(rt, &item)) {
      rt.Step();
      if (Take(rt, item, out)) return true;
    }
    done_ = true;
    return false;
  }

 protected:
  virtual void Begin(Runtime& rt) = 0;
  // Whether `item` yields a value, which goes to `out`.
  virtual bool Take(Runtime& rt, const Value& item, Value* out) = 0;

  const Arguments& arguments() const { return arguments_; }

 private:
  Value input_;
  Arguments arguments_;
  std::shared_ptr<IteratorObject> items_;
  bool started_ = false;
  bool done_ = false;
};

// The arguments after the first `count` positional ones.
Arguments Rest(const Arguments& arguments, size_t count) {
  Arguments rest;
  rest.positional.assign(arguments.positional.begin() + static_cast<std::ptrdiff_t>(count), arguments.positional.end());
  rest.named = arguments.named;
  return rest;
}

class Mapper : public Generator {
 public:
  using Generator::Generator;

 protected:
  void Begin(Runtime& rt) override {
    const Value* attribute = FindNamed(arguments(), "attribute");
    if (arguments().positional.empty() && attribute != nullptr) {
      for (const auto& [name, value] : arguments().named) {
        if (name != "attribute" && name != "default") Fail(fmt::format("Unexpected keyword argument '{}'", name));
      }
      path_.emplace(rt, *attribute);
      if (const Value* fallback = FindNamed(arguments(), "default"); fallback != nullptr) fallback_ = *fallback;
      return;
    }
    if (arguments().positional.empty()) Fail("map requires a filter argument");
    const Value& name = arguments().positional[0];
    filter_ = name.Is(Kind::kString) ? FindFilter(name.Text()) : nullptr;
    if (filter_ == nullptr && name.Is(Kind::kString) && IsJinjaFilter(name.Text())) {
      FailUnsupported(0, fmt::format("filter '{}'", name.Text()));
    }
    filter_arguments_ = Rest(arguments(), 1);
  }

  bool Take(Runtime& rt, const Value& item, Value* out) override {
    if (path_.has_value()) {
      *out = path_->Get(rt, item, fallback_);
      return true;
    }
    if (filter_ == nullptr) Fail("No filter of the name given to map.");
    rt.WorkOn(item);
    *out = filter_->call(rt, item, filter_arguments_);
    return true;
  }

 private:
  std::optional<AttributePath> path_;
  Value fallback_ = Value::None();
  const FilterFunction* filter_ = nullptr;
  Arguments filter_arguments_;
};

class Selector : public Generator {
 public:
  Selector(Value input, Arguments arguments, bool by_attribute, bool keep)
      : Generator(std::move(input), std::move(arguments)), by_attribute_(by_attribute), keep_(keep) {}

 protected:
  void Begin(Runtime& rt) override {
    const size_t offset = by_attribute_ ? 1 : 0;
    const std::vector<Value>& positional = arguments().positional;
    if (by_attribute_) {
      if (positional.empty()) Fail("Missing parameter for attribute name");
      path_.emplace(rt, positional[0]);
    }
    if (positional.size() <= offset) return;  // truth decides
    has_test_ = true;
    test_ = positional[offset].Is(Kind::kString) ? FindTest(positional[offset].Text()) : nullptr;
    test_arguments_ = Rest(arguments(), offset + 1);
  }

  bool Take(Runtime& rt, const Value& item, Value* out) override {
    const Value tested = path_.has_value() ? path_->Get(rt, item) : item;
    if (has_test_ && test_ == nullptr) Fail("No test of the name given to select or reject.");
    const bool passed = has_test_ ? test_->call(rt, tested, test_arguments_) : Truthy(tested);
    if (passed != keep_) return false;
    *out = item;
    return true;
  }

 private:
  bool by_attribute_;
  bool keep_;
  std::optional<AttributePath> path_;
  bool has_test_ = false;
  const TestFunction* test_ = nullptr;
  Arguments test_arguments_;
};

// A generator whose values are made all at once when the first is asked for.
class Deferred : public IteratorObject {
 public:
  using Make = std::function<std::vector<Value>(Runtime& rt, const Value& input)>;

  Deferred(Value input, const Arguments& arguments, Make make) : input_(std::move(input)), make_(std::move(make)) {
    depth = DepthAboveAll(input_, arguments);
  }

  bool Next(Runtime& rt, Value* out) override {
    const DepthGuard guard(rt);
    rt.Step();
    if (make_) items_ = std::exchange(make_, nullptr)(rt, input_);
    if (at_ >= items_.size()) return false;
    *out = items_[at_++];
    return true;
  }

 private:
  Value input_;
  Make make_;
  std::vector<Value> items_;
  size_t at_ = 0;
};

Value MakeDeferred(const Value& input, const Arguments& arguments, Deferred::Make make) {
  return {Kind::kIterator, std::make_shared<Deferred>(input, arguments, std::move(make))};
}

Value MakeSelector(const Value& input, const Arguments& arguments, bool by_attribute, bool keep) {
  return {Kind::kIterator, std::make_shared<Selector>(input, arguments, by_attribute, keep)};
}

std::vector<Value> Batches(Runtime& rt, const Value& input, Int count, const Value& fill) {
  std::vector<Value> batches;
  std::vector<Value> batch;
  for (Value& item : ToVector(rt, input)) {
    if (static_cast<Int>(batch.size()) == count) batches.push_back(rt.List(std::exchange(batch, {})));
    batch.push_back(std::move(item));
  }
  if (batch.empty()) return batches;
  if (!fill.Is(Kind::kNone)) rt.CheckItems(count);
  while (!fill.Is(Kind::kNone) && static_cast<Int>(batch.size()) < count) {
    rt.Built(sizeof(Value));
    batch.push_back(fill);
  }
  batches.push_back(rt.List(std::move(batch)));
  return batches;
}

std::vector<Value> Slices(Runtime& rt, const Value& input, Int count, const Value& fill) {
  const std::vector<Value> items = ToVector(rt, input);
  if (count == 0) Fail("division by zero");
  std::vector<Value> slices;
  if (count < 0) return slices;
  rt.CheckItems(count);
  const auto size = static_cast<Int>(items.size());
  const Int per_slice = size / count;
  const Int with_extra = size % count;
  Int at = 0;
  for (Int i = 0; i < count; ++i) {
    rt.Step();
    const Int end = at + per_slice + (i < with_extra ? 1 : 0);
    std::vector<Value> slice(items.begin() + static_cast<std::ptrdiff_t>(at),
                             items.begin() + static_cast<std::ptrdiff_t>(end));
    if (!fill.Is(Kind::kNone) && i >= with_extra) slice.push_back(fill);
    slices.push_back(rt.List(std::move(slice)));
    rt.Built(sizeof(SequenceObject));
    at = end;
  }
  return slices;
}

}  // namespace

Value Batch(Runtime&, const Value& input, const Arguments& arguments) {
  const Parameters given("batch", arguments, {"linecount", "fill_with"}, 1);
  const Value& count = given[0];
  const Value fill = given.Or(1, Value::None());
  return MakeDeferred(input, arguments, [count, fill](Runtime& rt, const Value& source) {
    return Batches(rt, source, NeedInt(count, "batch"), fill);
  });
}

Value Items(Runtime&, const Value& input, const Arguments& arguments) {
  NeedNoArguments("items", arguments);
  return MakeDeferred(input, arguments, [](Runtime& rt, const Value& source) {
    std::vector<Value> items;
    if (source.Is(Kind::kUndefined)) return items;
    if (!source.Is(Kind::kDict)) Fail("Can only get item pairs from a mapping.");
    for (const auto& [key, value] : source.As<DictObject>().entries()) items.push_back(rt.Tuple({key, value}));
    return items;
  });
}

Value Map(Runtime&, const Value& input, const Arguments& arguments) {
  return {Kind::kIterator, std::make_shared<Mapper>(input, arguments)};
}

Value Reject(Runtime&, const Value& input, const Arguments& arguments) {
  return MakeSelector(input, arguments, /*by_attribute=*/false, /*keep=*/false);
}

Value RejectAttribute(Runtime&, const Value& input, const Arguments& arguments) {
  return MakeSelector(input, arguments, /*by_attribute=*/true, /*keep=*/false);
}

Value Select(Runtime&, const Value& input, const Arguments& arguments) {
  return MakeSelector(input, arguments, /*by_attribute=*/false, /*keep=*/true);
}

Value SelectAttribute(Runtime&, const Value& input, const Arguments& arguments) {
  return MakeSelector(input, arguments, /*by_attribute=*/true, /*keep=*/true);
}

Value Slice(Runtime&, const Value& input, const Arguments& arguments) {
  const Parameters given("slice", arguments, {"slices", "fill_with"}, 1);
  const Value& count = given[0];
  const Value fill = given.Or(1, Value::None());
  return MakeDeferred(input, arguments, [count, fill](Runtime& rt, const Value& source) {
    return Slices(rt, source, NeedInt(count, "slice"), fill);
  });
}

Value Unique(Runtime&, const Value& input, const Arguments& arguments) {
  const Parameters given("unique", arguments, {"case_sensitive", "attribute"});
  const bool case_sensitive = given.FlagOr(0, false);
  const Value attribute = given.Or(1, Value::None());
  return MakeDeferred(input, arguments, [case_sensitive, attribute](Runtime& rt, const Value& source) {
    const AttributePath path(rt, attribute);
    DictObject seen;
    std::vector<Value> unique;
    for (Value& item : ToVector(rt, source)) {
      const Value value = path.Get(rt, item);
      const Value key = case_sensitive ? value : IgnoreCase(rt, value);
      rt.WorkOn(key);
      if (seen.Find(key) != nullptr) continue;
      seen.Set(key, Value::None());
      unique.push_back(std::move(item));
    }
    return unique;
  });
}

}  // namespace qnext::jinja::filters
