#include "cli/option_sources.h"

#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "base/file.h"
#include "cli/option_errors.h"
#include "cli/toml_reader.h"

namespace qnext {
namespace {

constexpr int64_t kMaxFileBytes = int64_t{1} << 20;

// Sets an option that has no value yet; the library checks and converts as it does for the command line. An error
// begins with `source`, which stands for the option's name.
Status SetOption(CLI::App& command, CLI::Option& option, const std::vector<std::string>& values,
                 const std::string& source) {
  try {
    for (const std::string& value : values) option.add_result(value);
    option.run_callback();
  } catch (const CLI::Error& error) {
    const std::string text = UsageText(error, command), name = "--" + option.get_lnames().front() + ": ";
    return InvalidArgument(source + ": " + (text.starts_with(name) ? text.substr(name.size()) : text));
  }
  return {};
}

// The option of that name, spelled with hyphens or underscores; null if there is none.
CLI::Option* FindOption(CLI::App& command, std::string name) {
  std::replace(name.begin(), name.end(), '_', '-');
  if (name == "help" || name == "config-file") return nullptr;
  return command.get_option_no_throw("--" + name);
}

bool HasVariable(const CLI::App& command, const CLI::Option& option) {
  return !option.get_lnames().empty() && &option != command.get_help_ptr();
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
    if (option->count() > 0 || !HasVariable(command, *option)) continue;
    const std::string name = EnvironmentName(option->get_lnames().front());
    // An empty variable is none, as elsewhere.
    if (const auto found = environment.find(name); found != environment.end() && !found->second.empty()) {
      QNEXT_RETURN_IF_ERROR(SetOption(command, *option, {found->second}, name));
    }
  }
  return {};
}

std::vector<std::string> UnknownVariables(const CLI::App& program, const Environment& environment) {
  std::set<std::string> known;
  for (const CLI::App* command : program.get_subcommands(nullptr)) {
    for (const CLI::Option* option : command->get_options()) {
      if (HasVariable(*command, *option)) known.insert(EnvironmentName(option->get_lnames().front()));
    }
  }
  std::vector<std::string> warnings;
  for (const auto& [name, value] : environment) {
    if (value.empty() || known.contains(name)) continue;
    warnings.push_back(name + ": no command has an option that this variable sets; it is ignored");
  }
  return warnings;
}

Status FillFromFile(CLI::App& program, CLI::App& command, const std::string& path) {
  if (path.empty()) return {};
  QNEXT_ASSIGN_OR_RETURN(const std::string text, ReadFileToString(path, kMaxFileBytes));
  const Result<std::vector<TomlItem>> items = ReadToml(text);
  if (!items.ok()) return items.status().WithContext(path);
  const std::vector<CLI::App*> commands = program.get_subcommands(nullptr);
  std::map<std::pair<std::string, std::string>, const TomlItem*> seen;  // by table and the name with hyphens
  for (const TomlItem& item : *items) {
    std::string spelled = item.key;
    std::replace(spelled.begin(), spelled.end(), '_', '-');
    const auto [first, fresh] = seen.emplace(std::pair(item.table, spelled), &item);
    if (!fresh) {
      return InvalidArgument(fmt::format("{}: line {}: {}: given twice, in line {} as {}", path, item.line, item.key,
                                         first->second->line, first->second->key));
    }
    const std::string name = item.table.empty() ? item.key : item.table + "." + item.key;
    const std::string source = fmt::format("{}: line {}: {}", path, item.line, name);
    const bool known = std::any_of(commands.begin(), commands.end(), [&](CLI::App* any) {
      const bool meant = item.table.empty() || item.table == any->get_name();
      return meant && FindOption(*any, item.key) != nullptr;
    });
    if (!known) return InvalidArgument(source + ": no command has such an option");
    if (!item.table.empty() && item.table != command.get_name()) continue;
    CLI::Option* option = FindOption(command, item.key);
    if (option == nullptr || option->count() > 0) continue;
    QNEXT_RETURN_IF_ERROR(SetOption(command, *option, item.values, source));
  }
  return {};
}

}  // namespace qnext
