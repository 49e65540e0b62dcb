#include "server/answer_sink.h"

#include <iterator>
#include <utility>

#include "server/sse.h"

namespace qnext::server {
namespace {

class WholeAnswer final : public AnswerSink {
 public:
  explicit WholeAnswer(AnswerSinkOptions options) : options_(std::move(options)) {}

  void Open(int64_t index) override {
    choices_.push_back({.index = index});
    if (options_.logprobs) choices_.back().logprobs.emplace();
  }

  void Piece(std::string_view text, std::vector<AnswerToken> tokens) override {
    Choice& choice = choices_.back();
    choice.text += text;
    if (choice.logprobs) {
      choice.logprobs->insert(choice.logprobs->end(), std::make_move_iterator(tokens.begin()),
                              std::make_move_iterator(tokens.end()));
    }
  }

  void Close(FinishReason reason) override { choices_.back().finish_reason = reason; }

  void Done(const AnswerTotals& totals) override { Send({.body = options_.format->Whole(choices_, totals)}); }

  void Fail(const ApiError& error) override { Send(ErrorResponse(error)); }

 private:
  void Send(HttpResponse response) {
    options_.on_answer(response.status);
    options_.exchange->Send(std::move(response));
  }

  AnswerSinkOptions options_;
  std::vector<Choice> choices_;
};

class StreamedAnswer final : public AnswerSink {
 public:
  explicit StreamedAnswer(AnswerSinkOptions options) : options_(std::move(options)) {}

  void Open(int64_t index) override {
    choice_ = {.index = index};
    opened_ = false;
  }

  void Piece(std::string_view text, std::vector<AnswerToken> tokens) override {
    if (text.empty() && tokens.empty()) return;
    choice_.text = text;
    SetTokens(std::move(tokens));
    WriteChoice();
  }

  void Close(FinishReason reason) override {
    choice_.text.clear();
    SetTokens({});
    choice_.finish_reason = reason;
    WriteChoice();
  }

  void Done(const AnswerTotals& totals) override {
    Write(options_.format->Closing(totals));
    Finish();
  }

  void Fail(const ApiError& error) override {
    if (!started_) {
      HttpResponse response = ErrorResponse(error);
      options_.on_answer(response.status);
      options_.exchange->Send(std::move(response));
      return;
    }
    Write(FormatError(error));
    Finish();
  }

 private:
  void SetTokens(std::vector<AnswerToken> tokens) {
    if (options_.logprobs) choice_.logprobs = std::move(tokens);
  }

  void WriteChoice() {
    if (!std::exchange(opened_, true)) Write(options_.format->Opening(choice_.index));
    Write(options_.format->Chunk(choice_));
  }

  void Write(const std::string& json) {
    if (json.empty()) return;
    Start();
    options_.exchange->Write(SseEvent(json));
  }

  void Start() {
    if (std::exchange(started_, true)) return;
    HttpResponse head = SseHead();
    options_.on_answer(head.status);
    options_.exchange->BeginStream(std::move(head));
  }

  void Finish() {
    Start();
    options_.exchange->Write(std::string(kSseDone));
    options_.exchange->End();
  }

  AnswerSinkOptions options_;
  Choice choice_;
  bool started_ = false;  // the status line is out
  bool opened_ = false;   // this choice's first chunk is out
};

}  // namespace

std::unique_ptr<AnswerSink> MakeAnswerSink(AnswerSinkOptions options) {
  if (options.stream) return std::make_unique<StreamedAnswer>(std::move(options));
  return std::make_unique<WholeAnswer>(std::move(options));
}

}  // namespace qnext::server
