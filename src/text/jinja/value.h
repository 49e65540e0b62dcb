// The values a template computes with: Python's, as far as templates meet them.
//
// A Value is cheap to copy. Strings, lists, tuples and dicts never change after they are made (the sandbox refuses the
// mutating methods), so they are shared freely and hold no cycles; what does change while rendering (namespaces, loops,
// iterators, cyclers) lives and dies within one Runtime, which breaks the cycles they can form.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace qnext::jinja {

// Python's integers, as far as 128 bits reach; a result beyond is an error, never a wrap-around.
__extension__ typedef __int128 Int;
__extension__ typedef unsigned __int128 UInt;

enum class Kind : uint8_t {
  kMissing,  // a variable that nothing was assigned to; never the value of an expression
  kUndefined,
  kNone,
  kBool,
  kInt,
  kFloat,
  kString,
  kList,
  kTuple,
  kDict,
  kRange,
  kDictView,
  kIterator,
  kNamespace,
  kLoop,
  kMacro,
  kFunction,
  kMethod,
  kCycler,
  kJoiner,
};

// Nesting of containers (and of iterators over iterators) beyond this is an error: destruction and printing recurse.
inline constexpr int kMaxValueDepth = 400;

struct Object {
  virtual ~Object() = default;
  int depth = 1;  // 1 + that of the deepest value within
};

class Value {
 public:
  Value() = default;
  Value(Kind kind, std::shared_ptr<Object> object) : kind_(kind), object_(std::move(object)) {}

  static Value None() { return Value(Kind::kNone); }
  static Value Bool(bool value) {
    Value result(Kind::kBool);
    result.scalar_.as_bool = value;
    return result;
  }
  static Value Integer(Int value) {
    Value result(Kind::kInt);
    result.scalar_.as_int = value;
    return result;
  }
  static Value Float(double value) {
    Value result(Kind::kFloat);
    result.scalar_.as_float = value;
    return result;
  }
  static Value String(std::string bytes, bool markup = false);
  static Value List(std::vector<Value> items);
  static Value Tuple(std::vector<Value> items);
  // The result of Jinja's Undefined: prints as nothing, fails with `message` when used.
  static Value Undefined(std::string message);

  Kind kind() const { return kind_; }
  bool Is(Kind kind) const { return kind_ == kind; }
  bool IsNumber() const { return kind_ == Kind::kInt || kind_ == Kind::kFloat || kind_ == Kind::kBool; }
  bool IsIntegral() const { return kind_ == Kind::kInt || kind_ == Kind::kBool; }  // bool is an int in Python

  bool AsBool() const { return scalar_.as_bool; }
  Int AsInt() const { return kind_ == Kind::kBool ? Int{scalar_.as_bool} : scalar_.as_int; }
  double AsFloat() const { return scalar_.as_float; }
  std::string_view Text() const;            // of a kString
  bool IsMarkup() const;                    // a kString that went through `safe` or `escape`
  const std::vector<Value>& Items() const;  // of a kList or kTuple

  // The caller knows the type from kind().
  template <typename T>
  T& As() const {
    return static_cast<T&>(*object_);
  }
  const std::shared_ptr<Object>& object() const { return object_; }
  int depth() const { return object_ == nullptr ? 0 : object_->depth; }

 private:
  explicit Value(Kind kind) : kind_(kind) {}

  Kind kind_ = Kind::kMissing;
  union {
    bool as_bool;
    Int as_int;
    double as_float;
  } scalar_ = {};
  std::shared_ptr<Object> object_;
};

// 1 + the deepest of `items`; an error beyond kMaxValueDepth.
int DepthAbove(const std::vector<Value>& items);
int DepthAbove(const Value& item);

struct StringObject : Object {
  StringObject(std::string text, bool is_markup) : bytes(std::move(text)), markup(is_markup) {}
  size_t length() const;  // code points

  const std::string bytes;  // well-formed UTF-8
  const bool markup;

 private:
  mutable std::atomic<int64_t> length_{-1};  // counted when first asked for; constants are shared by threads
};

struct UndefinedObject : Object {
  explicit UndefinedObject(std::string text) : message(std::move(text)) {}
  const std::string message;
};

struct SequenceObject : Object {
  explicit SequenceObject(std::vector<Value> values) : items(std::move(values)), named_group(false) {}
  std::vector<Value> items;
  bool named_group;  // a tuple made by groupby: .grouper and .list
};

// Insertion-ordered, keys as in Python (1, 1.0 and true are one key; the first spelling stays).
class DictObject : public Object {
 public:
  using Entry = std::pair<Value, Value>;
  static constexpr size_t kEntryBytes = sizeof(Entry) + 64;  // with its place in the index

  const std::vector<Entry>& entries() const { return entries_; }
  // An unhashable key is an error.
  const Value* Find(const Value& key) const;
  const Value* Find(std::string_view key) const;
  void Set(Value key, Value value);
  void Reserve(size_t count) { entries_.reserve(count); }
  void Clear();

 private:
  static constexpr size_t kNotFound = static_cast<size_t>(-1);

  size_t Position(const Value& key, size_t hash) const;

  std::vector<Entry> entries_;
  std::unordered_multimap<size_t, size_t> index_;  // hash to position, once the dict is too long to scan
};

struct RangeObject : Object {
  Int start = 0;
  Int stop = 0;
  Int step = 1;
  Int size() const;
};

enum class DictPart : uint8_t { kKeys, kValues, kItems };

struct DictViewObject : Object {
  DictViewObject(std::shared_ptr<DictObject> of, DictPart which) : dict(std::move(of)), part(which) {}
  std::shared_ptr<DictObject> dict;
  DictPart part;
  Value At(size_t index) const;
};

// An object that can come to hold itself, by way of others. Runtime keeps each one it is told of and severs it at the
// end: what it holds moves to `out`, so that nothing is destroyed recursively.
struct CyclicObject : Object {
  virtual void Sever(std::vector<Value>* out) = 0;
};

struct NamespaceObject : CyclicObject {
  DictObject attributes;
  void Sever(std::vector<Value>* out) override;
};

struct CyclerObject : Object {
  std::vector<Value> items;
  size_t position = 0;
};

struct JoinerObject : Object {
  Value separator;
  bool used = false;
};

// A method taken from a value, not called yet ("x.strip").
struct MethodObject : Object {
  MethodObject(Value of, std::string method) : self(std::move(of)), name(std::move(method)) {
    depth = DepthAbove(self);
  }
  Value self;
  std::string name;
};

class Runtime;

// Something that yields values once ("x|map(...)", the iteration of a container). One thread at a time.
struct IteratorObject : Object {
  virtual bool Next(Runtime& rt, Value* out) = 0;  // false at the end
};

// What calls are made with.
struct Arguments {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> named;
};

Value MakeDict(std::shared_ptr<DictObject> dict);  // fixes the depth

}  // namespace qnext::jinja
