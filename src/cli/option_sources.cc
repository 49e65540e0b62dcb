#include "cli/option_sources.h"

#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <vector>

#include "base/file.h"

namespace qnext {
namespace {

// Sets an option that has no value yet; the library checks and converts as it does for the command line.
Status SetOption(CLI::Option& option, const std::vector<std::string>& values, const std::string& source) {
  try {
    for (const std::string& value : values) option.add_result(value);
    option.run_callback();
  } catch (const CLI::Error& error) {
    return InvalidArgument(fmt::format("{}: {}", source, error.what()));
  }
  return {};
}

// The option of that name, spelled with hyphens or underscores; null if there is none.
CLI::Option* FindOption(CLI::App& command, std::string name) {
  std::replace(name.begin(), name.end(), '_', '-');
  if (name == "help" || name == "config-file") return nullptr;
  return command.get_option_no_throw("--" + name);
}

}  // namespace

std::string EnvironmentName(const std::string& option) {
  std::string name = "QNEXT_" + option;
  for (char& c : name) {
    if (c == '-') c = '_';
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  }
  return name;
}

Status FillFromEnvironment(CLI::App& command, const Environment& environment) {
  for (CLI::Option* option : command.get_options()) {
    if (option->count() > 0 || option->get_lnames().empty() || option == command.get_help_ptr()) continue;
    const std::string name = EnvironmentName(option->get_lnames().front());
    if (const std::optional<std::string> value = environment(name)) {
      QNEXT_RETURN_IF_ERROR(SetOption(*option, {*value}, name));
    }
  }
  return {};
}

Status FillFromFile(CLI::App& program, CLI::App& command, const std::string& path) {
  if (path.empty()) return {};
  // The library takes a folder for an empty file.
  QNEXT_RETURN_IF_ERROR(ReadFileToString(path).status());
  std::vector<CLI::ConfigItem> items;
  try {
    items = CLI::ConfigTOML().from_file(path);
  } catch (const CLI::Error& error) {
    return InvalidArgument(fmt::format("{}: {}", path, error.what()));
  }
  for (const CLI::ConfigItem& item : items) {
    if (item.name == "++" || item.name == "--") continue;  // the library's marks for where a section begins and ends
    const std::string source = fmt::format("{}: {}", path, item.fullname());
    const std::vector<CLI::App*> commands = program.get_subcommands(nullptr);
    const bool known = std::any_of(commands.begin(), commands.end(), [&](CLI::App* any) {
      const bool meant = item.parents.empty() || (item.parents.size() == 1 && item.parents[0] == any->get_name());
      return meant && FindOption(*any, item.name) != nullptr;
    });
    if (!known) return InvalidArgument(source + ": no command has such an option");
    if (!item.parents.empty() && item.parents[0] != command.get_name()) continue;
    CLI::Option* option = FindOption(command, item.name);
    if (option == nullptr || option->count() > 0) continue;
    QNEXT_RETURN_IF_ERROR(SetOption(*option, item.inputs, source));
  }
  return {};
}

}  // namespace qnext
