// Workload: what a benchmark asks for, as a value.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace qnext {

struct WorkloadCase {
  int64_t prompt_tokens = 0;
  int64_t output_tokens = 0;
};

struct Workload {
  std::string name;
  int warmups = 0;      // runs of the first case whose figures are not used
  int repetitions = 1;  // of each case
  std::vector<WorkloadCase> cases;

  int64_t runs() const { return warmups + repetitions * static_cast<int64_t>(cases.size()); }
};

// Prompts of 50 and of 200 tokens, 100 tokens of output each: some minutes on a slow machine.
Workload QuickWorkload(int repetitions);

// Plain English prose to make prompts of: some hundred words.
std::string_view BenchmarkText();

// `tokens` ids of a text: run by run from another place, so that no two prompts begin alike, and around its end. `text`
// must not be empty.
std::vector<int32_t> MakePrompt(const std::vector<int32_t>& text, int64_t tokens, int64_t run);

}  // namespace qnext
