// The environment's filters, tests and global functions, by name.
#pragma once

#include <memory>
#include <string_view>

#include "text/jinja/objects.h"
#include "text/jinja/runtime.h"
#include "text/jinja/value.h"

namespace qnext::jinja {

struct FilterFunction {
  std::string_view name;
  Value (*call)(Runtime& rt, const Value& input, const Arguments& arguments);
};

struct TestFunction {
  std::string_view name;
  bool (*call)(Runtime& rt, const Value& input, const Arguments& arguments);
};

// Null for what this engine does not have.
const FilterFunction* FindFilter(std::string_view name);
const TestFunction* FindTest(std::string_view name);
const GlobalFunction* FindGlobal(std::string_view name);

// Whether Jinja's environment has a filter of this name, be it one that this engine refuses.
bool IsJinjaFilter(std::string_view name);

// A method of some type, called as x.name(...); includes those the sandbox refuses, not those this engine lacks.
bool IsKnownMethod(std::string_view name);

}  // namespace qnext::jinja
