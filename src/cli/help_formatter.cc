#include "cli/help_formatter.h"

#include <sstream>

namespace qnext {
namespace {

constexpr size_t kLeftWidth = 32;
constexpr size_t kRightWidth = 86;

}  // namespace

std::string WrapText(const std::string& text, size_t width) {
  std::istringstream words(text);
  std::string out, line;
  for (std::string word; words >> word;) {
    if (!line.empty() && line.size() + 1 + word.size() > width) {
      out += line + "\n";
      line.clear();
    }
    if (!line.empty()) line += ' ';
    line += word;
  }
  return out + line;
}

HelpFormatter::HelpFormatter() { column_width(kLeftWidth); }

std::string HelpFormatter::make_option_opts(const CLI::Option* option) const {
  return option->get_type_size() == 0 ? "" : " " + option->get_type_name();
}

std::string HelpFormatter::make_option_desc(const CLI::Option* option) const {
  std::string text = option->get_description();
  if (!option->get_default_str().empty()) text += "; default " + option->get_default_str();
  return WrapText(text, kRightWidth);
}

}  // namespace qnext
