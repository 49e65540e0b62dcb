#include "text/jinja/objects.h"

#include <utility>

#include "text/jinja/compare.h"
#include "text/jinja/error.h"
#include "text/jinja/iterator.h"

namespace qnext::jinja {

void Activation::Sever(std::vector<Value>* out) {
  for (Value& slot : slots) out->push_back(std::exchange(slot, Value()));
}

LoopObject::LoopObject(Runtime& rt, const Value& iterated, std::shared_ptr<IteratorObject> items, Int known_length)
    : iterable_(iterated), iterator_(std::move(items)), length_(known_length) {
  rt.Built(sizeof(LoopObject));
  depth = DepthAbove(iterated);
}

bool LoopObject::Advance(Runtime& rt, Value* out) {
  if (peeked_) {
    peeked_ = false;
    if (after_.Is(Kind::kMissing)) return false;
    *out = std::exchange(after_, Value());
  } else if (!iterator_->Next(rt, out)) {
    return false;
  }
  ++index0;
  before_ = std::exchange(current_, *out);
  return true;
}

Int LoopObject::Length(Runtime& rt) {
  if (length_ >= 0) return length_;
  std::vector<Value> rest;
  Value item;
  while (iterator_->Next(rt, &item)) rest.push_back(item);
  length_ = static_cast<Int>(rest.size()) + index0 + 1 + (peeked_ && !after_.Is(Kind::kMissing) ? 1 : 0);
  iterator_ = Iterate(rt, rt.List(std::move(rest)));
  return length_;
}

const Value& LoopObject::Peek(Runtime& rt) {
  if (!peeked_ || after_.Is(Kind::kMissing)) {
    after_ = Value();
    Value item;
    if (iterator_->Next(rt, &item)) after_ = std::move(item);
    peeked_ = true;
  }
  return after_;
}

Value LoopObject::Attribute(Runtime& rt, std::string_view name) {
  if (name == "index") return Value::Integer(index0 + 1);
  if (name == "index0") return Value::Integer(index0);
  if (name == "first") return Value::Bool(index0 == 0);
  if (name == "last") return Value::Bool(Peek(rt).Is(Kind::kMissing));
  if (name == "length") return Value::Integer(Length(rt));
  if (name == "revindex") return Value::Integer(Length(rt) - index0);
  if (name == "revindex0") return Value::Integer(Length(rt) - index0 - 1);
  if (name == "depth") return Value::Integer(depth0 + 1);
  if (name == "depth0") return Value::Integer(depth0);
  if (name == "previtem") {
    return index0 == 0 ? Value::Undefined("there is no previous item") : before_;
  }
  if (name == "nextitem") {
    const Value& next = Peek(rt);
    return next.Is(Kind::kMissing) ? Value::Undefined("there is no next item") : next;
  }
  return {};
}

Value LoopObject::Cycle(const Arguments& arguments) const {
  if (!arguments.named.empty()) Fail("loop.cycle() takes no keyword arguments");
  if (arguments.positional.empty()) Fail("no items for cycling given");
  return arguments.positional[static_cast<size_t>(index0 % static_cast<Int>(arguments.positional.size()))];
}

bool LoopObject::Changed(Runtime& rt, const Arguments& arguments) {
  if (!arguments.named.empty()) Fail("loop.changed() takes no keyword arguments");
  Value now = rt.Tuple(arguments.positional);
  if (!last_changed_.Is(Kind::kMissing) && Equal(rt, last_changed_, now)) return false;
  last_changed_ = std::move(now);
  return true;
}

void LoopObject::Sever(std::vector<Value>* out) {
  for (Value* held : {&after_, &before_, &current_, &last_changed_}) out->push_back(std::exchange(*held, Value()));
}

}  // namespace qnext::jinja
