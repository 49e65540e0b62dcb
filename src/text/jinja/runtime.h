// What one rendering may use, and what it has used: steps, bytes built, and the objects whose cycles it must break.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "text/chat_template.h"
#include "text/jinja/value.h"

namespace qnext::jinja {

// One thread, one rendering. Every operation whose cost depends on its operands says so through Step, Work or Built;
// going over a limit is an error, so that no template can hang or fill the memory.
class Runtime {
 public:
  explicit Runtime(const RenderOptions& options) : options_(options) {}
  ~Runtime();
  Runtime(const Runtime&) = delete;
  Runtime& operator=(const Runtime&) = delete;

  const RenderOptions& options() const { return options_; }

  void Step(int64_t count = 1) {
    steps_ += count;
    if (steps_ > options_.max_steps) FailSteps();
  }
  // Reading `bytes` of a string: a step per cache line.
  void Work(size_t bytes) { Step(static_cast<int64_t>(bytes / 64)); }
  // The same for a value, if it is a string; the items of containers are counted where they are visited.
  void WorkOn(const Value& value);
  void WorkOn(const Arguments& arguments);
  // For what looks at every character by itself, which costs more.
  void WorkOnCharacters(const Value& value);
  // Making a value of `bytes`. One value may not exceed the limit on the output.
  void Built(size_t bytes);
  // A container of `count` items, before it is filled; the items are to be counted with Built all the same.
  void CheckItems(Int count) const;
  Int max_items() const { return options_.max_output_bytes / static_cast<Int>(sizeof(Value)); }

  // Count the value's size, then make it.
  Value String(std::string bytes, bool markup = false);
  Value List(std::vector<Value> items);
  Value Tuple(std::vector<Value> items);

  // Keeps `object` until the end and severs it then.
  void Retain(std::shared_ptr<CyclicObject> object);

  // The line in progress, for messages.
  int line = 0;

 private:
  friend class DepthGuard;
  [[noreturn]] static void FailSteps();
  [[noreturn]] static void FailDepth();

  const RenderOptions& options_;
  int depth_ = 0;
  int64_t steps_ = 0;
  int64_t built_bytes_ = 0;
  std::vector<std::shared_ptr<CyclicObject>> retained_;
};

// Bounds the native stack: one for each function that evaluation, through macro calls, loops and iterators over
// iterators, can come back to. A macro that calls itself takes four or five of them a call; Python's own limit stops
// it after some two hundred calls.
class DepthGuard {
 public:
  explicit DepthGuard(Runtime& runtime) : runtime_(runtime) {
    if (runtime.depth_ >= kMaxDepth) Runtime::FailDepth();
    ++runtime.depth_;
  }
  ~DepthGuard() { --runtime_.depth_; }
  DepthGuard(const DepthGuard&) = delete;
  DepthGuard& operator=(const DepthGuard&) = delete;

 private:
  static constexpr int kMaxDepth = 2000;
  Runtime& runtime_;
};

// Text under construction, within the limits. `runtime` must outlive it.
class TextBuilder {
 public:
  explicit TextBuilder(Runtime& runtime) : runtime_(runtime) {}

  void Append(std::string_view text);
  void Append(char c) { Append(std::string_view(&c, 1)); }
  void AppendRepeated(std::string_view text, Int count);
  std::string Take() { return std::move(text_); }
  const std::string& text() const { return text_; }
  Runtime& runtime() const { return runtime_; }

 private:
  Runtime& runtime_;
  std::string text_;
};

}  // namespace qnext::jinja
