// /inference: the plain demonstration endpoint.
#include <nlohmann/json.hpp>
#include <utility>

#include "server/answer_format.h"
#include "server/format_parts.h"
#include "server/json_text.h"

namespace qnext::server {
namespace {

using Json = nlohmann::ordered_json;

class Inference final : public AnswerFormat {
 public:
  std::string Whole(std::span<const Choice> choices, const AnswerTotals& totals) const override {
    std::string text;
    for (const Choice& choice : choices) text += choice.text;
    Json out = {{"text", std::move(text)}};
    out.update(TotalsJson(totals));
    return ToText(out);
  }

  std::string Opening(int64_t /*index*/) const override { return {}; }

  std::string Chunk(const Choice& piece) const override {
    return piece.text.empty() ? std::string() : ToText({{"text", piece.text}});
  }

  std::string Closing(const AnswerTotals& totals) const override { return ToText(TotalsJson(totals)); }

 private:
  static Json TotalsJson(const AnswerTotals& totals) {
    const auto tokens = static_cast<double>(totals.usage.completion_tokens);
    const double rate = totals.generation_seconds > 0 ? tokens / totals.generation_seconds : 0;
    return {{"tokens_generated", totals.usage.completion_tokens},
            {"generation_time", totals.generation_seconds},
            {"tokens_per_second", rate},
            {"memory_used_gb", Gigabytes(totals.memory_used_bytes)}};
  }
};

}  // namespace

std::unique_ptr<AnswerFormat> InferenceFormat() { return std::make_unique<Inference>(); }

}  // namespace qnext::server
