// report.md: a BenchmarkReport as a person reads it.
#pragma once

#include <string>

#include "bench/benchmark_report.h"

namespace qnext {

// The verdict first (only the 80B reaches or misses the target), then caveats, a table of the cells by kind, what was
// left out, drift, memory, the sweep, and facts.
std::string FormatBenchmarkMarkdown(const BenchmarkReport& report);

// The first sentence, with markup.
std::string VerdictSentence(const BenchmarkReport& report);

}  // namespace qnext
