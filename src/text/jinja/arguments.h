// Binding a call's arguments to a builtin's parameters, with Python's complaints.
#pragma once

#include <array>
#include <initializer_list>
#include <optional>
#include <string_view>

#include "text/jinja/value.h"

namespace qnext::jinja {

// What an argument must be where Python would raise TypeError otherwise.
Int NeedInt(const Value& value, std::string_view what);
std::string_view NeedText(const Value& value, std::string_view what);

// The arguments by parameter. `arguments` and the names must outlive it.
class Parameters {
 public:
  // A name of "" makes a parameter positional-only. Too many, unknown or repeated arguments, and fewer than `required`,
  // are errors.
  Parameters(std::string_view function, const Arguments& arguments, std::initializer_list<std::string_view> names,
             size_t required = 0);

  const Value* Find(size_t index) const { return found_[index]; }         // null: not given
  const Value& operator[](size_t index) const { return *found_[index]; }  // of a required one

  // The argument, or `fallback` when it is not given.
  Int IntOr(size_t index, Int fallback) const;
  std::string_view TextOr(size_t index, std::string_view fallback) const;
  bool FlagOr(size_t index, bool fallback) const;
  Value Or(size_t index, const Value& fallback) const;

 private:
  std::string_view function_;
  std::array<const Value*, 6> found_ = {};
};

void NeedNoArguments(std::string_view function, const Arguments& arguments);

}  // namespace qnext::jinja
