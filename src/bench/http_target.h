// A benchmark target that is an OpenAI-compatible server: POST /v1/completions, streamed. Knows only HTTP.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bench/http_client.h"
#include "bench/target.h"
#include "bench/text_prompts.h"

namespace qnext {

struct HttpTargetOptions {
  HttpUrl url;
  std::string model;    // empty: the first that the server lists
  std::string api_key;  // empty: none
  // Absent: prompts are text, which every server takes; what words cost in tokens is asked of the server first
  // (text_prompts.h), and the server's count of each prompt is what figures are made of. Otherwise prompts are random
  // token ids from the first to the last.
  std::optional<std::pair<int32_t, int32_t>> prompt_ids;
  // Send nothing that OpenAI does not have: no ignore_eos, so that answers may end early, and no top_k.
  bool standard_fields = false;
  uint64_t prompt_seed = 0;      // another one each time, so that no server has seen the prompts before
  double timeout_seconds = 600;  // the longest wait for the next byte
};

class HttpTarget : public Target {
 public:
  // Asks for the model's name if none is given, and for the lengths of some texts. Errors begin with the URL.
  static Result<std::unique_ptr<HttpTarget>> Connect(HttpTargetOptions options);

  // kUnavailable: the server cannot be reached, answers another status than 200 (with its message), says an error
  // inside the stream, or ends it early. kCorrupt: the stream is not what OpenAI's is, has no usage, or other lengths
  // than asked for.
  Result<RunSample> Run(const WorkloadCase& work, int64_t run) override;
  bool exact_lengths() const override { return options_.prompt_ids.has_value() && !options_.standard_fields; }

  const std::string& model() const { return options_.model; }
  // The tokens of prompt and answer together that the server's list of models gives (as this program and vLLM do);
  // absent: it does not say, or the model was named and so the list not asked for.
  std::optional<int64_t> context() const { return context_; }

 private:
  explicit HttpTarget(HttpTargetOptions options);
  Status FindModel();
  Result<int64_t> CountTokens(const std::string& text);
  Status CheckLengths(const WorkloadCase& work, const RunSample& sample) const;

  HttpTargetOptions options_;
  HttpClient client_;
  std::optional<TextPrompts> text_;
  std::optional<int64_t> context_;
};

}  // namespace qnext
