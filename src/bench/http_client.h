// A plain HTTP/1.1 client that sees when the bytes of an answer arrive.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/function_ref.h"
#include "base/status.h"
#include "bench/url.h"
#include "metrics/timeline.h"

namespace qnext {

struct HttpReply {
  int status = 0;
  std::string reason;  // "Unauthorized"
  std::string body;    // empty where it went to a callback
};

// Every request has a connection of its own, so that none is measured with another's state. One thread at a time.
class HttpClient {
 public:
  // `api_key` is sent as a bearer token; empty: none. `timeout_seconds` is the longest wait for a connection or for the
  // next byte.
  HttpClient(HttpUrl url, std::string api_key, double timeout_seconds);
  ~HttpClient();
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  const HttpUrl& url() const { return url_; }

  // Errors begin with the URL and say what happened: refused, unknown host, time over, an answer that is no HTTP or
  // ends early. A status other than 200 is no error here.
  Result<HttpReply> Get(const std::string& path);
  Result<HttpReply> Post(const std::string& path, const std::string& json);
  // The same, with the body of a 200 handed on as it arrives. `sent` is set when the connection stands, just before the
  // request is written.
  Result<HttpReply> PostStream(const std::string& path, const std::string& json, SteadyTime& sent,
                               FunctionRef<void(SteadyTime time, std::string_view bytes)> on_bytes);

 private:
  struct Exchange;
  using OnBytes = FunctionRef<void(SteadyTime, std::string_view)>;

  Result<HttpReply> Send(bool post, const std::string& path, const std::string& json, SteadyTime* sent,
                         const OnBytes* on_bytes);

  HttpUrl url_;
  std::string api_key_;
  double timeout_seconds_;
};

}  // namespace qnext
