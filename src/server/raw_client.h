// A client for the tests that sends any bytes it is told to.
#pragma once

#include <chrono>
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace qnext::server {

struct RawResponse {
  int status = 0;  // 0: the connection ended before a whole response
  std::string head{};
  std::string body{};  // without chunk frames

  bool HeadHas(std::string_view text) const { return head.find(text) != std::string::npos; }
  nlohmann::ordered_json Json() const;                 // a test failure if the body is not JSON
  std::string ErrorParam() const;                      // error.param; "(shape)" if the error is not OpenAI's shape
  std::vector<std::string> Events() const;             // the data of a stream's events
  std::vector<nlohmann::ordered_json> Chunks() const;  // the same parsed, [DONE] left out
};

// One connection to 127.0.0.1. Every wait ends after 20 s. One thread at a time.
class RawClient {
 public:
  explicit RawClient(int port);
  ~RawClient();
  RawClient(const RawClient&) = delete;
  RawClient& operator=(const RawClient&) = delete;

  bool connected() const { return connected_; }
  bool Send(std::string_view bytes);  // false if the server has closed
  void SendRequest(std::string_view method, std::string_view path, std::string_view body = {},
                   std::string_view more_headers = {});
  RawResponse Read(bool head_only = false);  // the next response
  std::string ReadSome();                    // whatever comes next; empty at the end
  bool WaitForClose();                       // reads and drops until the server closes
  void CloseSending();
  void Close();
  void Reset();  // closes so that the server sees a reset

 private:
  bool Fill();

  int socket_ = -1;
  bool connected_ = false;
  std::string in_;
};

// A request on a connection of its own.
RawResponse Fetch(int port, std::string_view method, std::string_view path, std::string_view body = {},
                  std::string_view more_headers = {});

}  // namespace qnext::server
