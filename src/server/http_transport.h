// HTTP/1.1 over TCP: one thread for all sockets, a few workers for what the handler must compute. docs/http-api.md
// lists what it bounds.
//
// Goals: an answer in the API's own shape to everything that goes wrong, deadlines for whole phases (not only between
// bytes), bounded memory for any client, and knowing at once when a client has gone. Non-goals: TLS, HTTP/2, serving
// files; a proxy in front does those.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include "base/status.h"
#include "server/http_types.h"

namespace qnext::server {

struct HttpLimits {
  int64_t max_connections = 2048;          // beyond: the longest idle one is closed, or the new one gets 503
  int64_t max_head_bytes = 32 << 10;       // request line and headers; beyond: 431
  int64_t max_body_bytes = 32 << 20;       // beyond: 413
  int64_t max_bodies_bytes = 256 << 20;    // of all requests being received; beyond: 503
  int64_t max_pipelined_bytes = 64 << 10;  // received ahead of their turn; beyond: the connection is closed
  int64_t max_unsent_bytes = 8 << 20;      // of a stream that its client does not read; beyond: the client is gone
  std::chrono::milliseconds head_timeout{10'000};  // from connecting, or a request's first byte, to the end of its head
  std::chrono::milliseconds body_timeout{60'000};  // from there to the end of its body; both: 408
  std::chrono::milliseconds idle_timeout{60'000};  // between two requests of a connection; it is closed
  std::chrono::milliseconds send_timeout{30'000};  // without a byte taken by the client; the client is gone
  std::chrono::milliseconds linger_timeout{3'000};  // for the client to close after the last answer
  int worker_threads = 2;                           // that run HttpHandler::Handle for what is not quick
};

// Thread-safe.
class HttpTransport {
 public:
  // Listens on `host` (an address or a name; the first address it has) and `port` (0: any free one). `handler` must
  // outlive the transport.
  static Result<std::unique_ptr<HttpTransport>> Start(const std::string& host, int port, const HttpLimits& limits,
                                                      HttpHandler& handler);
  ~HttpTransport();  // Stop(0)
  HttpTransport(const HttpTransport&) = delete;
  HttpTransport& operator=(const HttpTransport&) = delete;

  const std::string& address() const;  // "127.0.0.1", "[::1]"
  int port() const;

  // New connections are refused from now on; those that are open close after their next answer.
  void StopAccepting();

  // Closes what is idle, gives answers under way `drain` to be sent, closes the rest and ends all threads. No exchange
  // may be in use elsewhere any more.
  void Stop(std::chrono::milliseconds drain);

 private:
  class Impl;
  explicit HttpTransport(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace qnext::server
