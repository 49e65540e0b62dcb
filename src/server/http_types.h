// What a transport and the code above it say to each other: requests, responses, and an exchange in progress. Nothing
// here knows the HTTP library.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace qnext::server {

struct HttpHeader {
  std::string name{};
  std::string value{};
};

struct HttpRequest {
  std::string method{};  // as sent: "GET", "POST", anything else
  std::string path{};    // the target up to '?', not decoded
  std::string query{};   // after '?', without it
  std::vector<HttpHeader> headers{};
  std::string body{};
  bool from_loopback = false;  // the client is on this machine, as far as its address says

  // The first header of that name, whatever its case; empty if there is none.
  std::string_view Header(std::string_view name) const;
};

struct HttpResponse {
  int status = 200;
  std::string content_type = "application/json";
  std::vector<HttpHeader> headers{};  // beside Content-Type, Content-Length, Connection and Date
  std::string body{};
};

// The answer to one request: either Send once, or BeginStream, Write as often as needed, End. Thread-safe; the calls
// return at once and the transport sends in their order. An exchange that dies without an answer is answered with 500.
class HttpExchange {
 public:
  virtual ~HttpExchange() = default;
  virtual void Send(HttpResponse response) = 0;
  virtual void BeginStream(HttpResponse head) = 0;  // head.body is sent as the first piece
  virtual void Write(std::string piece) = 0;
  virtual void End() = 0;
  // True once the client has gone: it closed its side, or did not read for longer than the limits allow.
  virtual bool client_gone() const = 0;
};

// The code above the transport. Must outlive it.
class HttpHandler {
 public:
  virtual ~HttpHandler() = default;
  // Called on the I/O thread when the head has arrived and before its body is read; a response refuses the request.
  // Must not block.
  virtual std::optional<HttpResponse> CheckHead(const HttpRequest& head) = 0;
  // Whether Handle only formats what is at hand. Such requests are handled on the I/O thread, so that health and
  // metrics answer while every worker thread is busy with large requests. Must not block.
  virtual bool IsQuick(const HttpRequest& request) const = 0;
  // Called on one of a few worker threads, or on the I/O thread if IsQuick; may compute, must not wait for a
  // generation.
  virtual void Handle(HttpRequest request, std::shared_ptr<HttpExchange> exchange) = 0;
  // The answer to what never became a request (malformed, too large, too slow, too many). I/O thread.
  virtual HttpResponse TransportError(int status, std::string_view message) = 0;
};

// "Not Found" for 404; "Status" for what it does not know.
std::string_view ReasonPhrase(int status);

// Whether ASCII texts are equal but for case.
bool EqualsIgnoringCase(std::string_view a, std::string_view b);

}  // namespace qnext::server
