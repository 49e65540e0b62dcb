#include "text/jinja/runtime.h"

#include <utility>

#include "text/jinja/error.h"

namespace qnext::jinja {
namespace {

// What the smallest object that is kept until the end stands for: itself, and what else hangs on it unseen.
constexpr size_t kRetainedBytes = 1024;

[[noreturn]] void FailTooLarge() { FailLimit("a value or the output is larger than allowed"); }

}  // namespace

Runtime::~Runtime() {
  std::vector<Value> held;
  for (const auto& object : retained_) object->Sever(&held);
}

void Runtime::FailSteps() { FailLimit("rendering takes more steps than allowed"); }

void Runtime::FailDepth() { FailLimit("the template recurses too deeply"); }

void Runtime::WorkOn(const Value& value) {
  if (value.Is(Kind::kString)) Work(value.Text().size());
}

void Runtime::WorkOnCharacters(const Value& value) {
  if (value.Is(Kind::kString)) Step(static_cast<int64_t>(value.Text().size() / 8));
}

void Runtime::CheckItems(Int count) const {
  if (count > max_items()) FailTooLarge();
}

void Runtime::WorkOn(const Arguments& arguments) {
  for (const Value& value : arguments.positional) WorkOn(value);
  for (const auto& [name, value] : arguments.named) WorkOn(value);
}

void Runtime::Built(size_t bytes) {
  const auto size = static_cast<int64_t>(bytes);
  if (size > options_.max_output_bytes) FailTooLarge();
  built_bytes_ += size;
  if (built_bytes_ > options_.max_built_bytes) FailLimit("rendering builds more data than allowed");
}

Value Runtime::String(std::string bytes, bool markup) {
  Built(bytes.size());
  return Value::String(std::move(bytes), markup);
}

Value Runtime::List(std::vector<Value> items) {
  Built(items.size() * sizeof(Value));
  return Value::List(std::move(items));
}

Value Runtime::Tuple(std::vector<Value> items) {
  Built(items.size() * sizeof(Value));
  return Value::Tuple(std::move(items));
}

void Runtime::Retain(std::shared_ptr<CyclicObject> object) {
  Built(kRetainedBytes);
  retained_.push_back(std::move(object));
}

void TextBuilder::Append(std::string_view text) {
  runtime_.Built(text.size());
  const auto limit = static_cast<size_t>(runtime_.options().max_output_bytes);
  if (text.size() > limit - text_.size()) FailTooLarge();
  text_.append(text);
}

void TextBuilder::AppendRepeated(std::string_view text, Int count) {
  if (count <= 0 || text.empty()) return;
  const Int limit = runtime_.options().max_output_bytes;
  if (count > limit / static_cast<Int>(text.size())) FailTooLarge();
  runtime_.Step(static_cast<int64_t>(count / 64));
  std::string repeated;
  repeated.reserve(text.size() * static_cast<size_t>(count));
  for (Int i = 0; i < count; ++i) repeated.append(text);
  Append(repeated);
}

}  // namespace qnext::jinja
