// Python's ==, <, in and hash().
#pragma once

#include <cstddef>
#include <string_view>

#include "text/jinja/runtime.h"
#include "text/jinja/value.h"

namespace qnext::jinja {

bool Truthy(const Value& value);

bool Equal(Runtime& rt, const Value& a, const Value& b);

enum class Order : uint8_t { kLess, kLessEqual, kGreater, kGreaterEqual };

// a < b and so on; types that have no order between them are an error.
bool Compare(Runtime& rt, Order order, const Value& a, const Value& b);
inline bool Less(Runtime& rt, const Value& a, const Value& b) { return Compare(rt, Order::kLess, a, b); }

// `item in container`.
bool Contains(Runtime& rt, const Value& container, const Value& item);

// For dict keys. Unhashable values are an error in HashKey; EqualKeys is only asked about hashable ones.
size_t HashKey(const Value& value);
size_t HashText(std::string_view text);
bool EqualKeys(const Value& a, const Value& b);

}  // namespace qnext::jinja
