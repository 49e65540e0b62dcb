// The objects that belong to a running template: loops, macros, functions, and the variables they close over.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "text/jinja/runtime.h"
#include "text/jinja/value.h"

namespace qnext::jinja {

struct ForStatement;
struct MacroBody;

// The variables of one call of one function: the template itself, a macro, a call block, a recursive loop. Slots are
// numbered per function by scope.cc; what a nested function takes from an outer one it reaches through `outer`.
struct Activation : CyclicObject {
  Activation(size_t slot_count, std::shared_ptr<Activation> enclosing)
      : slots(slot_count), outer(std::move(enclosing)) {}

  void Sever(std::vector<Value>* out) override;

  std::vector<Value> slots;
  std::shared_ptr<Activation> outer;
  bool retained = false;  // Runtime already keeps it
};

// The `loop` variable; also what drives every loop that mentions it.
struct LoopObject : CyclicObject {
  LoopObject(Runtime& rt, const Value& iterated, std::shared_ptr<IteratorObject> items, Int known_length);

  bool Advance(Runtime& rt, Value* out);
  Int Length(Runtime& rt);  // reads an iterator to its end
  // The next item, read ahead; missing at the end.
  const Value& Peek(Runtime& rt);
  // loop.<name>; missing when a loop has no such attribute.
  Value Attribute(Runtime& rt, std::string_view name);
  Value Cycle(const Arguments& arguments) const;
  bool Changed(Runtime& rt, const Arguments& arguments);
  void Sever(std::vector<Value>* out) override;

  Int index0 = -1;
  int depth0 = 0;
  // How to render the loop again over other items ("loop(children)"); null without `recursive`.
  const ForStatement* recursive = nullptr;
  std::shared_ptr<Activation> closure;
  bool retained = false;  // Runtime already keeps it

 private:
  Value iterable_;  // keeps it alive
  std::shared_ptr<IteratorObject> iterator_;
  Int length_;  // -1 until known
  bool peeked_ = false;
  Value after_;
  Value before_;
  Value current_;
  Value last_changed_;
};

struct MacroObject : Object {
  MacroObject(const MacroBody* code, std::shared_ptr<Activation> environment)
      : body(code), closure(std::move(environment)) {}
  const MacroBody* body;
  std::shared_ptr<Activation> closure;
};

// One of the environment's global functions (globals.cc).
struct GlobalFunction {
  std::string_view name;
  std::string_view printed;  // what printing the function itself gives; empty where Python prints an address
  Value (*call)(Runtime& rt, const Arguments& arguments);
};

struct FunctionObject : Object {
  explicit FunctionObject(const GlobalFunction& which) : function(which) {}
  const GlobalFunction& function;
};

}  // namespace qnext::jinja
