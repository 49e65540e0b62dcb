#include "cli/output.h"

#include <fmt/core.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <nlohmann/json.hpp>
#include <system_error>
#include <vector>

#include "text/utf8.h"

namespace qnext {
namespace {

using Json = nlohmann::ordered_json;

// Three significant digits, all of those before the point, and never an exponent.
std::string ThreeDigits(double value) {
  if (!(value > 0)) return "0";
  const int before = static_cast<int>(std::floor(std::log10(value))) + 1;
  return fmt::format("{:.{}f}", value, std::clamp(3 - before, 0, 9));
}

Json ToJson(const std::optional<double>& value) { return value ? Json(*value) : Json(); }

// A token's text, and its bytes where they are no text of their own.
Json TokenJson(int32_t id, float logprob, const Tokenizer& tokenizer) {
  const std::string_view bytes = tokenizer.TokenBytes(id);
  std::vector<int> numbers;
  for (const char byte : bytes) numbers.push_back(static_cast<unsigned char>(byte));
  return {{"id", id}, {"token", ReplaceInvalidUtf8(bytes)}, {"bytes", numbers}, {"logprob", logprob}};
}

Json LogprobsJson(const GenerationResult& result, const Tokenizer& tokenizer) {
  Json array = Json::array();
  for (size_t i = 0; i < result.logprobs.size(); ++i) {
    const TokenLogprobs& at = result.logprobs[i];
    Json entry = TokenJson(result.token_ids[i], at.logprob, tokenizer);
    Json& top = entry["top_logprobs"] = Json::array();
    for (const TokenLogprob& token : at.top) top.push_back(TokenJson(token.id, token.logprob, tokenizer));
    array.push_back(std::move(entry));
  }
  return array;
}

}  // namespace

std::string FormatResultJson(const GenerationResult& result, const Tokenizer& tokenizer) {
  const TimelineSummary timings = result.timeline.Summarize();
  Json json = {{"text", result.text},
               {"token_ids", result.token_ids},
               {"finish_reason", FinishReasonName(result.finish_reason)},
               {"stop", nullptr},
               {"seed", result.seed},
               {"usage",
                {{"prompt_tokens", result.usage.prompt_tokens},
                 {"completion_tokens", result.usage.completion_tokens},
                 {"total_tokens", result.usage.prompt_tokens + result.usage.completion_tokens}}},
               {"timings",
                {{"first_token_seconds", ToJson(timings.first_token_seconds)},
                 {"prefill_tokens_per_second", ToJson(timings.prefill_tokens_per_second)},
                 {"decode_tokens_per_second", ToJson(timings.decode_tokens_per_second)},
                 {"inter_token_median_seconds", ToJson(timings.inter_token_median_seconds)},
                 {"inter_token_p95_seconds", ToJson(timings.inter_token_p95_seconds)},
                 {"total_seconds", timings.total_seconds}}}};
  if (result.stop_string) {
    json["stop"] = *result.stop_string;
  } else if (result.eos_id) {
    json["stop"] = *result.eos_id;
  }
  if (!result.logprobs.empty()) json["logprobs"] = LogprobsJson(result, tokenizer);
  return json.dump(2, ' ', /*ensure_ascii=*/false, Json::error_handler_t::replace) + "\n";
}

std::string FormatSpeed(const TimelineSummary& summary) {
  const auto rate = [](const std::optional<double>& value) {
    return value ? fmt::format(" at {}/s", ThreeDigits(*value)) : "";
  };
  std::string text = fmt::format("{} tokens of prompt{}, {} of answer{}", summary.prompt_tokens,
                                 rate(summary.prefill_tokens_per_second), summary.completion_tokens,
                                 rate(summary.decode_tokens_per_second));
  if (summary.first_token_seconds) text += fmt::format(", first after {} s", ThreeDigits(*summary.first_token_seconds));
  return text;
}

std::string OneLine(std::string_view text) {
  std::string line;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const unsigned char next = i + 1 < text.size() ? static_cast<unsigned char>(text[i + 1]) : 0;
    if (c == '\xc2' && next >= 0x80 && next < 0xa0) {
      line += fmt::format("\\x{:02x}", next);  // U+0080 to U+009F, as UTF-8: U+009B begins a sequence as ESC [ does
      ++i;
    } else if (c == '\n') {
      line += ' ';
    } else if (static_cast<unsigned char>(c) < ' ' || c == '\x7f') {
      line += fmt::format("\\x{:02x}", static_cast<int>(c));
    } else {
      line += c;
    }
  }
  return line;
}

void Show(std::FILE* file, std::string_view text) {
  static_cast<void>(std::fwrite(text.data(), 1, text.size(), file));
  static_cast<void>(std::fflush(file));
}

void Remark(const std::string& line) { Show(stderr, line + "\n"); }

bool TextOutput::Write(std::string_view text) {
  if (!status_.ok()) return false;
  errno = 0;
  const bool written = std::fwrite(text.data(), 1, text.size(), file_) == text.size() && std::fflush(file_) == 0;
  if (!written) status_ = Unavailable("output: " + std::generic_category().message(errno));
  return written;
}

Status TextOutput::Flush() {
  errno = 0;
  if (std::fflush(file_) != 0 || std::ferror(file_) != 0) {
    status_ = Unavailable("output: " + std::generic_category().message(errno != 0 ? errno : EIO));
  }
  return status_;
}

}  // namespace qnext
