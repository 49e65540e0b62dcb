// What the server needs from whatever generates: an interface, so that the server is built and tested without an
// engine.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/function_ref.h"
#include "base/status.h"

namespace qnext::server {

// How a token is drawn; engine/sampling_params.h has the same fields. Every value has been checked against the range
// given here before a backend sees it.
struct SamplingParams {
  double temperature = 1;                 // [0, 2]; 0 is greedy
  int64_t top_k = 0;                      // >= 0; 0 is off
  double top_p = 1;                       // [0, 1]; 1 is off, 0 keeps the most probable token alone
  double min_p = 0;                       // [0, 1]; 0 is off
  double presence_penalty = 0;            // [-2, 2]
  double frequency_penalty = 0;           // [-2, 2]
  double repetition_penalty = 1;          // [0.01, 100]; 1 is off
  std::map<int32_t, float> logit_bias{};  // [-100, 100] by token id below ModelInfo::vocab_size
  uint64_t seed = 0;                      // the same request with the same seed gives the same tokens
};

// One generation: one prompt, one answer.
struct GenerateRequest {
  std::vector<int32_t> prompt{};  // never empty, ids below ModelInfo::vocab_size, fits the context with max_tokens
  int64_t max_tokens = 0;         // 0 only to score a prompt (prompt_logprobs)
  SamplingParams sampling{};
  std::vector<std::string> stop{};    // none empty; the text ends before the first that appears
  std::optional<int32_t> logprobs{};  // the number of alternatives wanted beside each token's own log-probability
  bool prompt_logprobs = false;       // score the prompt's tokens as well; only where ModelInfo says that it can
  bool ignore_eos = false;            // go on to max_tokens (benchmarks)
  bool chat = false;    // the prompt is a rendered conversation: the template's end of a message ends it as well
  uint64_t stream = 0;  // 0 .. n-1: answers to one request have one seed and differ in this
};

struct TokenLogprob {
  int32_t id = 0;
  float logprob = 0;
};

// A token with its log-probability, and the alternatives, most probable first; both only if logprobs were asked for.
struct ScoredToken {
  int32_t id = 0;
  float logprob = 0;
  std::vector<TokenLogprob> top{};
};

// What came since the last call. `text` is whole UTF-8 characters that can no longer be part of a stop string, so it
// may be empty although tokens came, and hold text of earlier tokens. An event with nothing in it asks only whether to
// go on.
struct GenerationEvent {
  std::string_view text{};
  std::span<const ScoredToken> tokens{};
  // With prompt_logprobs: all the prompt's tokens, in one or more events before the first of `tokens`. The very first
  // has no log-probability of its own; what is given for it is not shown.
  std::span<const ScoredToken> prompt{};
};

// Returns false when nobody waits for the answer any more: the generation must end before its next token.
using GenerationCallback = FunctionRef<bool(const GenerationEvent&)>;

enum class FinishReason {
  kStop,    // end of turn or a stop string
  kLength,  // max_tokens or the context's end
};

struct GenerateResult {
  FinishReason finish_reason = FinishReason::kStop;
  int64_t prompt_tokens = 0;
  int64_t cached_prompt_tokens = 0;  // of those, how many a prefix cache held
  int64_t completion_tokens = 0;
};

struct ModelInfo {
  std::string id{};            // the name clients use
  std::string fingerprint{};   // system_fingerprint: changes when answers for one seed may change; may be empty
  int64_t created_unix = 0;    // seconds
  int64_t context_length = 0;  // tokens of prompt and answer together
  int64_t vocab_size = 0;      // ids from here on do not exist
  bool supports_prompt_logprobs = false;
  SamplingParams default_sampling{};  // what a request that names no value gets (generation_config.json)
};

// Bytes; 0 where there is no GPU.
struct MemoryUse {
  int64_t gpu_used = 0;
  int64_t gpu_total = 0;
};

// The part of GPU memory that holds copies of experts.
struct ExpertCacheState {
  int64_t bytes = 0, planned_bytes = 0;
  int64_t experts = 0, planned_experts = 0;
  int64_t chunk_bytes = 0;  // it grows and shrinks by these
};

struct BackendHealth {
  Status status{};  // not OK: unhealthy, with the reason
  bool gpu_available = false;
  bool memory_sufficient = true;  // the plan fits the budgets and what the machine has free
};

// A figure of the backend's own for /metrics, e.g. {"qnext_expert_hits_total", "...", kCounter, {{"place", "gpu"}},
// 12}.
struct BackendMetric {
  enum class Type { kCounter, kGauge };
  struct Label {
    std::string name{};
    std::string value{};
  };
  std::string name{};  // [a-z_:][a-z0-9_:]*; the figures of one name stand together
  std::string help{};
  Type type = Type::kGauge;
  std::vector<Label> labels{};
  double value = 0;
};

// Thread-safe, except that Generate is called by at most ServerOptions::concurrency threads at a time. model, Health,
// Memory and Metrics are called on the thread that does the I/O of all clients, so they must not wait for a generation.
class Backend {
 public:
  virtual ~Backend() = default;

  virtual const ModelInfo& model() const = 0;  // constant

  // parse_special: added tokens in `text` become their ids instead of being spelled out.
  virtual Result<std::vector<int32_t>> Tokenize(std::string_view text, bool parse_special) const = 0;
  // `text` has at least that many tokens, known without the time that Tokenize takes.
  virtual int64_t LeastTokens(std::string_view /*text*/) const { return 0; }
  // Valid UTF-8, special tokens included.
  virtual Result<std::string> Detokenize(std::span<const int32_t> ids) const = 0;
  // The bytes a token stands for, special tokens spelled out; not always whole characters.
  virtual std::string TokenBytes(int32_t id) const = 0;
  // `variables` is an object with messages and add_generation_prompt at least. kInvalidArgument: the template refuses.
  virtual Result<std::string> ApplyTemplate(const nlohmann::ordered_json& variables) const = 0;

  // Blocks until done. Calls `on_event` for every token, and without tokens at least every 100 ms or so while a long
  // prompt is read. kCancelled after on_event returned false; any other error is the request's end, not the server's.
  virtual Result<GenerateResult> Generate(const GenerateRequest& request, GenerationCallback on_event) = 0;

  // Absent where no such memory can change.
  virtual std::optional<ExpertCacheState> ExpertCache() const { return std::nullopt; }
  // Asks for a cache of at most `bytes` and returns at once. `done` is called once, by Generate between two of its
  // steps or by ServeRequests, whichever comes first.
  virtual void RequestExpertCache(int64_t /*bytes*/, std::function<void(const Status&)> done) {
    done(Unsupported("no expert cache"));
  }
  // Does what has been requested. Called as Generate is, instead of it.
  virtual void ServeRequests() {}

  virtual BackendHealth Health() const = 0;
  virtual MemoryUse Memory() const = 0;
  virtual std::vector<BackendMetric> Metrics() const { return {}; }
};

}  // namespace qnext::server
