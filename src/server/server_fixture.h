// A server on a free port with a scripted backend, for the tests.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <thread>

#include "server/fake_backend.h"
#include "server/raw_client.h"
#include "server/server.h"

namespace qnext::server {

// Set `options` and the backend's script, then call Start.
class ServerFixture : public testing::Test {
 protected:
  ServerFixture() { options.port = 0; }

  void StartWithoutModel() {
    auto started = Server::Start(options);
    ASSERT_TRUE(started.ok()) << started.status().message();
    server = std::move(started).value();
    port = server->port();
  }

  void Start() {
    StartWithoutModel();
    server->AttachBackend(backend);
  }

  RawResponse Post(std::string_view path, std::string_view body) const { return Fetch(port, "POST", path, body); }
  RawResponse Get(std::string_view path, std::string_view headers = {}) const {
    return Fetch(port, "GET", path, {}, headers);
  }

  // False after 10 s.
  template <typename Condition>
  static bool Eventually(Condition condition) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (!condition()) {
      if (std::chrono::steady_clock::now() > end) return false;
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return true;
  }

  static std::string Chat(std::string_view more = {}) {
    return R"({"messages":[{"role":"user","content":"What is the capital of France?"}])" + std::string(more) + "}";
  }

  ServerOptions options;
  std::shared_ptr<FakeBackend> backend = std::make_shared<FakeBackend>();
  std::unique_ptr<Server> server;
  int port = 0;
};

}  // namespace qnext::server
