// Options that are not on the command line: from the environment and from a file.
#pragma once

#include <string>
#include <vector>

#include "base/status.h"
#include "cli/program.h"

namespace qnext {

// "QNEXT_TOP_K" for "top-k".
std::string EnvironmentName(const std::string& option);

// Gives each option of the parsed `command` that has no value yet the value of its variable, if that is set and not
// empty. A value that the option refuses is kInvalidArgument with the variable first.
Status FillFromEnvironment(CLI::App& command, const Environment& environment);

// A warning for each variable that is set and would set no option of any command of `program`.
std::vector<std::string> UnknownVariables(const CLI::App& program, const Environment& environment);

// The same from a TOML file (toml_reader.h); an empty path is no file. Errors name the path and the line. Keys are
// option names (top-k or top_k) of any command, those of other commands are passed over; under a [command] heading they
// are for that command only. A key that no command has is kInvalidArgument.
Status FillFromFile(CLI::App& program, CLI::App& command, const std::string& path);

}  // namespace qnext
