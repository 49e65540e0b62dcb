// A plan with what it would give, and the forms it is printed in.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "plan/memory_plan.h"
#include "plan/speed_estimate.h"

namespace qnext {

struct PlanReport {
  struct Decode {
    std::string name;  // "uniform routing"
    int64_t context = 0;
    DecodeEstimate estimate;
  };

  std::string model;
  std::vector<std::pair<std::string, std::string>> options;  // as given and as defaulted: "--kv", "bf16"
  MemoryPlan plan;
  Status fits;
  // Absent (empty) where it does not fit.
  std::string machine;
  int64_t threads = 0;
  std::vector<Decode> decode;
  std::vector<PrefillEstimate> prefill;
};

std::string FormatPlanText(const PlanReport& report);  // for people; ends with a line break
std::string FormatPlanJson(const PlanReport& report);  // one object, indented

// Several plans, one line each under the options in which they differ; the fastest that fits is marked.
std::string FormatSweepText(const std::vector<PlanReport>& reports);
std::string FormatSweepJson(const std::vector<PlanReport>& reports);
// The index of the report with the fastest first decode figure among those that fit; -1: none fits.
int64_t FastestThatFits(const std::vector<PlanReport>& reports);

}  // namespace qnext
