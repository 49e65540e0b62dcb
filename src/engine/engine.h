// Engine: a checkpoint folder made ready to answer requests.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "config/model_config.h"
#include "engine/chat_format.h"
#include "engine/language_model.h"
#include "engine/model_loader.h"
#include "engine/prompt_scores.h"
#include "engine/request.h"
#include "text/tokenizer.h"

namespace qnext {

// What the requests will need of the chat template.
enum class ChatUse : uint8_t {
  kNone,        // nothing: text is continued as it stands
  kSome,        // some of them all: an error of the template is theirs
  kEverything,  // nothing works without it: its error is one of loading, before the weights are read
  kServed,      // whatever can be answered is: the built-in template stands in for one that cannot be rendered
};

struct EngineOptions {
  ModelLoadOptions load;
  std::optional<int64_t> context;  // tokens; absent: kDefaultContext, or less where the model has less
  std::string chat_template_path;  // overrides the checkpoint's; empty: none
  ChatUse chat = ChatUse::kServed;
};

constexpr int64_t kDefaultContext = 32768;

std::string Describe(const SimulatedRouting& routing);

// What reports and `stats` say about a running engine.
struct EngineInfo {
  std::string model_name;                             // the folder's last part
  bool is_the_80b = false;                            // by its shape; synthetic weights may have it too
  std::string synthetic;                              // the kind of generated weights; empty: a checkpoint's
  std::optional<SimulatedRouting> simulated_routing;  // absent: the routers decide
  std::string kernels;
  int threads = 0;
  DenseWeights dense_weights = DenseWeights::kStored;
  int64_t weight_bytes = 0;
  double load_seconds = 0;
  std::string device;                     // "cpu" or "cuda"
  std::string gpu;                        // its name, or empty
  std::string fallback;                   // why the model is not on a GPU although nobody asked for the CPU, or empty
  int64_t vram_bytes = 0;                 // planned
  std::vector<MemoryRow> memory;          // planned, row by row; empty on the CPU
  std::optional<int64_t> cached_experts;  // copies in GPU memory; absent: all experts are in one place
  std::vector<std::string> warnings;      // what loading noticed
};

// What an engine is made of. Load makes them from a folder; tests make their own.
struct EngineParts {
  std::unique_ptr<LanguageModel> model;
  Tokenizer tokenizer;
  Result<ChatFormat> chat;
  std::vector<int32_t> eos_ids;
  GenerationDefaults defaults;
  EngineInfo info;
};

// Owns the model, its one sequence, the tokenizer and the chat format. One thread at a time.
class Engine {
 public:
  // From a folder or, with options.load.synthetic, from nothing. Everything that can be wrong without the weights is
  // checked before they are read: vocabulary and eos ids against each other, the context against the model's, the chat
  // template.
  static Result<std::unique_ptr<Engine>> Load(const EngineOptions& options,
                                              const LoadProgressCallback& progress = nullptr);
  explicit Engine(EngineParts parts);

  const Tokenizer& tokenizer() const { return parts_.tokenizer; }
  // An error says why this checkpoint cannot chat; it can still continue plain text.
  const Result<ChatFormat>& chat() const { return parts_.chat; }
  const std::vector<int32_t>& eos_ids() const { return parts_.eos_ids; }
  // Those, and the chat format's own end of a message. Only when chat() is ok.
  std::vector<int32_t> ChatEosIds() const;
  const GenerationDefaults& defaults() const { return parts_.defaults; }
  const EngineInfo& info() const { return parts_.info; }
  std::optional<ExpertStats> expert_stats() const { return parts_.model->expert_stats(); }
  std::optional<ExpertCacheMemory> expert_cache() const { return parts_.model->expert_cache(); }
  // Not within Generate, but for its hook between steps.
  Status ResizeExpertCache(int64_t bytes) { return parts_.model->ResizeExpertCache(bytes); }
  int64_t context() const { return parts_.model->context(); }
  // What whoever runs this engine should know, about its chat template as far as that is used.
  std::vector<std::string> Warnings(ChatUse chat) const;

  Status Validate(const Request& request) const;

  // How likely each token of a prompt is (engine/prompt_scores.h), apart from any request.
  Status ScorePrompt(std::span<const int32_t> ids, int64_t top_logprobs,
                     FunctionRef<bool(std::span<const PromptScore>)> on_scores);
  // The logits of a text's places themselves (engine/prompt_scores.h). Of each, those from tokenizer().vocab_end() on
  // are padding.
  Status ReadLogits(std::span<const int32_t> ids, int64_t from,
                    FunctionRef<Status(int64_t place, std::span<const float> logits)> on_logits);

  // Runs one request to its end. A request that is wrong, and a model that breaks, are errors; one that is cancelled
  // has a result with what there was. `arrival` is when the request came in, if that was earlier.
  Result<GenerationResult> Generate(const Request& request, const GenerationHooks& hooks = {},
                                    std::optional<SteadyTime> arrival = std::nullopt);

 private:
  // Whether these can be run as a prompt.
  Status CheckPrompt(std::span<const int32_t> ids) const;

  EngineParts parts_;
  std::vector<float> logits_;  // [V]
};

// The context to use: `wanted`, or the default; an error where the model has fewer positions. For Load and for plans.
Result<int64_t> ChooseContext(std::optional<int64_t> wanted, const ModelConfig& config);

// The vocabulary mismatch and eos checks of Load.
Result<std::vector<int32_t>> CheckVocabulary(const ModelConfig& config, int32_t vocab_end);

}  // namespace qnext
