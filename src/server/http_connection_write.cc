// The writing half of a connection.
#include <boost/asio/buffer.hpp>
#include <ctime>
#include <utility>

#include "server/http_connection.h"
#include "server/http_head.h"

namespace qnext::server {

namespace asio = boost::asio;

// Answers what the handler never saw. What the client still sends is read and dropped, so that the answer is not lost
// in a reset.
bool HttpConnection::Fail(int status, std::string_view message) {
  is_head_ = false;
  return Refuse(shared_.handler.TransportError(status, message), /*close=*/true);
}

bool HttpConnection::Refuse(HttpResponse response, bool close) {
  if (close) keep_alive_ = false;
  parser_.reset();
  ReleaseBody();
  phase_ = Phase::kHandling;
  signals_ = std::make_shared<ExchangeSignals>();
  deadline_.cancel();
  Send(std::move(response));
  Read();
  return false;
}

void HttpConnection::Send(HttpResponse response) {
  if (closed_ || answer_ != Answer::kNone) return;
  answer_ = Answer::kComplete;
  if (shared_.closing) keep_alive_ = false;
  HeadOptions options{.keep_alive = keep_alive_, .now = std::time(nullptr)};
  const bool no_content = response.status == 204;
  if (!no_content) options.content_length = static_cast<int64_t>(response.body.size());
  Queue(FormatResponseHead(response, options));
  if (!is_head_ && !no_content && !response.body.empty()) Queue(std::move(response.body));
}

void HttpConnection::BeginStream(HttpResponse head) {
  if (closed_ || answer_ != Answer::kNone) return;
  answer_ = Answer::kStreaming;
  if (shared_.closing || http10_) keep_alive_ = false;  // HTTP/1.0 has no other end of a stream
  Queue(FormatResponseHead(head, {.chunked = !http10_, .keep_alive = keep_alive_, .now = std::time(nullptr)}));
  if (!head.body.empty()) Write(std::move(head.body));
}

void HttpConnection::Write(std::string piece) {
  if (closed_ || answer_ != Answer::kStreaming || piece.empty()) return;
  // Counted by the exchange without the chunk's frame.
  const auto counted = static_cast<int64_t>(piece.size());
  std::string bytes = http10_ ? std::move(piece) : FormatChunk(piece);
  signals_->unsent_bytes += static_cast<int64_t>(bytes.size()) - counted;
  Queue(std::move(bytes));
}

void HttpConnection::End() {
  if (closed_ || answer_ != Answer::kStreaming) return;
  answer_ = Answer::kComplete;
  if (!http10_) Queue(kLastChunk);
  if (!writing_) OnAnswerSent();
}

void HttpConnection::Abandoned() {
  if (answer_ == Answer::kStreaming) return Close();  // cut short, so that the client does not take it for whole
  if (answer_ == Answer::kNone) {
    if (end_of_input_) return Close();
    Send(shared_.handler.TransportError(500, "the request was not answered"));
  }
}

void HttpConnection::Queue(std::string bytes) {
  out_.push_back(std::move(bytes));
  if (!writing_) WriteSome();
}

void HttpConnection::WriteSome() {
  if (closed_) return;
  writing_ = true;
  SetSendDeadline();
  const std::string& first = out_.front();
  socket_.async_write_some(asio::buffer(first.data() + out_offset_, first.size() - out_offset_),
                           [self = shared_from_this()](const ErrorCode& error, size_t size) {
                             self->writing_ = false;
                             self->OnWritten(error, size);
                           });
}

void HttpConnection::OnWritten(const ErrorCode& error, size_t size) {
  if (closed_) return;
  if (error) return Close();
  out_offset_ += size;
  if (signals_) signals_->unsent_bytes -= static_cast<int64_t>(size);
  if (out_offset_ == out_.front().size()) {
    out_.pop_front();
    out_offset_ = 0;
  }
  if (!out_.empty()) return WriteSome();
  send_deadline_.cancel();
  if (phase_ == Phase::kHandling && answer_ == Answer::kComplete) OnAnswerSent();
}

void HttpConnection::OnAnswerSent() {
  signals_.reset();
  if (!keep_alive_) return Linger();
  BeginRequest();
  SetDeadline(in_.empty() ? shared_.limits.idle_timeout : shared_.limits.head_timeout);
  if (in_.empty()) return Read();
  Parse();
}

void HttpConnection::Linger() {
  // A client that may be sending still would lose the answer in a reset; at the server's end it is the others who wait.
  if (end_of_input_ || shared_.closing) return Close();
  phase_ = Phase::kLingering;
  in_.clear();
  ErrorCode ignored;
  socket_.shutdown(asio::ip::tcp::socket::shutdown_send, ignored);
  SetDeadline(shared_.limits.linger_timeout);
  Read();
}

void HttpConnection::SetSendDeadline() {
  send_deadline_.expires_after(shared_.limits.send_timeout);
  send_deadline_.async_wait([self = shared_from_this()](const ErrorCode& error) {
    if (!error && self->send_deadline_.expiry() <= std::chrono::steady_clock::now()) self->Close();
  });
}

}  // namespace qnext::server
