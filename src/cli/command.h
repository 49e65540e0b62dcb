// Command: one subcommand of the program.
#pragma once

#include <memory>
#include <vector>

#include "base/status.h"

namespace CLI {
class App;
}

namespace qnext {

// A command owns the struct that its options fill in. Used once: AddOptions, then Check, then Run.
class Command {
 public:
  virtual ~Command() = default;

  virtual const char* name() const = 0;
  virtual const char* summary() const = 0;  // one line for --help
  // Commands that only developers need are left out of the program's --help; docs/cli.md lists them.
  virtual bool hidden() const { return false; }

  virtual void AddOptions(CLI::App& app) = 0;
  // Whether the options make sense, as far as that is known without any file: an error is bad usage (exit code 2).
  virtual Status Check() = 0;
  // Does the work: an error is exit code 1.
  virtual Status Run() = 0;
};

std::unique_ptr<Command> MakeGenerateCommand();
std::unique_ptr<Command> MakeChatCommand();
std::unique_ptr<Command> MakeInspectCommand();
std::unique_ptr<Command> MakeBatchCommand();
std::unique_ptr<Command> MakeBenchCommand();
std::unique_ptr<Command> MakeEvalCommand();
std::unique_ptr<Command> MakeLogitsCommand();
std::unique_ptr<Command> MakePlanCommand();
std::unique_ptr<Command> MakeProfileCommand();
std::unique_ptr<Command> MakeProveCommand();
std::unique_ptr<Command> MakeServeCommand();
std::unique_ptr<Command> MakeSynthCommand();

// In the order of --help.
std::vector<std::unique_ptr<Command>> AllCommands();

}  // namespace qnext
