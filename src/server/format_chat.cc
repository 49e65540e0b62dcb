// /v1/chat/completions: chat.completion and chat.completion.chunk.
#include <nlohmann/json.hpp>
#include <utility>

#include "server/answer_format.h"
#include "server/format_parts.h"
#include "server/json_text.h"

namespace qnext::server {
namespace {

using Json = nlohmann::ordered_json;

Json TokenJson(const TokenText& token) {
  Json bytes = Json::array();
  for (const char c : token.bytes) bytes.push_back(static_cast<unsigned char>(c));
  return {{"token", token.bytes}, {"logprob", JsonLogprob(token.logprob)}, {"bytes", std::move(bytes)}};
}

Json LogprobsJson(const Choice& choice) {
  if (!choice.logprobs) return nullptr;
  Json content = Json::array();
  for (const AnswerToken& token : *choice.logprobs) {
    Json entry = TokenJson(token.token);
    Json top = Json::array();
    for (const TokenText& alternative : token.top) top.push_back(TokenJson(alternative));
    entry["top_logprobs"] = std::move(top);
    content.push_back(std::move(entry));
  }
  return {{"content", std::move(content)}, {"refusal", nullptr}};
}

class Chat final : public AnswerFormat {
 public:
  explicit Chat(AnswerHead head) : head_(std::move(head)) {}

  std::string Whole(std::span<const Choice> choices, const AnswerTotals& totals) const override {
    Json out = HeadJson(head_, "chat.completion");
    Json list = Json::array();
    for (const Choice& choice : choices) {
      list.push_back({{"index", choice.index},
                      {"message", {{"role", "assistant"}, {"content", choice.text}, {"refusal", nullptr}}},
                      {"logprobs", LogprobsJson(choice)},
                      {"finish_reason", FinishReasonJson(choice.finish_reason)}});
    }
    out["choices"] = std::move(list);
    out["usage"] = UsageJson(totals.usage);
    return ToText(out);
  }

  std::string Opening(int64_t index) const override {
    return ChunkText({.index = index}, {{"role", "assistant"}, {"content", ""}});
  }

  std::string Chunk(const Choice& piece) const override {
    Json delta = Json::object();
    if (!piece.text.empty() || !piece.finish_reason) delta["content"] = piece.text;
    return ChunkText(piece, std::move(delta));
  }

  std::string Closing(const AnswerTotals& totals) const override {
    if (!head_.include_usage) return {};
    Json out = HeadJson(head_, "chat.completion.chunk");
    out["choices"] = Json::array();
    out["usage"] = UsageJson(totals.usage);
    return ToText(out);
  }

 private:
  std::string ChunkText(const Choice& piece, Json delta) const {
    Json out = HeadJson(head_, "chat.completion.chunk");
    Json choice = {{"index", piece.index},
                   {"delta", std::move(delta)},
                   {"logprobs", LogprobsJson(piece)},
                   {"finish_reason", FinishReasonJson(piece.finish_reason)}};
    out["choices"] = Json::array({std::move(choice)});
    if (head_.include_usage) out["usage"] = nullptr;
    return ToText(out);
  }

  AnswerHead head_;
};

}  // namespace

std::unique_ptr<AnswerFormat> ChatFormat(AnswerHead head) { return std::make_unique<Chat>(std::move(head)); }

}  // namespace qnext::server
