// Prompts: many tokens of one sequence, in blocks; and everything that a verification run wants to see of them.
#pragma once

#include <functional>
#include <span>

#include "model/cuda/gpu_context.h"

namespace qnext::cuda {

// Runs ids at positions start .. of a slot. The logits of the last row are left in ws.logits[0] where `want_last` and
// outputs.logits are not both absent. Returns when the GPU has finished.
struct PrefillArgs {
  int32_t slot = 0;
  int64_t start = 0;
  std::span<const int32_t> ids;
  ForwardOutputs outputs;
  bool want_last = false;
  const std::function<bool()>* cancelled = nullptr;  // asked between blocks
  // [layers, E] or empty: how often each expert is chosen is added to it (only where experts stream in).
  std::span<int32_t> used = {};
};
Status RunPrefill(const GpuContext& context, const PrefillArgs& args);

}  // namespace qnext::cuda
