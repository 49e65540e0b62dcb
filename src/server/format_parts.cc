#include "server/format_parts.h"

#include <algorithm>
#include <array>
#include <ctime>
#include <nlohmann/json.hpp>

namespace qnext::server {

using Json = nlohmann::ordered_json;

Json UsageJson(const Usage& usage) {
  return {{"prompt_tokens", usage.prompt_tokens},
          {"completion_tokens", usage.completion_tokens},
          {"total_tokens", usage.prompt_tokens + usage.completion_tokens},
          {"prompt_tokens_details", {{"cached_tokens", usage.cached_prompt_tokens}}}};
}

Json FinishReasonJson(const std::optional<FinishReason>& reason) {
  if (!reason) return nullptr;
  return *reason == FinishReason::kStop ? "stop" : "length";
}

Json HeadJson(const AnswerHead& head, std::string_view object) {
  Json out = {{"id", head.id}, {"object", object}, {"created", head.created_unix}, {"model", head.model}};
  if (!head.fingerprint.empty()) out["system_fingerprint"] = head.fingerprint;
  return out;
}

double JsonLogprob(float logprob) { return logprob >= -9999.0F ? double{logprob} : -9999.0; }

double Gigabytes(int64_t bytes) { return static_cast<double>(bytes) / double{1 << 30}; }

std::string FormatUtc(int64_t unix_seconds) {
  const std::time_t time = unix_seconds;
  std::tm parts{};
  gmtime_r(&time, &parts);
  std::array<char, 32> text{};
  const size_t size = std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &parts);
  return {text.data(), size};
}

bool IsUtf8(const std::string& bytes) {
  try {
    return !Json(bytes).dump().empty();
  } catch (const Json::exception&) {
    return false;
  }
}

int64_t CharacterCounter::Add(std::string_view piece) {
  const int64_t before = count_;
  count_ += std::count_if(piece.begin(), piece.end(),
                          [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U; });
  return before;
}

}  // namespace qnext::server
