#include "text/jinja/iterator.h"

#include <fmt/format.h>

#include <limits>
#include <utility>

#include "text/jinja/error.h"
#include "text/jinja/objects.h"
#include "text/jinja/print.h"
#include "text/jinja/unicode.h"

namespace qnext::jinja {
namespace {

// Counts through whatever ItemAt can index; backwards for reversed().
class IndexIterator : public IteratorObject {
 public:
  IndexIterator(Value sequence, Int size, bool backwards) : sequence_(std::move(sequence)), size_(size) {
    backwards_ = backwards;
    depth = DepthAbove(sequence_);
  }

  bool Next(Runtime& rt, Value* out) override {
    rt.Step();
    if (at_ >= size_) return false;
    *out = ItemAt(rt, sequence_, backwards_ ? size_ - 1 - at_ : at_);
    ++at_;
    return true;
  }

 private:
  Value sequence_;
  Int size_;
  Int at_ = 0;
  bool backwards_;
};

// Characters, without a search for each one's offset.
class TextIterator : public IteratorObject {
 public:
  explicit TextIterator(Value text) : text_(std::move(text)) { depth = DepthAbove(text_); }

  bool Next(Runtime& rt, Value* out) override {
    rt.Step();
    const std::string_view text = text_.Text();
    if (offset_ >= text.size()) return false;
    const size_t size = DecodeAt(text, offset_).size;
    *out = rt.String(std::string(text.substr(offset_, size)));
    offset_ += size;
    return true;
  }

 private:
  Value text_;
  size_t offset_ = 0;
};

class EmptyIterator : public IteratorObject {
 public:
  bool Next(Runtime&, Value*) override { return false; }
};

// Iterating the `loop` variable itself moves the loop on and yields (item, loop).
class LoopIterator : public IteratorObject {
 public:
  explicit LoopIterator(Value loop) : loop_(std::move(loop)) { depth = DepthAbove(loop_); }

  bool Next(Runtime& rt, Value* out) override {
    const DepthGuard guard(rt);
    rt.Step();
    Value item;
    if (!loop_.As<LoopObject>().Advance(rt, &item)) return false;
    *out = rt.Tuple({std::move(item), loop_});
    return true;
  }

 private:
  Value loop_;
};

bool IsIndexed(const Value& value) {
  switch (value.kind()) {
    case Kind::kList:
    case Kind::kTuple:
    case Kind::kDict:
    case Kind::kDictView:
    case Kind::kRange:
      return true;
    default:
      return false;
  }
}

}  // namespace

bool IsIterable(const Value& value) {
  return IsIndexed(value) || value.Is(Kind::kString) || value.Is(Kind::kUndefined) || value.Is(Kind::kIterator) ||
         value.Is(Kind::kLoop);
}

std::shared_ptr<IteratorObject> Iterate(Runtime& rt, const Value& value) {
  rt.Step();
  if (IsIndexed(value)) return std::make_shared<IndexIterator>(value, LengthOf(value), /*backwards=*/false);
  switch (value.kind()) {
    case Kind::kString:
      return std::make_shared<TextIterator>(value);
    case Kind::kUndefined:
      return std::make_shared<EmptyIterator>();
    case Kind::kIterator:
      return std::static_pointer_cast<IteratorObject>(value.object());
    case Kind::kLoop:
      return std::make_shared<LoopIterator>(value);
    default:
      Fail(fmt::format("'{}' object is not iterable", TypeName(value)));
  }
}

std::vector<Value> ToVector(Runtime& rt, const Value& value) {
  if (value.Is(Kind::kList) || value.Is(Kind::kTuple)) {
    rt.Built(value.Items().size() * sizeof(Value));
    return value.Items();
  }
  std::vector<Value> items;
  const std::shared_ptr<IteratorObject> iterator = Iterate(rt, value);
  Value item;
  while (iterator->Next(rt, &item)) {
    rt.Built(sizeof(Value));
    items.push_back(std::move(item));
    rt.CheckItems(static_cast<Int>(items.size()));
  }
  return items;
}

std::shared_ptr<IteratorObject> IterateReversed(Runtime& rt, const Value& value) {
  rt.Step();
  if (value.Is(Kind::kString)) {
    return std::make_shared<TextIterator>(rt.String(ReverseCodePoints(value.Text())));
  }
  if (value.Is(Kind::kUndefined)) return std::make_shared<EmptyIterator>();
  if (!IsIndexed(value)) return nullptr;
  return std::make_shared<IndexIterator>(value, LengthOf(value), /*backwards=*/true);
}

Int LengthOf(const Value& value) {
  switch (value.kind()) {
    case Kind::kUndefined:
      return 0;
    case Kind::kString:
      return static_cast<Int>(value.As<StringObject>().length());
    case Kind::kList:
    case Kind::kTuple:
      return static_cast<Int>(value.Items().size());
    case Kind::kDict:
      return static_cast<Int>(value.As<DictObject>().entries().size());
    case Kind::kDictView:
      return static_cast<Int>(value.As<DictViewObject>().dict->entries().size());
    case Kind::kRange:
      return value.As<RangeObject>().size();
    default:
      return -1;
  }
}

Value ItemAt(Runtime& rt, const Value& sequence, Int index) {
  const auto at = static_cast<size_t>(index);
  switch (sequence.kind()) {
    case Kind::kDict:
      return sequence.As<DictObject>().entries()[at].first;
    case Kind::kDictView:
      return sequence.As<DictViewObject>().At(at);
    case Kind::kRange:
      return Value::Integer(sequence.As<RangeObject>().start + index * sequence.As<RangeObject>().step);
    case Kind::kString: {
      const std::string_view text = sequence.Text();
      const bool ascii = sequence.As<StringObject>().length() == text.size();
      if (!ascii) rt.WorkOnCharacters(sequence);
      const size_t offset = ascii ? at : OffsetOfCodePoint(text, at);
      return rt.String(std::string(text.substr(offset, DecodeAt(text, offset).size)), sequence.IsMarkup());
    }
    default:
      return sequence.Items()[at];
  }
}

}  // namespace qnext::jinja
