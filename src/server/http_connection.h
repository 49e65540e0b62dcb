// One client's connection: reads requests one after the other and sends their answers. Internal to the transport.
#pragma once

#include <array>
#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "server/http_transport.h"
#include "server/http_types.h"

namespace qnext::server {

class HttpConnection;

// What connections share. Used on the I/O thread only.
struct HttpShared {
  HttpShared(HttpHandler& the_handler, const HttpLimits& the_limits)
      : limits(the_limits), handler(the_handler), workers(static_cast<size_t>(the_limits.worker_threads)) {}

  const HttpLimits limits;
  HttpHandler& handler;
  boost::asio::io_context io{1};
  boost::asio::thread_pool workers;
  int64_t bodies_bytes = 0;  // of requests being received
  bool closing = false;      // no request follows the ones being handled
  // A connection has closed; it is alive until this returns.
  std::function<void(HttpConnection&)> on_closed;
};

// What the connection tells whoever answers. Thread-safe.
struct ExchangeSignals {
  std::atomic<bool> client_gone{false};
  std::atomic<int64_t> unsent_bytes{0};
};

// Lives on the I/O thread: every member function is called there, and it must be destroyed there.
class HttpConnection : public std::enable_shared_from_this<HttpConnection> {
 public:
  HttpConnection(boost::asio::ip::tcp::socket socket, HttpShared& shared);

  void Start();
  void StartWithRefusal(int status, std::string_view message);  // answers before anything is read, and closes
  void Close();                                                 // now, whatever is under way
  void CloseWhenIdle();                                         // now if no request is under way, else after its answer

  // When it began to wait for a request's first byte; nullopt if it is not waiting for one.
  std::optional<std::chrono::steady_clock::time_point> idle_since() const;

  // Whether the request being handled is the one these signals belong to.
  bool IsAnswering(const ExchangeSignals& signals) const { return signals_.get() == &signals; }

  // The answer to the request being handled; HttpExchange describes the order.
  void Send(HttpResponse response);
  void BeginStream(HttpResponse head);
  void Write(std::string piece);
  void End();
  void Abandoned();  // nobody will answer any more

 private:
  using Parser = boost::beast::http::request_parser<boost::beast::http::string_body>;
  using ErrorCode = boost::system::error_code;

  enum class Phase { kHead, kBody, kHandling, kLingering };
  enum class Answer { kNone, kStreaming, kComplete };

  void BeginRequest();
  void Read();
  void OnRead(const ErrorCode& error, size_t size);
  void OnEndOfInput();
  void Parse();
  bool ParseHead();
  bool ParseBody();
  bool OnHead();
  std::optional<HttpResponse> CheckFraming();
  HttpRequest TakeHead();
  void Dispatch();
  bool Fail(int status, std::string_view message);  // false, for `return Fail(...)`
  bool Refuse(HttpResponse response, bool close);

  void Queue(std::string bytes);
  void WriteSome();
  void OnWritten(const ErrorCode& error, size_t size);
  void OnAnswerSent();
  void Linger();

  void SetDeadline(std::chrono::milliseconds duration);
  void OnDeadline();
  void SetSendDeadline();
  void ReleaseBody();

  boost::asio::ip::tcp::socket socket_;
  HttpShared& shared_;
  boost::asio::steady_timer deadline_;       // of the phase
  boost::asio::steady_timer send_deadline_;  // of the write under way
  std::array<char, 16384> chunk_{};          // one read
  std::string in_;                           // received and not parsed
  size_t head_scanned_ = 0;                  // of in_: no end of a head begins before it
  std::optional<Parser> parser_;             // of the request being received
  HttpRequest request_;
  Phase phase_ = Phase::kHead;
  Answer answer_ = Answer::kNone;
  std::shared_ptr<ExchangeSignals> signals_;  // of the request being handled
  std::deque<std::string> out_;               // to be sent; the first from out_offset_ on
  size_t out_offset_ = 0;
  int64_t body_bytes_ = 0;  // counted in shared_.bodies_bytes
  std::chrono::steady_clock::time_point idle_since_;
  bool reading_ = false;
  bool writing_ = false;
  bool closed_ = false;
  bool end_of_input_ = false;
  bool keep_alive_ = true;
  bool http10_ = false;
  bool is_head_ = false;
};

}  // namespace qnext::server
