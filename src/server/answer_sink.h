// Where a generation's text goes: one answer at the end, or a stream of chunks.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "server/answer_format.h"
#include "server/api_error.h"
#include "server/api_types.h"
#include "server/http_types.h"

namespace qnext::server {

// For each choice: Open, any number of Pieces, Close; then Done; or Fail at any point, once, as the last call. One
// thread at a time.
class AnswerSink {
 public:
  virtual ~AnswerSink() = default;
  virtual void Open(int64_t index) = 0;
  // `tokens` stays empty unless log-probabilities were asked for.
  virtual void Piece(std::string_view text, std::vector<AnswerToken> tokens) = 0;
  virtual void Close(FinishReason reason) = 0;
  virtual void Done(const AnswerTotals& totals) = 0;
  virtual void Fail(const ApiError& error) = 0;
};

struct AnswerSinkOptions {
  std::shared_ptr<HttpExchange> exchange{};
  std::unique_ptr<AnswerFormat> format{};
  bool stream = false;
  bool logprobs = false;
  std::function<void(int http_status)> on_answer{};  // called once, with the status sent
};

// A stream's status line is sent with its first piece, so that what fails before that still gets its own status; what
// fails later is an error event in the stream.
std::unique_ptr<AnswerSink> MakeAnswerSink(AnswerSinkOptions options);

}  // namespace qnext::server
