#include "cli/program.h"

#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <new>
#include <utility>

#include "cli/help_formatter.h"
#include "cli/option_errors.h"
#include "cli/option_sources.h"
#include "cli/output.h"
#include "cli/version.h"

namespace qnext {
namespace {

constexpr char kFooter[] =
    "Options can also come from the environment (QNEXT_TOP_K for --top-k) and from --config-file;\n"
    "the command line wins over the environment, and the environment over the file.\n"
    "Exit codes: 0 done, 1 failed, 2 bad usage, 130 interrupted (Ctrl-C).\n";

// Numbers as people write them. The library's own conversion saturates, takes empty text for "not given", and reads 010
// as octal; a number that means something else than it says is an error instead. `kind` is the option's type name.
std::string CheckNumber(const std::string& kind, const std::string& text) {
  const char* begin = text.data();
  const char* end = begin + text.size();
  if (kind == "X") {
    double value = 0;
    const auto [rest, error] = std::from_chars(begin, end, value);
    return error == std::errc() && rest == end ? "" : fmt::format("\"{}\" is not a number", text);
  }
  const bool negative = !text.empty() && text[0] == '-';
  const size_t first = negative ? 1 : 0;
  const bool leading_zero = text.size() > first + 1 && text[first] == '0';
  int64_t value = 0;
  uint64_t unsigned_value = 0;
  const auto [rest, error] =
      kind == "seed" ? std::from_chars(begin, end, unsigned_value) : std::from_chars(begin, end, value);
  if (error != std::errc() || rest != end || leading_zero) {
    return fmt::format("\"{}\" is not a whole number{}", text, kind == "seed" ? " of 0 to 2^64 - 1" : "");
  }
  return "";
}

CommandLine UsageError(const std::string& message) {
  return {.command = nullptr, .exit_code = kExitUsage, .out = "", .error = OneLine(message)};
}

// Commands as the library knows them and as they are.
using Registered = std::vector<std::pair<CLI::App*, Command*>>;

CommandLine ParseRegistered(CLI::App& app, const Registered& known, const std::string& config_file,
                            const std::vector<std::string>& arguments, const Environment& environment) {
  // The library would only say that a command is missing.
  if (!arguments.empty() && !arguments[0].empty() && arguments[0][0] != '-' &&
      std::none_of(known.begin(), known.end(), [&](const auto& k) { return arguments[0] == k.first->get_name(); })) {
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
    for (const auto& [sub, command] : known) {
      if (!sub->parsed()) continue;
      return UsageError(fmt::format("{}; see qnext {} --help", UsageText(error, *sub), sub->get_name()));
    }
    return UsageError(UsageText(error, app) + "; see qnext --help");
  }
}

}  // namespace

void CheckNumbers(CLI::App& command) {
  for (CLI::Option* option : command.get_options()) {
    const std::string kind = option->check_lname("seed") ? "seed" : option->get_type_name();
    if (kind != "N" && kind != "K" && kind != "seed" && kind != "X") continue;
    option->check(CLI::Validator([kind](std::string& text) { return CheckNumber(kind, text); }, "", "number"));
  }
}

CommandLine ParseCommandLine(const std::vector<std::string>& arguments,
                             const std::vector<std::unique_ptr<Command>>& commands, const Environment& environment) {
  CLI::App app("Runs Qwen3-Next GPTQ Int4 checkpoints on one machine.", "qnext");
  app.set_version_flag("--version", VersionText());
  app.require_subcommand(1);
  app.footer(kFooter);
  app.formatter(std::make_shared<HelpFormatter>());

  std::string config_file;
  Registered known;
  for (const auto& command : commands) {
    CLI::App* sub = app.add_subcommand(command->name(), command->summary());
    if (command->hidden()) sub->group("");
    command->AddOptions(*sub);
    CheckNumbers(*sub);
    sub->add_option("--config-file", config_file, "a TOML file with options: top-k = 20, or under [command]")
        ->type_name("FILE");
    sub->footer(kFooter);
    known.emplace_back(sub, command.get());
  }

  CommandLine line = ParseRegistered(app, known, config_file, arguments, environment);
  // Most useful beside an error, which a misspelt variable may have caused.
  if (line.command != nullptr || !line.error.empty()) line.warnings = UnknownVariables(app, environment);
  return line;
}

int RunProgram(const std::vector<std::string>& arguments, const Environment& environment) {
  const auto report = [](const std::string& message) { Remark("qnext: error: " + OneLine(message)); };
  try {
    const std::vector<std::unique_ptr<Command>> commands = AllCommands();
    const CommandLine line = ParseCommandLine(arguments, commands, environment);
    for (const std::string& warning : line.warnings) fmt::print(stderr, "qnext: warning: {}\n", OneLine(warning));
    if (line.command != nullptr) {
      Status status = line.command->Run();
      // What a command printed may still be on its way.
      if (status.ok()) status = TextOutput(stdout).Flush();
      if (!status.ok()) report(status.message());
      if (status.code() == StatusCode::kCancelled) return kExitInterrupted;
      return status.ok() ? kExitDone : kExitFailed;
    }
    TextOutput out(stdout);
    out.Write(line.out);
    if (!out.status().ok()) {
      report(out.status().message());
      return kExitFailed;
    }
    if (!line.error.empty()) report(line.error);
    return line.exit_code;
  } catch (const std::bad_alloc&) {
    report("out of memory");
  } catch (const std::exception& error) {
    report(error.what());
  } catch (...) {
    report("an exception of unknown type");
  }
  return kExitFailed;
}

}  // namespace qnext
