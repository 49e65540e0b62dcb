// What qnext bench does: options to a report on disk and on stdout.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "base/status.h"
#include "cli/model_options.h"

namespace qnext {

struct BenchOptions {
  std::string kind;  // "quick", "standard", "stress", "memory", "machine"
  ModelFlags model;
  std::optional<int> repetitions;
  double time_limit = 0;
  std::string out;
  std::string path;   // machine only
  std::string rates;  // memory only: whose rates predict; empty: "laptop"
  // For --url only.
  std::string url;
  std::string api_key_file;
  std::string prompt_ids;
  bool standard_fields = false;
  double timeout = 600;
};

Status CheckBenchOptions(const BenchOptions& options);

// The options have passed the check.
Status RunModelBenchmark(const BenchOptions& options);
Status RunServerBenchmark(const BenchOptions& options);
Status RunMachineBenchmark(const BenchOptions& options);

// "1000-5000" of --prompt-ids.
Result<std::pair<int32_t, int32_t>> ParseIdRange(const std::string& text);

}  // namespace qnext
