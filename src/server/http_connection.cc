// The reading half of a connection; http_connection_write.cc is the other.
#include "server/http_connection.h"

#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <boost/asio/post.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/field.hpp>
#include <limits>
#include <utility>

#include "server/http_exchange.h"

namespace qnext::server {

namespace asio = boost::asio;
namespace http = boost::beast::http;

namespace {
constexpr std::string_view kHeadEnd = "\r\n\r\n";
}

HttpConnection::HttpConnection(asio::ip::tcp::socket socket, HttpShared& shared)
    : socket_(std::move(socket)), shared_(shared), deadline_(shared.io), send_deadline_(shared.io) {}

void HttpConnection::Start() {
  BeginRequest();
  SetDeadline(shared_.limits.head_timeout);
  Read();
}

void HttpConnection::StartWithRefusal(int status, std::string_view message) {
  BeginRequest();
  Fail(status, message);
}

std::optional<std::chrono::steady_clock::time_point> HttpConnection::idle_since() const {
  if (closed_ || phase_ != Phase::kHead || !in_.empty() || writing_) return std::nullopt;
  return idle_since_;
}

void HttpConnection::BeginRequest() {
  parser_.emplace();
  parser_->header_limit(static_cast<uint32_t>(shared_.limits.max_head_bytes));
  parser_->body_limit(std::numeric_limits<uint64_t>::max());  // OnHead and ParseBody answer in our own words
  phase_ = Phase::kHead;
  answer_ = Answer::kNone;
  head_scanned_ = 0;
  idle_since_ = std::chrono::steady_clock::now();
}

void HttpConnection::Read() {
  if (reading_ || closed_ || end_of_input_) return;
  reading_ = true;
  socket_.async_read_some(asio::buffer(chunk_), [self = shared_from_this()](const ErrorCode& error, size_t size) {
    self->reading_ = false;
    self->OnRead(error, size);
  });
}

void HttpConnection::OnRead(const ErrorCode& error, size_t size) {
  if (closed_) return;
  if (error) {
    if (error == asio::error::eof) return OnEndOfInput();
    return Close();
  }
  if (phase_ == Phase::kLingering) return Read();
  const bool first_bytes = phase_ == Phase::kHead && in_.empty();
  in_.append(chunk_.data(), size);
  if (phase_ == Phase::kHandling) {
    // Reading goes on while the answer is made, because that is how a client's leaving is noticed.
    if (static_cast<int64_t>(in_.size()) > shared_.limits.max_pipelined_bytes) return Close();
    return Read();
  }
  if (first_bytes) SetDeadline(shared_.limits.head_timeout);
  Parse();
}

void HttpConnection::OnEndOfInput() {
  end_of_input_ = true;
  if (phase_ != Phase::kHandling) return Close();
  // The answer still goes out if it is a short one; a generation sees the signal and ends.
  keep_alive_ = false;
  signals_->client_gone = true;
}

// Goes as far as the bytes at hand allow.
void HttpConnection::Parse() {
  if (phase_ == Phase::kHead && !ParseHead()) return;
  if (phase_ == Phase::kBody && !ParseBody()) return;
  if (phase_ == Phase::kBody) Dispatch();
}

// True when the head is complete and accepted.
bool HttpConnection::ParseHead() {
  in_.erase(0, in_.find_first_not_of("\r\n"));  // some clients send an empty line after a body
  if (in_.empty()) {
    Read();
    return false;
  }
  // A TLS hello or other noise need not be waited out.
  const char first = in_.front();
  if (!(first >= 'A' && first <= 'Z')) return Fail(400, "not an HTTP request");
  // The parser gets the head as a whole, so that in_ shows whether a request has begun.
  const size_t end = in_.find(kHeadEnd, head_scanned_);
  head_scanned_ = in_.size() - std::min(in_.size(), kHeadEnd.size() - 1);
  const size_t size = end == std::string::npos ? in_.size() : end + kHeadEnd.size();
  if (size > static_cast<size_t>(shared_.limits.max_head_bytes)) return Fail(431, "the request's head is too large");
  if (end == std::string::npos) {
    Read();
    return false;
  }
  ErrorCode error;
  parser_->put(asio::const_buffer(in_.data(), size), error);
  in_.erase(0, size);
  if (error || !parser_->is_header_done()) return Fail(400, "malformed HTTP request: " + error.message());
  return OnHead();
}

HttpRequest HttpConnection::TakeHead() {
  const auto& message = parser_->get();
  HttpRequest request;
  request.method = std::string(message.method_string());
  std::string target(message.target());
  if (target.starts_with("http://")) target.erase(0, std::min(target.find('/', 7), target.size()));  // absolute form
  const size_t question = target.find('?');
  request.path = target.substr(0, question);
  if (question != std::string::npos) request.query = target.substr(question + 1);
  for (const auto& field : message) {
    request.headers.push_back({std::string(field.name_string()), std::string(field.value())});
  }
  ErrorCode gone;  // then there is no address, and nobody to answer
  const asio::ip::address peer = socket_.remote_endpoint(gone).address();
  request.from_loopback =
      !gone && (peer.is_loopback() || (peer.is_v6() && peer.to_v6().is_v4_mapped() &&
                                       asio::ip::make_address_v4(asio::ip::v4_mapped, peer.to_v6()).is_loopback()));
  return request;
}

// Whether the end of the body is beyond doubt; what is not could be read differently by a proxy in front.
std::optional<HttpResponse> HttpConnection::CheckFraming() {
  const auto& message = parser_->get();
  const auto refuse = [this](int status, std::string_view why) { return shared_.handler.TransportError(status, why); };
  if (message.version() == 11 && message.count(http::field::host) != 1) return refuse(400, "Host: is required once");
  if (message.count(http::field::transfer_encoding) > 0) {
    const auto coding = message[http::field::transfer_encoding];
    if (message.count(http::field::content_length) > 0 || message.version() == 10) {
      return refuse(400, "Transfer-Encoding: not together with Content-Length or HTTP/1.0");
    }
    if (!EqualsIgnoringCase({coding.data(), coding.size()}, "chunked")) {
      return refuse(501, "Transfer-Encoding: only chunked is supported");
    }
  }
  if (message.count(http::field::content_encoding) > 0) return refuse(415, "Content-Encoding: not supported");
  const auto length = parser_->content_length();
  if (length && *length > static_cast<uint64_t>(shared_.limits.max_body_bytes)) {
    return refuse(413, "the body is larger than " + std::to_string(shared_.limits.max_body_bytes) + " bytes");
  }
  return std::nullopt;
}

bool HttpConnection::OnHead() {
  const auto& message = parser_->get();
  http10_ = message.version() == 10;
  keep_alive_ = parser_->keep_alive() && !end_of_input_;
  request_ = TakeHead();
  is_head_ = request_.method == "HEAD";
  if (auto refusal = CheckFraming()) return Refuse(*std::move(refusal), /*close=*/true);
  if (auto refusal = shared_.handler.CheckHead(request_)) {
    return Refuse(*std::move(refusal), /*close=*/!parser_->is_done());
  }
  if (const auto expect = message[http::field::expect]; !expect.empty()) {
    if (!EqualsIgnoringCase({expect.data(), expect.size()}, "100-continue")) {
      return Refuse(shared_.handler.TransportError(417, "Expect: only 100-continue"), /*close=*/true);
    }
    if (!parser_->is_done() && in_.empty()) Queue("HTTP/1.1 100 Continue\r\n\r\n");
  }
  phase_ = Phase::kBody;
  parser_->eager(true);
  SetDeadline(shared_.limits.body_timeout);
  return true;
}

// True when the body is complete.
bool HttpConnection::ParseBody() {
  while (!parser_->is_done()) {
    if (in_.empty()) {
      Read();
      return false;
    }
    ErrorCode error;
    const size_t used = parser_->put(asio::const_buffer(in_.data(), in_.size()), error);
    in_.erase(0, used);
    const auto size = static_cast<int64_t>(parser_->get().body().size());
    shared_.bodies_bytes += size - std::exchange(body_bytes_, size);
    if (size > shared_.limits.max_body_bytes) {
      return Fail(413, "the body is larger than " + std::to_string(shared_.limits.max_body_bytes) + " bytes");
    }
    if (shared_.bodies_bytes > shared_.limits.max_bodies_bytes) {
      return Fail(503, "too many large requests at the same time");
    }
    if (error == http::error::need_more) {
      Read();
      return false;
    }
    if (error) return Fail(400, "malformed HTTP body: " + error.message());
  }
  return true;
}

void HttpConnection::Dispatch() {
  phase_ = Phase::kHandling;
  deadline_.cancel();
  request_.body = std::move(parser_->get().body());
  parser_.reset();
  ReleaseBody();
  signals_ = std::make_shared<ExchangeSignals>();
  auto exchange = std::make_shared<ConnectionExchange>(shared_from_this(), shared_, signals_);
  if (shared_.handler.IsQuick(request_)) {
    shared_.handler.Handle(std::move(request_), std::move(exchange));  // the answer comes as a task of this thread
  } else {
    asio::post(shared_.workers,
               [&handler = shared_.handler, request = std::move(request_), exchange = std::move(exchange)]() mutable {
                 handler.Handle(std::move(request), std::move(exchange));
               });
  }
  Read();
}

void HttpConnection::ReleaseBody() { shared_.bodies_bytes -= std::exchange(body_bytes_, 0); }

void HttpConnection::SetDeadline(std::chrono::milliseconds duration) {
  deadline_.expires_after(duration);
  deadline_.async_wait([self = shared_from_this()](const ErrorCode& error) {
    // A deadline moved after its handler was queued is not over yet.
    if (!error && self->deadline_.expiry() <= std::chrono::steady_clock::now()) self->OnDeadline();
  });
}

void HttpConnection::OnDeadline() {
  if (closed_ || phase_ == Phase::kHandling) return;
  if (phase_ == Phase::kLingering || (phase_ == Phase::kHead && in_.empty())) return Close();
  Fail(408, "the request did not arrive in time");
}

void HttpConnection::Close() {
  if (std::exchange(closed_, true)) return;
  if (signals_) signals_->client_gone = true;
  ErrorCode ignored;
  socket_.close(ignored);
  deadline_.cancel();
  send_deadline_.cancel();
  ReleaseBody();
  shared_.on_closed(*this);
}

void HttpConnection::CloseWhenIdle() {
  if (phase_ == Phase::kHandling || writing_) {
    keep_alive_ = false;
  } else if (phase_ != Phase::kLingering) {
    Close();
  }
}

}  // namespace qnext::server
