// The Unicode data that token ids depend on, as the Python package `tokenizers` has it. docs/text.md
#pragma once

#include <cstdint>

namespace qnext {

inline constexpr char32_t kCodePointEnd = 0x110000;

struct CodePointRange {
  char32_t first;
  char32_t last;
};

#include "text/unicode_tables.inc"  // NOLINT(bugprone-suspicious-include): a table, made by a script

}  // namespace qnext
