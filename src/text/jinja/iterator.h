// Iteration as Python's iter() and next().
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "text/jinja/runtime.h"
#include "text/jinja/value.h"

namespace qnext::jinja {

bool IsIterable(const Value& value);

// iter(x); an error for what cannot be iterated. An undefined value iterates as empty.
std::shared_ptr<IteratorObject> Iterate(Runtime& rt, const Value& value);

// list(x).
std::vector<Value> ToVector(Runtime& rt, const Value& value);

// reversed(x), or nullptr for what has no reverse order in Python (iterators and the like).
std::shared_ptr<IteratorObject> IterateReversed(Runtime& rt, const Value& value);

// len(x), or -1 for what has none.
Int LengthOf(const Value& value);

// x[index] of a sequence; `index` is within 0..LengthOf(x)-1.
Value ItemAt(Runtime& rt, const Value& sequence, Int index);

}  // namespace qnext::jinja
