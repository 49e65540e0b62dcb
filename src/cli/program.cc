#include "cli/program.h"

#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <exception>
#include <utility>

#include "cli/help_formatter.h"
#include "cli/option_sources.h"
#include "cli/version.h"

namespace qnext {
namespace {

constexpr char kFooter[] =
    "Options can also come from the environment (QNEXT_TOP_K for --top-k) and from --config-file;\n"
    "the command line wins over the environment, and the environment over the file.\n"
    "Exit codes: 0 done, 1 failed, 2 bad usage.\n";

CommandLine UsageError(const std::string& message) {
  return {.command = nullptr, .exit_code = kExitUsage, .out = "", .error = message};
}

// One line, whatever the library's message looks like.
std::string OneLine(std::string text) {
  std::replace(text.begin(), text.end(), '\n', ' ');
  return text;
}

}  // namespace

CommandLine ParseCommandLine(const std::vector<std::string>& arguments,
                             const std::vector<std::unique_ptr<Command>>& commands, const Environment& environment) {
  CLI::App app("Runs Qwen3-Next GPTQ Int4 checkpoints on one machine.", "qnext");
  app.set_version_flag("--version", VersionText());
  app.require_subcommand(1);
  app.footer(kFooter);
  app.formatter(std::make_shared<HelpFormatter>());

  std::string config_file;
  std::vector<std::pair<CLI::App*, Command*>> known;
  for (const auto& command : commands) {
    CLI::App* sub = app.add_subcommand(command->name(), command->summary());
    if (command->hidden()) sub->group("");
    command->AddOptions(*sub);
    sub->add_option("--config-file", config_file, "a TOML file with options: top-k = 20, or under [command]")
        ->type_name("FILE");
    sub->footer(kFooter);
    known.emplace_back(sub, command.get());
  }

  // The library would only say that a command is missing.
  if (!arguments.empty() && !arguments[0].empty() && arguments[0][0] != '-' &&
      std::none_of(commands.begin(), commands.end(), [&](const auto& c) { return arguments[0] == c->name(); })) {
    return UsageError(fmt::format("\"{}\" is no command; see qnext --help", arguments[0]));
  }
  try {
    // The library takes its arguments from the back.
    app.parse(std::vector<std::string>(arguments.rbegin(), arguments.rend()));
    for (const auto& [sub, command] : known) {
      if (!sub->parsed()) continue;
      if (const Status status = FillFromEnvironment(*sub, environment); !status.ok()) {
        return UsageError(status.message());
      }
      if (const Status status = FillFromFile(app, *sub, config_file); !status.ok()) {
        return UsageError(status.message());
      }
      if (const Status status = command->Check(); !status.ok()) return UsageError(status.message());
      return {.command = command, .exit_code = kExitDone, .out = "", .error = ""};
    }
    return UsageError("a command is needed; see qnext --help");
  } catch (const CLI::CallForHelp&) {
    for (const auto& [sub, command] : known) {
      if (sub->parsed())
        return {.command = nullptr, .exit_code = kExitDone, .out = sub->help(app.get_name()), .error = ""};
    }
    return {.command = nullptr, .exit_code = kExitDone, .out = app.help(), .error = ""};
  } catch (const CLI::CallForVersion&) {
    return {.command = nullptr, .exit_code = kExitDone, .out = VersionText() + "\n", .error = ""};
  } catch (const CLI::ParseError& error) {
    return UsageError(OneLine(error.what()) + "; see qnext --help");
  }
}

int RunProgram(const std::vector<std::string>& arguments, const Environment& environment) {
  const auto report = [](const std::string& message) { fmt::print(stderr, "qnext: error: {}\n", OneLine(message)); };
  try {
    const std::vector<std::unique_ptr<Command>> commands = AllCommands();
    const CommandLine line = ParseCommandLine(arguments, commands, environment);
    if (line.command != nullptr) {
      const Status status = line.command->Run();
      if (!status.ok()) report(status.message());
      return status.ok() ? kExitDone : kExitFailed;
    }
    std::fputs(line.out.c_str(), stdout);
    if (!line.error.empty()) report(line.error);
    return line.exit_code;
  } catch (const std::exception& error) {
    report(error.what());
  } catch (...) {
    report("an exception of unknown type");
  }
  return kExitFailed;
}

}  // namespace qnext
