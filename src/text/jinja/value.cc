#include "text/jinja/value.h"

#include <algorithm>

#include "text/jinja/compare.h"
#include "text/jinja/error.h"
#include "text/jinja/unicode.h"

namespace qnext::jinja {
namespace {

// Up to here a scan beats hashing and needs no index.
constexpr size_t kScanLimit = 8;

int CheckedDepth(int inner) {
  if (inner >= kMaxValueDepth) FailLimit("values are nested more deeply than this engine allows");
  return inner + 1;
}

}  // namespace

Value Value::String(std::string bytes, bool markup) {
  return {Kind::kString, std::make_shared<StringObject>(std::move(bytes), markup)};
}

Value Value::List(std::vector<Value> items) {
  const int depth = DepthAbove(items);
  auto object = std::make_shared<SequenceObject>(std::move(items));
  object->depth = depth;
  return {Kind::kList, std::move(object)};
}

Value Value::Tuple(std::vector<Value> items) {
  const int depth = DepthAbove(items);
  auto object = std::make_shared<SequenceObject>(std::move(items));
  object->depth = depth;
  return {Kind::kTuple, std::move(object)};
}

Value Value::Undefined(std::string message) {
  return {Kind::kUndefined, std::make_shared<UndefinedObject>(std::move(message))};
}

std::string_view Value::Text() const { return As<StringObject>().bytes; }

bool Value::IsMarkup() const { return kind_ == Kind::kString && As<StringObject>().markup; }

const std::vector<Value>& Value::Items() const { return As<SequenceObject>().items; }

int DepthAbove(const std::vector<Value>& items) {
  int inner = 0;
  for (const Value& item : items) inner = std::max(inner, item.depth());
  return CheckedDepth(inner);
}

int DepthAbove(const Value& item) { return CheckedDepth(item.depth()); }

size_t StringObject::length() const {
  int64_t known = length_.load(std::memory_order_relaxed);
  if (known < 0) {
    known = static_cast<int64_t>(CountCodePoints(bytes));
    length_.store(known, std::memory_order_relaxed);
  }
  return static_cast<size_t>(known);
}

size_t DictObject::Position(const Value& key, size_t hash) const {
  if (index_.empty()) {
    for (size_t i = 0; i < entries_.size(); ++i) {
      if (EqualKeys(entries_[i].first, key)) return i;
    }
    return kNotFound;
  }
  const auto [begin, end] = index_.equal_range(hash);
  for (auto it = begin; it != end; ++it) {
    if (EqualKeys(entries_[it->second].first, key)) return it->second;
  }
  return kNotFound;
}

const Value* DictObject::Find(const Value& key) const {
  const size_t position = Position(key, HashKey(key));
  return position == kNotFound ? nullptr : &entries_[position].second;
}

const Value* DictObject::Find(std::string_view key) const {
  if (index_.empty()) {
    for (const Entry& entry : entries_) {
      if (entry.first.Is(Kind::kString) && entry.first.Text() == key) return &entry.second;
    }
    return nullptr;
  }
  const auto [begin, end] = index_.equal_range(HashText(key));
  for (auto it = begin; it != end; ++it) {
    const Entry& entry = entries_[it->second];
    if (entry.first.Is(Kind::kString) && entry.first.Text() == key) return &entry.second;
  }
  return nullptr;
}

void DictObject::Set(Value key, Value value) {
  const size_t hash = HashKey(key);
  if (const size_t position = Position(key, hash); position != kNotFound) {
    entries_[position].second = std::move(value);
    return;
  }
  entries_.emplace_back(std::move(key), std::move(value));
  if (entries_.size() == kScanLimit + 1) {
    for (size_t i = 0; i < entries_.size(); ++i) index_.emplace(HashKey(entries_[i].first), i);
  } else if (entries_.size() > kScanLimit) {
    index_.emplace(hash, entries_.size() - 1);
  }
}

void DictObject::Clear() {
  index_.clear();
  entries_.clear();
}

Int RangeObject::size() const {
  if (step > 0) return start < stop ? (stop - start - 1) / step + 1 : 0;
  return start > stop ? (start - stop - 1) / -step + 1 : 0;
}

Value DictViewObject::At(size_t index) const {
  const DictObject::Entry& entry = dict->entries()[index];
  switch (part) {
    case DictPart::kKeys:
      return entry.first;
    case DictPart::kValues:
      return entry.second;
    case DictPart::kItems:
      break;
  }
  return Value::Tuple({entry.first, entry.second});
}

void NamespaceObject::Sever(std::vector<Value>* out) {
  for (const auto& [name, value] : attributes.entries()) out->push_back(value);
  attributes.Clear();
}

Value MakeDict(std::shared_ptr<DictObject> dict) {
  int inner = 0;
  for (const auto& [key, value] : dict->entries()) inner = std::max({inner, key.depth(), value.depth()});
  dict->depth = CheckedDepth(inner);
  return {Kind::kDict, std::move(dict)};
}

}  // namespace qnext::jinja
