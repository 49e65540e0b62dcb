// How --help looks: names and types on the left, wrapped descriptions with defaults on the right.
#pragma once

#include <CLI/CLI.hpp>
#include <cstddef>
#include <string>

namespace qnext {

// `text` with line breaks instead of spaces so that no line is longer than `width`, unless a single word is.
std::string WrapText(const std::string& text, size_t width);

class HelpFormatter : public CLI::Formatter {
 public:
  HelpFormatter();
  std::string make_option_opts(const CLI::Option* option) const override;
  std::string make_option_desc(const CLI::Option* option) const override;
};

}  // namespace qnext
