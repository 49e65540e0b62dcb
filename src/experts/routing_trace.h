// A recorded or simulated list of router choices, step by step: what the cache simulator replays.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/status.h"

namespace qnext {

// choices[position][layer][i], so that a recorder appends one position after the other and a step is one stretch.
struct RoutingTrace {
  int64_t layers = 0;  // MoE layers
  int64_t experts = 0;
  int64_t top = 0;
  std::vector<uint16_t> choices;

  int64_t step_choices() const { return layers * top; }
  int64_t positions() const { return static_cast<int64_t>(choices.size()) / step_choices(); }
  const uint16_t* At(int64_t position) const { return choices.data() + position * step_choices(); }
};

// The file form (docs/expert-cache.md): 8 bytes "qnxtrace", then little-endian uint32 version (1), layers, experts,
// top, then the choices as uint16. Errors say what is wrong; the caller puts the path in front.
Result<RoutingTrace> ParseRoutingTrace(std::span<const std::byte> file);
std::vector<std::byte> FormatRoutingTrace(const RoutingTrace& trace);

}  // namespace qnext
