// The command line as a whole: which command, with which options, from which source.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "cli/command.h"

namespace qnext {

// The variables whose names begin with QNEXT_.
using Environment = std::map<std::string, std::string>;

constexpr int kExitDone = 0;
constexpr int kExitFailed = 1;
constexpr int kExitUsage = 2;
constexpr int kExitInterrupted = 130;  // 128 + SIGINT, as shells have it; the status is kCancelled

struct CommandLine {
  Command* command = nullptr;  // null: nothing to run, `exit_code` and the texts say why
  int exit_code = kExitDone;
  std::string out;                      // for stdout: help and version
  std::string error;                    // one line for stderr, without the program's name
  std::vector<std::string> warnings{};  // such lines, too; of a command line that asks for more than help or version
};

// Parses `arguments` (without the program's name) into the options of one of `commands` and checks them. An option that
// is not on the command line is taken from the environment (QNEXT_TOP_K for --top-k), then from the file named by
// --config-file, then from its default. Throws nothing.
CommandLine ParseCommandLine(const std::vector<std::string>& arguments,
                             const std::vector<std::unique_ptr<Command>>& commands, const Environment& environment);

// Has the options of `command` whose type name says that they take numbers refuse what people do not write as numbers.
// Whoever parses options by hand calls it as ParseCommandLine does.
void CheckNumbers(CLI::App& command);

// Parses, runs and reports: what main does. Returns the exit code.
int RunProgram(const std::vector<std::string>& arguments, const Environment& environment);

}  // namespace qnext
