// For tests: a server that says what it is told to, when it is told to, and knows when it did.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "base/check.h"
#include "metrics/timeline.h"

namespace qnext {

// What a handler answers with.
class FakeConnection {
 public:
  explicit FakeConnection(int socket) : socket_(socket) {}

  // The time just after the bytes were handed to the system, which on one machine is when they arrive.
  SteadyTime Send(std::string_view bytes) const {
    while (!bytes.empty()) {
      const ssize_t sent = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) break;
      bytes.remove_prefix(static_cast<size_t>(sent));
    }
    return std::chrono::steady_clock::now();
  }
  void SendStreamHead() const {
    Send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n");
  }
  // One chunk of the transfer encoding.
  SteadyTime SendChunk(const std::string& text) const {
    char size[20];
    std::snprintf(size, sizeof(size), "%zx\r\n", text.size());
    return Send(size + text + "\r\n");
  }
  void SendEnd() const { Send("0\r\n\r\n"); }
  void SendReply(const std::string& status, const std::string& body) const {
    Send("HTTP/1.1 " + status + "\r\nContent-Type: application/json\r\nContent-Length: " + std::to_string(body.size()) +
         "\r\n\r\n" + body);
  }
  static void Wait(double milliseconds) {
    std::this_thread::sleep_for(std::chrono::duration<double, std::milli>(milliseconds));
  }

 private:
  int socket_;
};

struct FakeRequest {
  std::string head;  // request line and headers
  std::string body;
  SteadyTime arrived;
};

// Answers one connection after the other on a port of its own.
class FakeHttpServer {
 public:
  using Handler = std::function<void(const FakeRequest&, const FakeConnection&)>;

  explicit FakeHttpServer(Handler handler) : handler_(std::move(handler)) {
    listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    auto* raw = reinterpret_cast<sockaddr*>(&address);
    QNEXT_CHECK(
        ::bind(listener_, raw, size) == 0 && ::listen(listener_, 16) == 0 && ::getsockname(listener_, raw, &size) == 0,
        "a socket to listen on");
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { Serve(); });
  }
  ~FakeHttpServer() {
    ::shutdown(listener_, SHUT_RDWR);
    thread_.join();
    ::close(listener_);
  }
  FakeHttpServer(const FakeHttpServer&) = delete;
  FakeHttpServer& operator=(const FakeHttpServer&) = delete;

  std::string url() const { return "http://127.0.0.1:" + std::to_string(port_); }
  std::vector<FakeRequest> requests() const {
    const std::lock_guard lock(mutex_);
    return requests_;
  }

 private:
  void Serve() {
    for (;;) {
      const int socket = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
      if (socket < 0) return;
      const int one = 1;
      ::setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
      const FakeRequest request = ReadRequest(socket);
      {
        const std::lock_guard lock(mutex_);
        requests_.push_back(request);
      }
      handler_(request, FakeConnection(socket));
      ::close(socket);
    }
  }

  static FakeRequest ReadRequest(int socket) {
    std::string text;
    size_t head_end = std::string::npos, body_size = 0;
    char bytes[4096];
    while (head_end == std::string::npos || text.size() < head_end + 4 + body_size) {
      const ssize_t got = ::recv(socket, bytes, sizeof(bytes), 0);
      if (got <= 0) break;
      text.append(bytes, static_cast<size_t>(got));
      if (head_end != std::string::npos || (head_end = text.find("\r\n\r\n")) == std::string::npos) continue;
      const size_t length = text.find("Content-Length: ");
      if (length < head_end) body_size = std::stoul(text.substr(length + 16));
    }
    const SteadyTime now = std::chrono::steady_clock::now();
    if (head_end == std::string::npos) return {.head = text, .body = "", .arrived = now};
    return {.head = text.substr(0, head_end), .body = text.substr(head_end + 4), .arrived = now};
  }

  Handler handler_;
  int listener_ = -1;
  int port_ = 0;
  mutable std::mutex mutex_;
  std::vector<FakeRequest> requests_;
  std::thread thread_;
};

}  // namespace qnext
