// Workload: what a benchmark asks for, as a value.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/random.h"

namespace qnext {

struct WorkloadCase {
  int64_t prompt_tokens = 0;
  int64_t output_tokens = 0;

  int64_t context() const { return prompt_tokens + output_tokens; }
  bool operator==(const WorkloadCase&) const = default;
};

enum class CellKind : uint8_t {
  kGrid,     // prompt x output, short contexts
  kContext,  // prompt and output together fill a context of that many tokens
  kStress,   // one of those that are repeated back to back
  kMemory,   // one size of prompt of the memory benchmark
};
std::string_view CellKindName(CellKind kind);  // "grid", "context", "stress", "memory"

struct PlannedCell {
  CellKind kind = CellKind::kGrid;
  WorkloadCase work;
  int64_t runs = 1;  // 0: as many as there is time for
  int tier = 0;      // cells of a tier take turns; the next tier begins when they are done
};

struct Workload {
  std::string name;
  int64_t warm_ups = 0;            // runs of the first cell whose figures are not used
  std::vector<PlannedCell> cells;  // in order of importance
  bool every_cell_once = false;    // whatever the time limit says
  bool endless = false;            // go round until the time limit

  int64_t runs() const;  // warm-ups included; of an endless one, the warm-ups
};

// Prompts of 50 and of 200 tokens, 100 tokens of output each: some minutes on a slow machine.
Workload QuickWorkload(int64_t runs);
// Prompts of 50, 200, 500 and 1 000 tokens with outputs of 100, 500 and 1 000, and contexts of 2 048, 4 096, ... tokens
// up to 262 144, after 10 warm-ups.
Workload StandardWorkload(int64_t runs);
// Prompts of 50, 200, 500 and 1 000 tokens with 100 tokens of output in turn. `rounds` 0: until the time is over.
Workload StressWorkload(int64_t rounds);
// Prompts of 50 tokens and more, up to what fills a context of 262 144, with 100 tokens of output.
Workload MemoryWorkload(int64_t runs);

// Plain English prose to make prompts of: some hundred words.
std::string_view BenchmarkText();

// `tokens` ids of a text in an order drawn from `random`: a few single ones, so that hardly two prompts begin alike,
// and then pieces of some dozens as they stand in the text. `text` must not be empty.
std::vector<int32_t> MakePrompt(const std::vector<int32_t>& text, int64_t tokens, Random random);

}  // namespace qnext
