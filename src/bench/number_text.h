// Numbers as reports show them.
#pragma once

#include <fmt/core.h>

#include <string>

namespace qnext {

// Three significant digits (all of them before the point), as the spread of such figures deserves.
inline std::string NumberText(double value) {
  return value >= 1000 ? fmt::format("{:.0f}", value) : fmt::format("{:.3g}", value);
}

}  // namespace qnext
