// One HTTP request on the engine thread: all its prompts, each answered n times, one after the other.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "server/answer_sink.h"
#include "server/backend.h"
#include "server/job_queue.h"
#include "server/server_metrics.h"

namespace qnext::server {

struct PromptWork {
  GenerateRequest request{};  // its stream is set for each answer
  std::string echo{};         // text that precedes each answer; empty unless the prompt is to be repeated
};

struct GenerationWork {
  std::vector<PromptWork> prompts{};
  int64_t n = 1;
  std::chrono::steady_clock::time_point arrival{};
};

// Asks `exchange` before each token whether the client is still there. `metrics` must outlive the job.
std::unique_ptr<Job> MakeGenerationJob(GenerationWork work, std::shared_ptr<Backend> backend,
                                       std::shared_ptr<HttpExchange> exchange, std::unique_ptr<AnswerSink> sink,
                                       ServerMetrics& metrics);

}  // namespace qnext::server
