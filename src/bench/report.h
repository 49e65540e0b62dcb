// Report: a benchmark's answer with everything that is needed to judge it, and its two forms.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "bench/benchmark_report.h"
#include "bench/runner.h"
#include "bench/workload.h"

namespace qnext {

struct MemoryFigure {
  std::string name;
  int64_t bytes = 0;
};

struct Report {
  std::string date;  // ISO 8601 with time zone
  std::vector<FactGroup> facts;
  Workload workload;
  LoadResult result;
  std::vector<std::string> notes;  // what must be read together with the verdict
  std::vector<MemoryFigure> memory;
  Subject subject = Subject::kUnknown;
  double target_tokens_per_second = 5;  // decode speed wanted of the 80B
};

// The slowest case's median decode speed; 0 when no case has one.
double WorstDecodeSpeed(const Report& report);

// A sentence for the notes where tokens came in bursts, so that their times say how a client, a server or a network
// schedules and not how long a token takes; empty where they did not.
std::string BurstCaveat(const LoadResult& result);

// All of it, raw samples included; the keys are stable, new ones may be added.
std::string FormatReportJson(const Report& report);
// The verdict first (only the 80B reaches or misses the target), then a table of the cases, then memory and facts.
std::string FormatReportMarkdown(const Report& report);

}  // namespace qnext
