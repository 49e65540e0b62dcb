// A benchmark target that is an OpenAI-compatible server: POST /v1/completions, streamed. Knows only HTTP.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/random.h"
#include "bench/http_client.h"
#include "bench/target.h"

namespace qnext {

struct HttpTargetOptions {
  HttpUrl url;
  std::string model;    // empty: the first that the server lists
  std::string api_key;  // empty: none
  // Absent: prompts are text, which every server takes; how many tokens a text has is asked of the server once, so
  // lengths are near what is wanted, and the server's own count is what figures are made of. Otherwise prompts are
  // random token ids from the first to the last, and their lengths are exact.
  std::optional<std::pair<int32_t, int32_t>> prompt_ids;
  // Send nothing that OpenAI does not have: no ignore_eos, so that answers may end early, and no top_k.
  bool standard_fields = false;
  uint64_t prompt_seed = 0;      // another one each time, so that no server has seen the prompts before
  double timeout_seconds = 600;  // the longest wait for the next byte
};

class HttpTarget : public Target {
 public:
  // Asks for the model's name if none is given, and for the length of a text. Errors begin with the URL.
  static Result<std::unique_ptr<HttpTarget>> Connect(HttpTargetOptions options);

  // kUnavailable: the server cannot be reached, answers another status than 200 (with its message), says an error
  // inside the stream, or ends it early. kCorrupt: the stream is not what OpenAI's is, has no usage, or other lengths
  // than asked for.
  Result<RunSample> Run(const WorkloadCase& work, int64_t run) override;
  bool exact_lengths() const override { return options_.prompt_ids.has_value() && !options_.standard_fields; }

  const std::string& model() const { return options_.model; }
  double bytes_per_token() const { return bytes_per_token_; }  // of the benchmark text; 0 where prompts are ids

 private:
  explicit HttpTarget(HttpTargetOptions options);
  Status FindModel();
  Status MeasureText();
  Status CheckLengths(const WorkloadCase& work, const RunSample& sample) const;

  HttpTargetOptions options_;
  HttpClient client_;
  double bytes_per_token_ = 0;
};

// `bytes` of words of the benchmark text in an order drawn from the seed.
std::string MakeTextPrompt(int64_t bytes, Random& random);

}  // namespace qnext
