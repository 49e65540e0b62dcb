#include "cli/option_errors.h"

#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <iterator>
#include <string_view>
#include <vector>

namespace qnext {
namespace {

// The fields of requests and of loading that are options too.
constexpr std::string_view kFields[] = {"temperature",
                                        "top_p",
                                        "top_k",
                                        "min_p",
                                        "presence_penalty",
                                        "frequency_penalty",
                                        "repetition_penalty",
                                        "logit_bias",
                                        "max_tokens",
                                        "stop",
                                        "seed",
                                        "ctx",
                                        "threads",
                                        "routing"};

// The library's messages about an option begin with its name, or have it before " = ".
std::string OptionOf(std::string_view message) {
  const size_t begin = message.find("--");
  if (begin == std::string_view::npos) return "";
  return std::string(message.substr(begin, message.find_first_of(" :=", begin) - begin));
}

std::string UnknownText(const CLI::App& command) {
  const std::vector<std::string> unknown = command.remaining(/*recurse=*/true);
  if (unknown.empty()) return "an argument is not known";
  const std::string& first = unknown.front();
  if (first.size() < 2 || first[0] != '-') return fmt::format("\"{}\": only options are expected here", first);
  return fmt::format("{}: there is no such option", first.substr(0, first.find('=')));
}

}  // namespace

std::string UsageText(const CLI::Error& error, const CLI::App& command) {
  const std::string what = error.what();
  const std::string option = OptionOf(what);
  if (dynamic_cast<const CLI::ExtrasError*>(&error) != nullptr) return UnknownText(command);
  if (option.empty()) {
    if (dynamic_cast<const CLI::RequiredError*>(&error) == nullptr) return what;
    return command.remaining().empty() ? "a command is needed" : UnknownText(command);
  }
  if (dynamic_cast<const CLI::RequiredError*>(&error) != nullptr) return option + ": is needed";
  if (dynamic_cast<const CLI::ArgumentMismatch*>(&error) != nullptr) {
    const bool many = what.find("At Most") != std::string::npos;
    return option + (many ? ": may be given only once" : ": a value is needed");
  }
  if (dynamic_cast<const CLI::ConversionError*>(&error) != nullptr) {
    const size_t equals = what.find(" = ");
    const std::string value = equals == std::string::npos ? "" : what.substr(equals + 3);
    const CLI::Option* known = command.get_option_no_throw(option);
    const bool flag = known != nullptr && known->get_expected_max() == 0;
    return fmt::format("{}: {}\"{}\"", option, flag ? "must be true or false, not " : "cannot be read from ", value);
  }
  return what;
}

Status InOptionTerms(const Status& status) {
  const std::string& message = status.message();
  const size_t colon = message.find(": ");
  if (colon == std::string::npos) return status;
  const std::string_view field = std::string_view(message).substr(0, colon);
  if (std::find(std::begin(kFields), std::end(kFields), field) == std::end(kFields)) return status;
  std::string option(field);
  std::replace(option.begin(), option.end(), '_', '-');
  return {status.code(), "--" + option + message.substr(field.size())};
}

}  // namespace qnext
