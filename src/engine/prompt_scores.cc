#include "engine/prompt_scores.h"

#include <algorithm>

#include "model/model.h"

namespace qnext {
namespace {

// Tokens whose logits are there together: 39 MB of the 80B's.
constexpr int64_t kPiece = 64;
// The same where a whole text is gone through and speed counts: 156 MB of the 80B's.
constexpr int64_t kLongPiece = 256;

}  // namespace

Status ScorePrompt(LanguageModel& model, std::span<const int32_t> ids, int32_t vocab_end, int64_t top_logprobs,
                   FunctionRef<bool(std::span<const PromptScore>)> on_scores) {
  const auto vocab = static_cast<size_t>(model.vocab_size());
  const auto total = static_cast<int64_t>(ids.size());
  std::vector<float> logits(static_cast<size_t>(std::min(total, kPiece)) * vocab);
  LogprobReader reader(vocab_end, top_logprobs);
  std::vector<PromptScore> scores;
  model.Reset();
  for (int64_t done = 0; done < total; done += kPiece) {
    const int64_t count = std::min(kPiece, total - done);
    QNEXT_RETURN_IF_ERROR(model.ForwardAll(ids.subspan(static_cast<size_t>(done), static_cast<size_t>(count)),
                                           {.logits = logits.data(), .logit_rows = count}));
    scores.clear();
    if (done == 0) scores.push_back({.id = ids[0], .logprob = 0, .top = {}});
    // Row i tells of the token after it; the last row of the prompt of one that is not there.
    for (int64_t i = 0; i < count && done + i + 1 < total; ++i) {
      const int32_t id = ids[static_cast<size_t>(done + i + 1)];
      QNEXT_RETURN_IF_ERROR(reader.Read(std::span(logits).subspan(static_cast<size_t>(i) * vocab, vocab)));
      scores.push_back({.id = id, .logprob = reader.Of(id), .top = {reader.top().begin(), reader.top().end()}});
    }
    if (!on_scores(scores)) return Cancelled("by the caller");
  }
  return Status();
}

Status ReadLogits(LanguageModel& model, std::span<const int32_t> ids, int64_t from,
                  FunctionRef<Status(int64_t place, std::span<const float> logits)> on_logits) {
  const auto vocab = static_cast<size_t>(model.vocab_size());
  const auto total = static_cast<int64_t>(ids.size());
  std::vector<float> logits(static_cast<size_t>(std::min(total, kLongPiece)) * vocab);
  model.Reset();
  for (int64_t done = 0; done < total; done += kLongPiece) {
    const int64_t count = std::min(kLongPiece, total - done);
    const int64_t skipped = std::clamp<int64_t>(from - done, 0, count);
    const int64_t rows = count - skipped;
    QNEXT_RETURN_IF_ERROR(model.ForwardAll(ids.subspan(static_cast<size_t>(done), static_cast<size_t>(count)),
                                           {.logits = rows > 0 ? logits.data() : nullptr, .logit_rows = rows}));
    for (int64_t row = 0; row < rows && done + skipped + row + 1 < total; ++row) {
      QNEXT_RETURN_IF_ERROR(
          on_logits(done + skipped + row, std::span(logits).subspan(static_cast<size_t>(row) * vocab, vocab)));
    }
  }
  return Status();
}

}  // namespace qnext
