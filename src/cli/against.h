// --against: a second configuration, as the options in which it differs from the first.
#pragma once

#include <string>
#include <vector>

#include "base/status.h"
#include "cli/model_options.h"

namespace qnext {

// Words between white space; 'single' and "double" quotes keep it together, a backslash takes the next character as it
// is (not between single quotes). An open quote is kInvalidArgument.
Result<std::vector<std::string>> SplitWords(const std::string& text);

// `first` with the options in `text` changed; any option of AddModelOptions. Checked as those of a command line;
// errors begin with --against.
Result<ModelFlags> ParseAgainst(const std::string& text, const ModelFlags& first);

}  // namespace qnext
