// POST /benchmark: a few generations on the engine thread, measured, one after the other. Its full-grown kin is
// `qnext bench`.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "bench/workload.h"
#include "server/api_types.h"
#include "server/backend.h"
#include "server/http_exchange.h"
#include "server/job_queue.h"

namespace qnext::server {

std::string_view BenchmarkTypeName(BenchmarkType type);  // "standard", "stress", "memory"

// The prompts and outputs of a type that fit a context of that many tokens, in the order in which iterations take
// turns; empty if none does.
std::vector<WorkloadCase> BenchmarkCases(BenchmarkType type, int64_t context);

struct BenchmarkIteration {
  WorkloadCase work;
  double tokens_per_second = 0;  // decode speed: from the first token to the last
  int64_t memory_bytes = 0;      // of the process and of the GPU, just after
};

// {"benchmark_type", "iterations", "avg_", "min_", "max_", "p95_tokens_per_second", "avg_memory_usage_gb",
// "test_prompts"}. `iterations` must not be empty.
std::string FormatBenchmark(BenchmarkType type, const std::vector<BenchmarkIteration>& iterations);

// After one more of the first case that does not count. `seed`: of prompts and tokens; no two iterations have the same
// prompt. `go_on` is asked before each token; kCancelled after it said no.
Result<std::vector<BenchmarkIteration>> RunIterations(Backend& backend, const std::vector<WorkloadCase>& cases,
                                                      int64_t iterations, uint64_t seed,
                                                      const std::function<bool()>& go_on);

struct BenchmarkWork {
  BenchmarkRequest request;
  std::vector<WorkloadCase> cases;  // not empty
  uint64_t seed = 0;
};

// Answers `exchange` when it has run. `on_answer` is told the status, once.
std::unique_ptr<Job> MakeBenchmarkJob(BenchmarkWork work, std::shared_ptr<Backend> backend,
                                      std::shared_ptr<HttpExchange> exchange,
                                      std::function<void(int status)> on_answer);

}  // namespace qnext::server
