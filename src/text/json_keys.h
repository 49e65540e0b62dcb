// What a JSON parser that builds objects does not tell: a key that stands twice in one object.
#pragma once

#include <string_view>

#include "base/status.h"

namespace qnext {

// kCorrupt: not JSON (with the place), or one key twice in an object. Readers differ in which of the two they take, so
// such a file contradicts itself.
Status CheckJsonKeys(std::string_view text);

}  // namespace qnext
