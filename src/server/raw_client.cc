#include "server/raw_client.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <nlohmann/json.hpp>

namespace qnext::server {

using nlohmann::ordered_json;

ordered_json RawResponse::Json() const {
  ordered_json out = ordered_json::parse(body, nullptr, /*allow_exceptions=*/false);
  EXPECT_FALSE(out.is_discarded()) << head << body;
  return out;
}

std::string RawResponse::ErrorParam() const {
  const ordered_json out = ordered_json::parse(body, nullptr, /*allow_exceptions=*/false);
  if (!out.is_object() || !out.contains("error")) return "(shape)";
  const ordered_json& error = out["error"];
  for (const char* field : {"message", "type", "param", "code"}) {
    if (!error.contains(field)) return "(shape)";
  }
  if (!error["message"].is_string() || error["message"].get<std::string>().empty()) return "(shape)";
  return error["param"].is_null() ? "" : error["param"].get<std::string>();
}

std::vector<std::string> RawResponse::Events() const {
  std::vector<std::string> events;
  for (size_t at = 0; at < body.size();) {
    const size_t end = body.find("\n\n", at);
    if (body.compare(at, 6, "data: ") != 0 || end == std::string::npos) {
      ADD_FAILURE() << "not an event: " << body.substr(at);
      break;
    }
    events.push_back(body.substr(at + 6, end - at - 6));
    at = end + 2;
  }
  return events;
}

std::vector<ordered_json> RawResponse::Chunks() const {
  std::vector<ordered_json> chunks;
  for (const std::string& event : Events()) {
    if (event != "[DONE]") chunks.push_back(ordered_json::parse(event));
  }
  return chunks;
}

RawClient::RawClient(int port) : socket_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  const timeval patience{.tv_sec = 20, .tv_usec = 0};
  setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
  setsockopt(socket_, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  connected_ = connect(socket_, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0;
}

RawClient::~RawClient() { Close(); }

bool RawClient::Send(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) return false;
    bytes.remove_prefix(static_cast<size_t>(sent));
  }
  return true;
}

void RawClient::SendRequest(std::string_view method, std::string_view path, std::string_view body,
                            std::string_view more_headers) {
  std::string text = fmt::format("{} {} HTTP/1.1\r\nHost: test\r\n{}", method, path, more_headers);
  if (!body.empty()) {
    text += fmt::format("Content-Type: application/json\r\nContent-Length: {}\r\n", body.size());
  }
  Send(text + "\r\n" + std::string(body));
}

bool RawClient::Fill() {
  std::array<char, 65536> chunk{};
  errno = 0;
  const ssize_t size = recv(socket_, chunk.data(), chunk.size(), 0);
  if (size <= 0) return false;
  in_.append(chunk.data(), static_cast<size_t>(size));
  return true;
}

std::string RawClient::ReadSome() {
  if (in_.empty()) Fill();
  return std::exchange(in_, {});
}

RawResponse RawClient::Read(bool head_only) {
  size_t end = 0;
  while ((end = in_.find("\r\n\r\n")) == std::string::npos) {
    if (!Fill()) return {};
  }
  RawResponse response;
  response.head = in_.substr(0, end + 4);
  in_.erase(0, end + 4);
  const int status = std::atoi(response.head.substr(9, 3).c_str());
  if (!head_only && response.HeadHas("Transfer-Encoding: chunked")) {
    while (true) {
      while ((end = in_.find("\r\n")) == std::string::npos) {
        if (!Fill()) return response;
      }
      const size_t size = std::stoul(in_.substr(0, end), nullptr, 16);
      while (in_.size() < end + 2 + size + 2) {
        if (!Fill()) return response;
      }
      response.body += in_.substr(end + 2, size);
      EXPECT_EQ(in_.substr(end + 2 + size, 2), "\r\n");
      in_.erase(0, end + 2 + size + 2);
      if (size == 0) break;
    }
  } else if (const size_t at = response.head.find("Content-Length: "); !head_only && at != std::string::npos) {
    const size_t size = std::stoul(response.head.substr(at + 16));
    while (in_.size() < size) {
      if (!Fill()) return response;
    }
    response.body = in_.substr(0, size);
    in_.erase(0, size);
  } else if (!head_only && status != 204 && status != 100) {
    while (Fill()) {
    }
    response.body = std::exchange(in_, {});
  }
  response.status = status;
  return response;
}

bool RawClient::WaitForClose() {
  while (Fill()) in_.clear();
  // An orderly end or a reset, not the wait's own end.
  return errno != EAGAIN && errno != EWOULDBLOCK;
}

void RawClient::CloseSending() { shutdown(socket_, SHUT_WR); }

void RawClient::Close() {
  if (socket_ >= 0) close(std::exchange(socket_, -1));
}

void RawClient::Reset() {
  const linger abrupt{.l_onoff = 1, .l_linger = 0};
  setsockopt(socket_, SOL_SOCKET, SO_LINGER, &abrupt, sizeof(abrupt));
  Close();
}

RawResponse Fetch(int port, std::string_view method, std::string_view path, std::string_view body,
                  std::string_view more_headers) {
  RawClient client(port);
  client.SendRequest(method, path, body, more_headers);
  return client.Read(/*head_only=*/method == "HEAD");
}

}  // namespace qnext::server
