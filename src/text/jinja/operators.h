// The operators of expressions, for all types.
#pragma once

#include "text/jinja/ast.h"
#include "text/jinja/runtime.h"
#include "text/jinja/value.h"

namespace qnext::jinja {

Value ApplyBinary(Runtime& rt, BinaryOp op, const Value& a, const Value& b);
Value ApplyUnary(UnaryOp op, const Value& operand);
bool ApplyCompare(Runtime& rt, CompareOp op, const Value& a, const Value& b);

// "..." % values, printf style.
Value PercentFormat(Runtime& rt, const Value& format, const Value& values);

// "...".format(...) and format_map; `positional` and `named` as in the call.
Value BraceFormat(Runtime& rt, const Value& format, const std::vector<Value>& positional, const DictObject& named);

}  // namespace qnext::jinja
