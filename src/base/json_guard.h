// Limits on JSON text, checked before any parser sees it: nesting deep enough to exhaust a stack, and sheer size.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/status.h"

namespace qnext {

struct JsonLimits {
  int64_t max_bytes = int64_t{64} << 20;
  int max_depth = 64;  // arrays and objects open at once
};

// One pass over the text. It does not decide whether the text is JSON (that is the parser's business), only that a
// parser or printer that recurses over it goes no deeper than max_depth. Brackets inside strings do not count.
Status CheckJsonLimits(std::string_view text, const JsonLimits& limits = {});

}  // namespace qnext
