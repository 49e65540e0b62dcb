// The part of TOML that a file of options needs, read strictly and with line numbers.
//
//   key = VALUE        bare keys; VALUE is a "basic" or 'literal' string on one line, a number, true, false, or a list
//   of
//                      these in [brackets], over several lines if need be
//   [table]            one level
//   # comment
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace qnext {

struct TomlItem {
  std::string table;  // empty: before any heading
  std::string key;
  std::vector<std::string> values;  // strings without quotes and escapes, all else as written; one, unless it is a list
  bool is_list = false;
  int64_t line = 0;  // of the key
};

// kInvalidArgument: "line 3: " and what is wrong there. A key given twice in a table is an error.
Result<std::vector<TomlItem>> ReadToml(std::string_view text);

}  // namespace qnext
