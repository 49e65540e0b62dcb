// The memory side of a benchmark's report: planned against measured, and what other budgets would give.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/status.h"
#include "bench/benchmark_report.h"
#include "cli/machine.h"
#include "cli/model_options.h"
#include "engine/engine.h"

namespace qnext {

// A row for each part that was planned, then the totals. What the system tells of single parts is the weights on the
// CPU (`before`, `loaded`: the process around loading) and the mapped part of the expert cache; of the rest only sums.
std::vector<MemoryComponent> MemoryComponents(const Engine& engine, const ProcessMemory& before,
                                              const ProcessMemory& loaded);

// Budgets as the flags give them.
MemoryBudgets BudgetsOf(const ModelFlags& flags);

// What `qnext plan` says of this model on a GPU under 6 to 24 GiB of VRAM and the flags' own, each with KV cache and
// dense weights as they are and smaller, at a context of `context` tokens. `rates`: as plan's --machine. `ram`: the
// budget where the flags give none. Errors: rates that cannot be read; a model that the GPU's kernels cannot run.
Result<Sweep> SweepBudgets(const ModelFlags& flags, const std::string& rates, int64_t context, int64_t ram);

}  // namespace qnext
