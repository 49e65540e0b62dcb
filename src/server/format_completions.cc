// /v1/completions: text_completion, whole and in chunks.
#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "server/answer_format.h"
#include "server/format_parts.h"
#include "server/json_text.h"

namespace qnext::server {
namespace {

using Json = nlohmann::ordered_json;

// OpenAI's spelling of a token that is not whole characters, so that two such tokens do not look alike.
std::string TokenName(const std::string& bytes) {
  if (IsUtf8(bytes)) return bytes;
  std::string name = "bytes:";
  for (const char c : bytes) name += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
  return name;
}

Json LogprobsJson(const Choice& choice) {
  if (!choice.logprobs) return nullptr;
  Json tokens = Json::array();
  Json logprobs = Json::array();
  Json alternatives = Json::array();
  Json offsets = Json::array();
  for (const AnswerToken& token : *choice.logprobs) {
    tokens.push_back(TokenName(token.token.bytes));
    offsets.push_back(token.text_offset);
    if (!token.scored) {
      logprobs.push_back(nullptr);
      alternatives.push_back(nullptr);
      continue;
    }
    logprobs.push_back(JsonLogprob(token.token.logprob));
    Json top = Json::object();
    for (const TokenText& other : token.top) top[TokenName(other.bytes)] = JsonLogprob(other.logprob);
    alternatives.push_back(std::move(top));
  }
  return {{"tokens", std::move(tokens)},
          {"token_logprobs", std::move(logprobs)},
          {"top_logprobs", std::move(alternatives)},
          {"text_offset", std::move(offsets)}};
}

Json ChoiceJson(const Choice& choice) {
  return {{"index", choice.index},
          {"text", choice.text},
          {"logprobs", LogprobsJson(choice)},
          {"finish_reason", FinishReasonJson(choice.finish_reason)}};
}

class Completion final : public AnswerFormat {
 public:
  explicit Completion(AnswerHead head) : head_(std::move(head)) {}

  std::string Whole(std::span<const Choice> choices, const AnswerTotals& totals) const override {
    Json out = HeadJson(head_, "text_completion");
    Json list = Json::array();
    for (const Choice& choice : choices) list.push_back(ChoiceJson(choice));
    out["choices"] = std::move(list);
    out["usage"] = UsageJson(totals.usage);
    return ToText(out);
  }

  std::string Opening(int64_t /*index*/) const override { return {}; }

  std::string Chunk(const Choice& piece) const override {
    Json out = HeadJson(head_, "text_completion");
    out["choices"] = Json::array({ChoiceJson(piece)});
    if (head_.include_usage) out["usage"] = nullptr;
    return ToText(out);
  }

  std::string Closing(const AnswerTotals& totals) const override {
    if (!head_.include_usage) return {};
    Json out = HeadJson(head_, "text_completion");
    out["choices"] = Json::array();
    out["usage"] = UsageJson(totals.usage);
    return ToText(out);
  }

 private:
  AnswerHead head_;
};

}  // namespace

std::unique_ptr<AnswerFormat> CompletionFormat(AnswerHead head) {
  return std::make_unique<Completion>(std::move(head));
}

}  // namespace qnext::server
