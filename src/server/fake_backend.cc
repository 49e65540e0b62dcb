#include "server/fake_backend.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <thread>

namespace qnext::server {
namespace {

constexpr std::string_view kStartText = "<|im_start|>";
constexpr std::string_view kEndText = "<|im_end|>";

// How much of `text` is whole characters, knowing that all of it is UTF-8 cut at some byte.
size_t WholeCharacters(const std::string& text) {
  size_t begin = text.size();
  while (begin > 0 && (static_cast<unsigned char>(text[begin - 1]) & 0xC0U) == 0x80U) --begin;
  if (begin == 0) return 0;
  const auto lead = static_cast<unsigned char>(text[begin - 1]);
  const size_t length = lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  return begin - 1 + length <= text.size() ? text.size() : begin - 1;
}

ScoredToken Score(int32_t id, const std::optional<int32_t>& alternatives) {
  ScoredToken token{.id = id};
  if (!alternatives) return token;
  token.logprob = -0.25F;
  for (int32_t i = 0; i < *alternatives; ++i) {
    token.top.push_back({.id = (id + i) % 256, .logprob = -0.25F - static_cast<float>(i)});
  }
  return token;
}

}  // namespace

FakeBackend::FakeBackend() {
  info.id = "fake-model";
  info.fingerprint = "fp_fake";
  info.created_unix = 1'700'000'000;
  info.context_length = 2048;
  info.vocab_size = 258;
  info.supports_prompt_logprobs = true;
  info.default_sampling.temperature = 0;
}

std::vector<GenerateRequest> FakeBackend::requests() const {
  const std::lock_guard lock(mutex_);
  return requests_;
}

Result<std::vector<int32_t>> FakeBackend::Tokenize(std::string_view text, bool parse_special) const {
  ++tokenize_begun;
  for (int ms = 0; hold_tokenize && ms < 10'000; ++ms) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  std::vector<int32_t> ids;
  while (!text.empty()) {
    if (parse_special && text.starts_with(kStartText)) {
      ids.push_back(kStart);
      text.remove_prefix(kStartText.size());
    } else if (parse_special && text.starts_with(kEndText)) {
      ids.push_back(kEnd);
      text.remove_prefix(kEndText.size());
    } else {
      ids.push_back(static_cast<unsigned char>(text.front()));
      text.remove_prefix(1);
    }
  }
  ++tokenize_ended;
  return ids;
}

int64_t FakeBackend::LeastTokens(std::string_view text) const {
  return static_cast<int64_t>((text.size() + kStartText.size() - 1) / kStartText.size());
}

std::string FakeBackend::TokenBytes(int32_t id) const {
  if (id == kStart) return std::string(kStartText);
  if (id == kEnd) return std::string(kEndText);
  return {static_cast<char>(id)};
}

Result<std::string> FakeBackend::Detokenize(std::span<const int32_t> ids) const {
  std::string text;
  for (const int32_t id : ids) text += TokenBytes(id);
  return text;
}

Result<std::string> FakeBackend::ApplyTemplate(const nlohmann::ordered_json& variables) const {
  std::string text;
  for (const auto& message : variables["messages"]) {
    if (message["content"] == "refuse me") return InvalidArgument("the template refuses");
    text += std::string(kStartText) + message["role"].get<std::string>() + "\n";
    text += message["content"].get<std::string>() + std::string(kEndText) + "\n";
  }
  if (variables["add_generation_prompt"].get<bool>()) text += std::string(kStartText) + "assistant\n";
  return text;
}

std::vector<BackendMetric> FakeBackend::Metrics() const {
  return {{.name = "qnext_expert_hits_total",
           .help = "Experts found in VRAM.",
           .type = BackendMetric::Type::kCounter,
           .labels = {{"place", "gpu"}},
           .value = 12}};
}

void FakeBackend::RequestExpertCache(int64_t bytes, std::function<void(const Status&)> done) {
  const std::lock_guard lock(cache_mutex);
  cache_requests_.push_back({bytes, std::move(done)});
}

void FakeBackend::ServeRequests() {
  std::vector<CacheRequest> requests;
  {
    const std::lock_guard lock(cache_mutex);
    requests.swap(cache_requests_);
    for (const CacheRequest& request : requests) {
      if (cache_failure.ok())
        expert_cache->bytes = request.bytes / expert_cache->chunk_bytes * expert_cache->chunk_bytes;
    }
  }
  for (const CacheRequest& request : requests) request.done(cache_failure);
}

Result<GenerateResult> FakeBackend::Generate(const GenerateRequest& request, GenerationCallback on_event) {
  {
    const std::lock_guard lock(mutex_);
    requests_.push_back(request);
  }
  generated_on = std::this_thread::get_id();
  ++generations_begun;
  if (throws) throw std::runtime_error("the backend threw");
  auto result = Answer(request, on_event);
  ++generations_ended;
  return result;
}

std::string FakeBackend::Script(const GenerateRequest& request) const {
  for (const auto& [id, bias] : request.sampling.logit_bias) {
    if (bias >= 100) return std::string(4096, static_cast<char>(id));
  }
  const SamplingParams& sampling = request.sampling;
  if (sampling.temperature == 0 || sampling.top_p == 0 || sampling.top_k == 1 || sampling.min_p == 1) return reply;
  return fmt::format("{}/{} {}", sampling.seed, request.stream, reply);
}

Result<GenerateResult> FakeBackend::Answer(const GenerateRequest& request, GenerationCallback on_event) {
  GenerateResult result{.finish_reason = FinishReason::kLength,
                        .prompt_tokens = static_cast<int64_t>(request.prompt.size()),
                        .cached_prompt_tokens = 1};
  for (auto left = prompt_time; left.count() > 0; left -= std::chrono::milliseconds(1)) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    if (!on_event({})) return Cancelled("the callback said so");
  }
  if (request.prompt_logprobs) {
    std::vector<ScoredToken> scores;
    for (const int32_t id : request.prompt) scores.push_back(Score(id, request.logprobs));
    if (!on_event({.text = {}, .tokens = {}, .prompt = scores})) return Cancelled("the callback said so");
  }
  const std::string answer = Script(request);
  std::string said;
  size_t sent = 0;
  for (int64_t i = 0; i < request.max_tokens; ++i) {
    if (!failure.ok() && i >= fail_after) return failure;
    ServeRequests();
    std::this_thread::sleep_for(token_time);
    const bool at_end = static_cast<size_t>(i) % (answer.size() + 1) == answer.size();
    if (at_end && !request.ignore_eos) {
      const ScoredToken token = Score(kEnd, request.logprobs);
      ++tokens_generated;
      ++result.completion_tokens;
      result.finish_reason = FinishReason::kStop;
      if (!on_event({.text = std::string_view(said).substr(sent), .tokens = {&token, 1}, .prompt = {}})) {
        return Cancelled("the callback said so");
      }
      return result;
    }
    const char byte = at_end ? ' ' : answer[static_cast<size_t>(i) % (answer.size() + 1)];
    said += byte;
    size_t safe = WholeCharacters(said);
    bool stopped = false;
    for (const std::string& stop : request.stop) {
      const size_t found = said.find(stop);
      if (found != std::string::npos) {
        stopped = true;
        safe = found;
      } else {  // hold back what may become the stop string
        safe = std::min(safe, std::max(sent, said.size() - std::min(said.size(), stop.size() - 1)));
      }
    }
    if (i + 1 == request.max_tokens && !stopped) safe = said.size();
    const ScoredToken token = Score(static_cast<unsigned char>(byte), request.logprobs);
    ++tokens_generated;
    ++result.completion_tokens;
    if (!on_event({.text = std::string_view(said).substr(sent, safe - sent), .tokens = {&token, 1}, .prompt = {}})) {
      return Cancelled("the callback said so");
    }
    sent = safe;
    if (stopped) {
      result.finish_reason = FinishReason::kStop;
      return result;
    }
  }
  return result;
}

}  // namespace qnext::server
