#include "cli/engine_backend.h"

#include <chrono>
#include <nlohmann/json.hpp>

#include "cli/memory_table.h"
#include "cli/sampling_options.h"
#include "cli/version.h"
#include "engine/device.h"

namespace qnext {
namespace {

SamplingParams ToEngine(const server::GenerateRequest& request) {
  const server::SamplingParams& from = request.sampling;
  SamplingParams to;
  to.temperature = from.temperature;
  to.top_k = from.top_k;
  to.top_p = from.top_p;
  to.min_p = from.min_p;
  to.presence_penalty = from.presence_penalty;
  to.frequency_penalty = from.frequency_penalty;
  to.repetition_penalty = from.repetition_penalty;
  to.logit_bias = from.logit_bias;
  to.seed = from.seed;
  to.logprobs = request.logprobs.has_value();
  to.top_logprobs = request.logprobs.value_or(0);
  return to;
}

server::ScoredToken ToServer(int32_t id, float logprob, const std::vector<TokenLogprob>& top) {
  server::ScoredToken token{.id = id, .logprob = logprob};
  for (const TokenLogprob& other : top) token.top.push_back({.id = other.id, .logprob = other.logprob});
  return token;
}

server::ScoredToken ToServer(const Piece& piece) {
  if (piece.logprobs == nullptr) return {.id = piece.token_id};
  return ToServer(piece.token_id, piece.logprobs->logprob, piece.logprobs->top);
}

}  // namespace

EngineBackend::EngineBackend(std::unique_ptr<Engine> engine, int64_t vocab_size) : engine_(std::move(engine)) {
  info_.id = engine_->info().model_name;
  info_.fingerprint = "qnext-" + std::string(GitCommit()) + "-" + engine_->info().kernels;
  info_.created_unix =
      std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch()).count();
  info_.context_length = engine_->context();
  info_.vocab_size = vocab_size;
  info_.supports_prompt_logprobs = true;
  ReadExperts();
  const SamplingParams defaults = ToSamplingParams({}, engine_->defaults());
  info_.default_sampling = {.temperature = defaults.temperature,
                            .top_k = std::max<int64_t>(defaults.top_k, 0),
                            .top_p = defaults.top_p,
                            .min_p = defaults.min_p,
                            .repetition_penalty = defaults.repetition_penalty};
}

void EngineBackend::ReadExperts() {
  const std::lock_guard lock(mutex_);
  expert_stats_ = engine_->expert_stats();
  expert_cache_ = engine_->expert_cache();
}

std::optional<server::ExpertCacheState> EngineBackend::ExpertCache() const {
  const std::lock_guard lock(mutex_);
  if (!expert_cache_) return std::nullopt;
  return server::ExpertCacheState{.bytes = expert_cache_->bytes,
                                  .planned_bytes = expert_cache_->planned_bytes,
                                  .experts = expert_cache_->experts,
                                  .planned_experts = expert_cache_->planned_experts,
                                  .chunk_bytes = expert_cache_->chunk_bytes};
}

void EngineBackend::RequestExpertCache(int64_t bytes, std::function<void(const Status&)> done) {
  const std::lock_guard lock(mutex_);
  cache_requests_.push_back({bytes, std::move(done)});
  has_cache_requests_ = true;
}

void EngineBackend::ServeRequests() {
  if (!has_cache_requests_.load(std::memory_order_relaxed)) return;
  std::vector<CacheRequest> requests;
  {
    const std::lock_guard lock(mutex_);
    requests.swap(cache_requests_);
    has_cache_requests_ = false;
  }
  for (const CacheRequest& request : requests) {
    const Status status = engine_->ResizeExpertCache(request.bytes);
    ReadExperts();
    request.done(status);
  }
}

Result<std::vector<int32_t>> EngineBackend::Tokenize(std::string_view text, bool parse_special) const {
  return parse_special ? engine_->tokenizer().Encode(text) : engine_->tokenizer().EncodePlain(text);
}

Result<std::string> EngineBackend::Detokenize(std::span<const int32_t> ids) const {
  return engine_->tokenizer().Decode({ids.begin(), ids.end()}, /*skip_special=*/false);
}

std::string EngineBackend::TokenBytes(int32_t id) const { return std::string(engine_->tokenizer().TokenBytes(id)); }

Result<std::string> EngineBackend::ApplyTemplate(const nlohmann::ordered_json& variables) const {
  QNEXT_RETURN_IF_ERROR(engine_->chat().status());
  nlohmann::ordered_json extra = variables;
  extra.erase("messages");
  Result<std::string> text = engine_->chat()->Render(variables["messages"], extra);
  if (text.ok()) return text;
  // The message begins with the template's path, which is no business of clients.
  const size_t path = engine_->chat()->source().size();
  return Status(text.status().code(), "chat template" + text.status().message().substr(path));
}

namespace {

using server::BackendMetric;

void AddExpertMetrics(const ExpertStats& stats, std::vector<BackendMetric>& metrics) {
  const auto counter = [&](const char* name, const char* help, double value, const char* label = nullptr,
                           const char* is = nullptr) {
    BackendMetric metric{
        .name = name, .help = help, .type = BackendMetric::Type::kCounter, .labels = {}, .value = value};
    if (label != nullptr) metric.labels = {{label, is}};
    metrics.push_back(std::move(metric));
  };
  const auto count = [](int64_t n) { return static_cast<double>(n); };
  constexpr char kServed[] = "Experts that decode steps chose, by who computed them.";
  const int64_t hits = stats.choices - stats.cpu - stats.fetched;
  counter("qnext_experts_served_total", kServed, count(hits), "place", "gpu");
  counter("qnext_experts_served_total", kServed, count(stats.fetched), "place", "fetched");
  counter("qnext_experts_served_total", kServed, count(stats.cpu), "place", "cpu");
  counter("qnext_experts_promoted_total", "Experts copied into GPU memory between decode steps.",
          count(stats.promoted));
  constexpr char kBytes[] = "Bytes of experts that decode steps moved, by where they were read.";
  counter("qnext_expert_bytes_total", kBytes, count(hits * stats.expert_bytes), "place", "gpu");
  counter("qnext_expert_bytes_total", kBytes, count((stats.fetched + stats.promoted) * stats.expert_bytes), "place",
          "link");
  counter("qnext_expert_bytes_total", kBytes, count(stats.cpu * stats.expert_bytes), "place", "cpu");
  constexpr char kSeconds[] = "Seconds of decode steps in layers with experts, by phase; places work at the same time.";
  counter("qnext_expert_seconds_total", kSeconds, stats.gpu_seconds, "phase", "gpu");
  counter("qnext_expert_seconds_total", kSeconds, stats.post_seconds, "phase", "gpu_posts");
  counter("qnext_expert_seconds_total", kSeconds, stats.cpu_seconds, "phase", "cpu");
  counter("qnext_expert_seconds_total", kSeconds, stats.wait_seconds, "phase", "gpu_waits");
  constexpr char kSteps[] = "Seconds of decode steps, from launch to results, and between two of them.";
  counter("qnext_decode_seconds_total", kSteps, stats.step_seconds, "phase", "step");
  counter("qnext_decode_seconds_total", kSteps, stats.between_seconds, "phase", "between");
  counter("qnext_decode_steps_total", "Decode steps of a model whose experts are partly in RAM.", count(stats.steps));
  metrics.push_back({.name = "qnext_cached_experts",
                     .help = "Copies of experts that GPU memory has room for.",
                     .type = BackendMetric::Type::kGauge,
                     .labels = {},
                     .value = count(stats.cached_experts)});
  metrics.push_back({.name = "qnext_expert_cache_bytes",
                     .help = "GPU memory that is mapped for copies of experts.",
                     .type = BackendMetric::Type::kGauge,
                     .labels = {},
                     .value = count(stats.cache_bytes)});
}

}  // namespace

// Of the card, by every process: the driver tells no more without its management library.
server::MemoryUse EngineBackend::Memory() const {
  if (engine_->info().device != "cuda") return {};
  const Result<DeviceMemory> memory = ReadDeviceMemory();
  return memory.ok() ? server::MemoryUse{.gpu_used = memory->used, .gpu_total = memory->total} : server::MemoryUse();
}

std::vector<server::BackendMetric> EngineBackend::Metrics() const {
  std::vector<BackendMetric> metrics;
  if (const std::optional<SimulatedRouting>& routing = engine_->info().simulated_routing) {
    metrics.push_back({.name = "qnext_simulated_routing_entropy_bits",
                       .help = "Entropy of the experts' simulated choice; absent where the routers decide.",
                       .type = BackendMetric::Type::kGauge,
                       .labels = {{"routing", std::string(RoutingName(routing->kind))}},
                       .value = routing->entropy_bits});
  }
  const std::vector<PlanRow>& memory = engine_->info().memory;
  const MemoryUsed used = ReadMemoryUsed(memory);
  const auto add = [&](const char* name, const char* help, const char* place, int64_t bytes) {
    metrics.push_back({.name = name,
                       .help = help,
                       .type = BackendMetric::Type::kGauge,
                       .labels = {{"place", place}},
                       .value = static_cast<double>(bytes)});
  };
  if (!memory.empty()) {
    constexpr char kPlanned[] = "qnext_memory_planned_bytes", kPlannedHelp[] = "Memory that loading planned, by place.";
    add(kPlanned, kPlannedHelp, "vram", PlannedBytes(memory, Place::kVram));
    add(kPlanned, kPlannedHelp, "ram", PlannedBytes(memory, Place::kRam));
    constexpr char kUsed[] = "qnext_memory_used_bytes",
                   kUsedHelp[] = "Memory used: of the card by every process, and of RAM the most of this one.";
    add(kUsed, kUsedHelp, "vram", used.vram);
    add(kUsed, kUsedHelp, "ram", used.ram);
  }
  const std::lock_guard lock(mutex_);
  if (expert_stats_) AddExpertMetrics(*expert_stats_, metrics);
  return metrics;
}

Result<server::GenerateResult> EngineBackend::Generate(const server::GenerateRequest& request,
                                                       server::GenerationCallback on_event) {
  if (request.prompt_logprobs) {
    const auto tell = [&](std::span<const PromptScore> scores) {
      ServeRequests();
      std::vector<server::ScoredToken> tokens;
      for (const PromptScore& score : scores) tokens.push_back(ToServer(score.id, score.logprob, score.top));
      return on_event({.text = {}, .tokens = {}, .prompt = tokens});
    };
    const Status scored = engine_->ScorePrompt(request.prompt, request.logprobs.value_or(0), tell);
    ReadExperts();
    QNEXT_RETURN_IF_ERROR(scored);
    if (request.max_tokens == 0) {
      return server::GenerateResult{.finish_reason = server::FinishReason::kLength,
                                    .prompt_tokens = static_cast<int64_t>(request.prompt.size()),
                                    .completion_tokens = 0};
    }
  }
  Request asked;
  asked.prompt_ids = request.prompt;
  asked.sampling = ToEngine(request);
  asked.max_tokens = request.max_tokens;
  asked.stop = request.stop;
  asked.ignore_eos = request.ignore_eos;
  asked.stream = request.stream;
  if (request.chat) asked.eos_ids = engine_->ChatEosIds();
  const GenerationHooks hooks = {.on_piece =
                                     [&](const Piece& piece) {
                                       const server::ScoredToken token = ToServer(piece);
                                       return on_event({.text = piece.text, .tokens = {&token, 1}});
                                     },
                                 .between_steps = [&] { ServeRequests(); },
                                 .cancelled = [&] { return !on_event({}); }};
  const Result<GenerationResult> generated = engine_->Generate(asked, hooks);
  ReadExperts();
  QNEXT_ASSIGN_OR_RETURN(const GenerationResult result, generated);
  if (result.finish_reason == FinishReason::kCancelled) return Cancelled("nobody waits for the answer any more");
  return server::GenerateResult{.finish_reason = result.finish_reason == FinishReason::kStop
                                                     ? server::FinishReason::kStop
                                                     : server::FinishReason::kLength,
                                .prompt_tokens = result.usage.prompt_tokens,
                                .completion_tokens = result.usage.completion_tokens};
}

}  // namespace qnext
