#include "bench/http_client.h"

#include <fmt/core.h>

#include <array>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <chrono>
#include <cstdint>
#include <limits>
#include <utility>

namespace qnext {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using boost::system::error_code;

std::chrono::steady_clock::duration Duration(double seconds) {
  return std::chrono::duration_cast<std::chrono::steady_clock::duration>(std::chrono::duration<double>(seconds));
}

}  // namespace

// One connection and what is under way on it. Operations are asynchronous only because their time is limited.
struct HttpClient::Exchange {
  explicit Exchange(double timeout_seconds) : timeout(Duration(timeout_seconds)) {}

  // Starts an operation and waits for its end.
  template <typename Start>
  error_code Wait(const Start& start) {
    error_code result;
    stream.expires_after(timeout);
    start([&result](error_code error, const auto&...) { result = error; });
    io.restart();
    io.run();
    return result;
  }

  asio::io_context io;
  beast::tcp_stream stream{io};
  beast::flat_buffer buffer;
  std::chrono::steady_clock::duration timeout;
};

HttpClient::HttpClient(HttpUrl url, std::string api_key, double timeout_seconds)
    : url_(std::move(url)), api_key_(std::move(api_key)), timeout_seconds_(timeout_seconds) {}
HttpClient::~HttpClient() = default;

Result<HttpReply> HttpClient::Get(const std::string& path) { return Send(/*post=*/false, path, "", nullptr, nullptr); }

Result<HttpReply> HttpClient::Post(const std::string& path, const std::string& json) {
  return Send(/*post=*/true, path, json, nullptr, nullptr);
}

Result<HttpReply> HttpClient::PostStream(const std::string& path, const std::string& json, SteadyTime& sent,
                                         FunctionRef<void(SteadyTime time, std::string_view bytes)> on_bytes) {
  return Send(/*post=*/true, path, json, &sent, &on_bytes);
}

Result<HttpReply> HttpClient::Send(bool post, const std::string& path, const std::string& json, SteadyTime* sent,
                                   const OnBytes* on_bytes) {
  const std::string where = url_.ToString() + path;
  const auto failed = [&](const char* what, error_code error) {
    if (error == beast::error::timeout) {
      return Unavailable(fmt::format("{}: {}: nothing came for {:g} s", where, what, timeout_seconds_));
    }
    return Unavailable(fmt::format("{}: {}: {}", where, what, error.message()));
  };
  Exchange exchange(timeout_seconds_);
  asio::ip::tcp::resolver resolver(exchange.io);
  error_code error;
  const auto addresses = resolver.resolve(url_.host, url_.port, error);
  if (error) return failed("the host is unknown", error);
  error = exchange.Wait([&](auto done) { exchange.stream.async_connect(addresses, std::move(done)); });
  if (error) return failed("cannot connect", error);
  exchange.stream.socket().set_option(asio::ip::tcp::no_delay(true), error);

  http::request<http::string_body> request(post ? http::verb::post : http::verb::get, url_.path + path, 11);
  request.set(http::field::host, url_.Authority());
  request.set(http::field::user_agent, "qnext-bench");
  request.set(http::field::accept, on_bytes != nullptr ? "text/event-stream" : "application/json");
  request.set(http::field::connection, "close");
  if (!api_key_.empty()) request.set(http::field::authorization, "Bearer " + api_key_);
  if (post) {
    request.set(http::field::content_type, "application/json");
    request.body() = json;
  }
  request.prepare_payload();
  if (sent != nullptr) *sent = std::chrono::steady_clock::now();
  error = exchange.Wait([&](auto done) { http::async_write(exchange.stream, request, std::move(done)); });
  if (error) return failed("the request cannot be sent", error);

  http::response_parser<http::buffer_body> parser;
  parser.body_limit(std::numeric_limits<std::uint64_t>::max());
  error = exchange.Wait(
      [&](auto done) { http::async_read_header(exchange.stream, exchange.buffer, parser, std::move(done)); });
  if (error) return failed("no answer", error);
  HttpReply reply{
      .status = static_cast<int>(parser.get().result_int()), .reason = std::string(parser.get().reason()), .body = ""};
  std::array<char, 1 << 13> bytes;
  while (!parser.is_done()) {
    parser.get().body().data = bytes.data();
    parser.get().body().size = bytes.size();
    error = exchange.Wait(
        [&](auto done) { http::async_read_some(exchange.stream, exchange.buffer, parser, std::move(done)); });
    const SteadyTime now = std::chrono::steady_clock::now();
    if (error == http::error::need_buffer) error = {};
    const std::string_view came(bytes.data(), bytes.size() - parser.get().body().size);
    if (!came.empty() && on_bytes != nullptr && reply.status == 200) {
      (*on_bytes)(now, came);
    } else {
      reply.body.append(came);
    }
    if (error) return failed("the answer ended early", error);
  }
  return reply;
}

}  // namespace qnext
