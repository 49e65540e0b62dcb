// How one endpoint writes its answer: whole, or as the chunks of a stream. Pure.
#pragma once

#include <memory>
#include <span>
#include <string>

#include "server/api_types.h"

namespace qnext::server {

// Immutable. Every string is the text of one JSON object; an empty one means that there is nothing to send.
class AnswerFormat {
 public:
  virtual ~AnswerFormat() = default;
  virtual std::string Whole(std::span<const Choice> choices, const AnswerTotals& totals) const = 0;
  // The chunk that opens the choice of that index.
  virtual std::string Opening(int64_t index) const = 0;
  // What came since the last chunk; the one with a finish_reason closes its choice.
  virtual std::string Chunk(const Choice& piece) const = 0;
  // The chunk after all choices.
  virtual std::string Closing(const AnswerTotals& totals) const = 0;
};

std::unique_ptr<AnswerFormat> ChatFormat(AnswerHead head);
std::unique_ptr<AnswerFormat> CompletionFormat(AnswerHead head);
std::unique_ptr<AnswerFormat> InferenceFormat();

}  // namespace qnext::server
