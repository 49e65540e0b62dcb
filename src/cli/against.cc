#include "cli/against.h"

#include <CLI/CLI.hpp>
#include <utility>

#include "cli/option_errors.h"
#include "cli/program.h"

namespace qnext {

Result<std::vector<std::string>> SplitWords(const std::string& text) {
  std::vector<std::string> words;
  std::string word;
  bool inside = false;  // a word has begun, if only by a quote
  char quote = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '\\' && quote != '\'' && i + 1 < text.size()) {
      word += text[++i];
      inside = true;
    } else if (quote != 0) {
      if (c == quote) {
        quote = 0;
      } else {
        word += c;
      }
    } else if (c == '"' || c == '\'') {
      quote = c;
      inside = true;
    } else if (c == ' ' || c == '\t' || c == '\n' || c == '\r') {
      if (inside) words.push_back(std::exchange(word, {}));
      inside = false;
    } else {
      word += c;
      inside = true;
    }
  }
  if (quote != 0) return InvalidArgument("a quote is not closed");
  if (inside) words.push_back(std::move(word));
  return words;
}

Result<ModelFlags> ParseAgainst(const std::string& text, const ModelFlags& first) {
  Result<std::vector<std::string>> words = SplitWords(text);
  if (!words.ok()) return words.status().WithContext("--against");
  if (words->empty()) return InvalidArgument("--against: names no option");
  ModelFlags flags = first;
  CLI::App app("", "--against");
  app.set_help_flag();
  AddModelOptions(app, flags);
  CheckNumbers(app);
  try {
    // The library takes its arguments from the back.
    app.parse(std::vector<std::string>(words->rbegin(), words->rend()));
  } catch (const CLI::ParseError& error) {
    return InvalidArgument("--against: " + UsageText(error, app));
  }
  if (const Status status = CheckModelFlags(flags); !status.ok()) return status.WithContext("--against");
  return flags;
}

}  // namespace qnext
