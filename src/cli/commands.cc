#include "cli/command.h"

namespace qnext {

std::vector<std::unique_ptr<Command>> AllCommands() {
  std::vector<std::unique_ptr<Command>> commands;
  commands.push_back(MakeServeCommand());
  commands.push_back(MakeChatCommand());
  commands.push_back(MakeGenerateCommand());
  commands.push_back(MakeBatchCommand());
  commands.push_back(MakeProveCommand());
  commands.push_back(MakeBenchCommand());
  commands.push_back(MakeEvalCommand());
  commands.push_back(MakePlanCommand());
  commands.push_back(MakeInspectCommand());
  commands.push_back(MakeSynthCommand());
  commands.push_back(MakeLogitsCommand());
  commands.push_back(MakeProfileCommand());
  return commands;
}

}  // namespace qnext
