// What strangers send: broken, huge, slow and too much of it. After each, the server must still answer.
#include <fmt/format.h>
#include <sys/resource.h>

#include <ctime>
#include <memory>
#include <nlohmann/json.hpp>
#include <vector>

#include "server/process_memory.h"
#include "server/server_fixture.h"

namespace qnext::server {
namespace {

using std::chrono::milliseconds;

#ifdef __SANITIZE_ADDRESS__
constexpr int64_t kMemoryOfRefusedBodies = int64_t{400} << 20;  // it keeps what was freed for a while
#else
constexpr int64_t kMemoryOfRefusedBodies = int64_t{90} << 20;  // twice a string of max_body_bytes, and some
#endif

class ServerTransport : public ServerFixture {
 protected:
  void TearDown() override { EXPECT_EQ(Get("/health").status, 200) << "the server has suffered"; }

  RawResponse SendRaw(std::string_view bytes) const {
    RawClient client(port);
    client.Send(bytes);
    return client.Read();
  }
};

struct BadRequest {
  std::string bytes;
  int status;
};

TEST_F(ServerTransport, MalformedRequestsGetAnErrorInTheApisShape) {
  Start();
  const BadRequest cases[] = {
      {std::string("\x16\x03\x01\x02\x00\x01\x00", 7), 400},  // a TLS hello
      {"hello\r\n\r\n", 400},
      {"GET\r\n\r\n", 400},
      {"GET /health\r\n\r\n", 400},
      {"GET /health HTTP/1.1\r\nHost test\r\n\r\n", 400},
      {"GET /health HTTP/1.1\r\nHost: a\r\nBad Name: x\r\n\r\n", 400},
      {"GET /hea lth HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {std::string("GET /health HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n", 41), 400},
      {"GET /health HTTP/1.1\r\n\r\n", 400},                        // no Host
      {"GET /health HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400},  // two
      {"GET /health HTTP/2.0\r\nHost: a\r\n\r\n", 400},
      {"GET /health HTTX/1.1\r\nHost: a\r\n\r\n", 400},
      {"GET /health HTTP/1.2\r\nHost: a\r\n\r\n", 400},
      {"GET /health HTTP/0.9\r\nHost: a\r\n\r\n", 400},
      {"POST /tokenize HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n", 400},
      {"POST /tokenize HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", 400},
      {"POST /tokenize HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n", 400},
      {"POST /tokenize HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\n", 400},
      {"POST /tokenize HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
      {"POST /tokenize HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 501},
      {"POST /tokenize HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501},
      {"POST /tokenize HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
      {"POST /tokenize HTTP/1.1\r\nHost: a\r\nContent-Encoding: gzip\r\nContent-Length: 1\r\n\r\n", 415},
      {"POST /tokenize HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nExpect: magic\r\n\r\n", 417},
      {"POST /tokenize HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nTransfer-Encoding: "
       "chunked\r\n\r\nzz\r\n",
       400},
      {"GET /health HTTP/1.1\r\nHost: a\r\nX: " + std::string(40'000, 'x') + "\r\n\r\n", 431},
      {"GET /" + std::string(100'000, 'x'), 431},
  };
  for (const BadRequest& bad : cases) {
    const RawResponse response = SendRaw(bad.bytes);
    EXPECT_EQ(response.status, bad.status) << bad.bytes.substr(0, 200) << "\n" << response.body;
    EXPECT_EQ(response.ErrorParam(), "") << bad.bytes.substr(0, 200) << "\n" << response.body;
    EXPECT_TRUE(response.HeadHas("Connection: close")) << bad.bytes.substr(0, 200);
  }
}

TEST_F(ServerTransport, MethodsPathsAndTypes) {
  Start();
  EXPECT_EQ(Get("/nowhere").status, 404);
  EXPECT_EQ(Get("/nowhere").ErrorParam(), "");
  EXPECT_EQ(Get("/v1/chat/completions").status, 405);
  EXPECT_EQ(Fetch(port, "DELETE", "/v1/models").status, 405);
  EXPECT_EQ(Fetch(port, "BREW", "/health").status, 405);
  EXPECT_EQ(Get("/health?x=1").status, 400);
  const RawResponse options_reply = Fetch(port, "OPTIONS", "/v1/chat/completions");
  EXPECT_EQ(options_reply.status, 204);
  EXPECT_TRUE(options_reply.HeadHas("Allow: POST, OPTIONS\r\n"));
  EXPECT_FALSE(options_reply.HeadHas("Content-Length"));
  const RawResponse head = Fetch(port, "HEAD", "/health");
  EXPECT_EQ(head.status, 200);
  EXPECT_TRUE(head.HeadHas("Content-Length: "));
  EXPECT_EQ(head.body, "");
  EXPECT_EQ(SendRaw("GET http://test/health HTTP/1.1\r\nHost: test\r\n\r\n").status, 200);

  for (const char* type : {"Content-Type: text/plain\r\n", "Content-Type: application/x-www-form-urlencoded\r\n", ""}) {
    const RawResponse response = SendRaw(
        fmt::format("POST /tokenize HTTP/1.1\r\nHost: a\r\n{}Content-Length: 15\r\n\r\n{{\"content\":\"x\"}}", type));
    EXPECT_EQ(response.status, 415) << type;
    EXPECT_EQ(response.ErrorParam(), "");
  }
  EXPECT_EQ(SendRaw("POST /tokenize HTTP/1.1\r\nHost: a\r\nContent-Type: Application/JSON ; charset=utf-8\r\n"
                    "Content-Length: 15\r\n\r\n{\"content\":\"x\"}")
                .status,
            200);
}

TEST_F(ServerTransport, BadBodiesNameTheField) {
  Start();
  struct BadBody {
    std::string body;
    std::string param;
  };
  const BadBody cases[] = {
      {"{", ""},
      {"nonsense", ""},
      {R"({"messages":[{"role":"user","content":"x"}],"temperature":NaN})", "temperature"},
      {R"({"messages":[{"role":"user","content":"x"}],"top_p":Infinity})", "top_p"},
      {R"({"messages":[{"role":"user","content":"x"}],"temperature":1e400})", "temperature"},
      {R"({"messages":[{"role":"user","content":"x"}],"max_tokens":"many"})", "max_tokens"},
      {R"({"messages":[{"role":"user","content":"x"}],"max_tokens":-5})", "max_tokens"},
      {"{\"messages\":[{\"role\":\"user\",\"content\":\"\xff\"}]}", "messages[0].content"},
      {R"({"messages":)" + std::string(1'000'000, '['), "messages"},
      {std::string(200'000, '{'), ""},
  };
  for (const BadBody& bad : cases) {
    const RawResponse response = Post("/v1/chat/completions", bad.body);
    EXPECT_EQ(response.status, 400) << bad.body.substr(0, 100);
    const std::string param = response.ErrorParam();
    EXPECT_TRUE(param.starts_with(bad.param) && param != "(shape)") << response.body.substr(0, 300);
  }
  EXPECT_EQ(SendRaw("POST /tokenize HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n\r\n").status, 400);
}

TEST_F(ServerTransport, AHugeBodyIsRefusedWithoutBeingKept) {
  Start();
  const int64_t before = ReadProcessMemory().resident_bytes;
  // Announced: refused before it is sent, and the client that sends it all the same still reads the answer.
  RawClient announced(port);
  announced.Send(
      "POST /tokenize HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 104857600\r\n\r\n");
  const std::string block(1 << 20, ' ');
  for (int i = 0; i < 100 && announced.Send(block); ++i) {
  }
  EXPECT_EQ(announced.Read().status, 413);

  // In chunks: refused when the limit is reached.
  RawClient chunked(port);
  chunked.Send(
      "POST /tokenize HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n");
  for (int i = 0; i < 100 && chunked.Send("100000\r\n" + block + "\r\n"); ++i) {
  }
  const RawResponse response = chunked.Read();
  EXPECT_EQ(response.status, 413);
  EXPECT_EQ(response.ErrorParam(), "");
  EXPECT_LT(ReadProcessMemory().resident_bytes - before, kMemoryOfRefusedBodies);
}

TEST_F(ServerTransport, LargeBodiesTogetherAreBounded) {
  options.limits.max_bodies_bytes = 3 << 20;
  Start();
  const std::string head =
      "POST /tokenize HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 3000000\r\n\r\n";
  RawClient first(port);
  first.Send(head + std::string(2'000'000, ' '));
  std::this_thread::sleep_for(milliseconds(100));
  RawClient second(port);
  second.Send(head + std::string(2'000'000, ' '));
  EXPECT_EQ(second.Read().status, 503);
  first.Send(std::string(1'000'000, ' '));
  EXPECT_EQ(first.Read().status, 400);  // it was only spaces
}

TEST_F(ServerTransport, ChunkedBodiesAnd100ContinueWork) {
  Start();
  EXPECT_EQ(SendRaw("POST /tokenize HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
                    "Transfer-Encoding: chunked\r\n\r\n6\r\n{\"cont\r\n9;x=y\r\nent\":\"a\"}\r\n0\r\n\r\n")
                .body,
            R"({"tokens":[97],"count":1})");
  RawClient client(port);
  client.Send(
      "POST /tokenize HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nExpect: 100-continue\r\n"
      "Content-Length: 15\r\n\r\n");
  EXPECT_EQ(client.Read().status, 100);
  client.Send("{\"content\":\"x\"}");
  EXPECT_EQ(client.Read().status, 200);
}

TEST_F(ServerTransport, KeepAliveAndPipelining) {
  Start();
  RawClient client(port);
  std::string several;
  for (int i = 0; i < 20; ++i) {
    const std::string body = fmt::format(R"({{"content":"{}"}})", static_cast<char>('a' + i));
    several += fmt::format(
        "POST /tokenize HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{}",
        body.size(), body);
  }
  client.Send(several + "\r\nGET /nowhere HTTP/1.1\r\nHost: a\r\n\r\nGET /health HTTP/1.1\r\nHost: a\r\n\r\n");
  for (int i = 0; i < 20; ++i)
    EXPECT_EQ(client.Read().body, fmt::format(R"({{"tokens":[{}],"count":1}})", 'a' + i + 0));
  EXPECT_EQ(client.Read().status, 404);
  EXPECT_EQ(client.Read().status, 200);
  client.SendRequest("POST", "/v1/chat/completions", Chat(R"(,"stream":true)"));
  EXPECT_EQ(client.Read().Events().back(), "[DONE]");
  client.SendRequest("GET", "/health", {}, "Connection: close\r\n");
  EXPECT_TRUE(client.Read().HeadHas("Connection: close"));
  EXPECT_EQ(client.ReadSome(), "");
}

TEST_F(ServerTransport, Http10StreamsUntilTheEnd) {
  Start();
  const std::string body = Chat(R"(,"stream":true)");
  const RawResponse response = SendRaw(fmt::format(
      "POST /v1/chat/completions HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{}",
      body.size(), body));
  EXPECT_EQ(response.status, 200);
  EXPECT_TRUE(response.HeadHas("Connection: close"));
  EXPECT_FALSE(response.HeadHas("chunked"));
  EXPECT_EQ(response.Events().back(), "[DONE]");
}

TEST_F(ServerTransport, AHalfClosedClientStillGetsShortAnswers) {
  Start();
  RawClient client(port);
  client.SendRequest("GET", "/health");
  client.CloseSending();
  EXPECT_EQ(client.Read().status, 200);
  EXPECT_EQ(client.ReadSome(), "");
  RawClient partial(port);
  partial.Send("GET /health HTTP/1.1\r\nHo");
  partial.CloseSending();
  EXPECT_TRUE(partial.WaitForClose());
}

TEST_F(ServerTransport, SlowRequestsHaveDeadlinesForWholePhases) {
  options.limits.head_timeout = milliseconds(150);
  options.limits.body_timeout = milliseconds(150);
  options.limits.idle_timeout = milliseconds(150);
  Start();
  // A byte now and then does not buy time.
  RawClient drip(port);
  const std::string head = "GET /health HTTP/1.1\r\nHost: a\r\nX: ";
  const auto start = std::chrono::steady_clock::now();
  drip.Send(head);
  for (int i = 0; i < 6; ++i) {
    drip.Send("x");
    std::this_thread::sleep_for(milliseconds(40));
  }
  const RawResponse late = drip.Read();
  EXPECT_EQ(late.status, 408);
  EXPECT_EQ(late.ErrorParam(), "");
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(5));

  RawClient body(port);
  body.Send("POST /tokenize HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{");
  EXPECT_EQ(body.Read().status, 408);

  RawClient silent(port);
  EXPECT_TRUE(silent.WaitForClose());
  RawClient idle(port);
  idle.SendRequest("GET", "/health");
  EXPECT_EQ(idle.Read().status, 200);
  EXPECT_TRUE(idle.WaitForClose());
}

TEST_F(ServerTransport, AThousandConnectionsAtOnce) {
  rlimit files{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &files), 0);
  files.rlim_cur = files.rlim_max;  // both ends are in this process
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &files), 0);
  ASSERT_GE(files.rlim_cur, 2200U);
  Start();
  std::vector<std::unique_ptr<RawClient>> clients;
  for (int i = 0; i < 1000; ++i) {
    clients.push_back(std::make_unique<RawClient>(port));
    ASSERT_TRUE(clients.back()->connected()) << i;
    if (i % 2 == 0) clients.back()->Send("GET /health HTTP/1.1\r\nHost: a\r\n");  // half of them begin a request
  }
  EXPECT_EQ(Post("/v1/chat/completions", Chat()).status, 200);
  for (size_t i = 0; i < clients.size(); ++i) {
    clients[i]->Send(i % 2 == 0 ? "\r\n" : "GET /health HTTP/1.1\r\nHost: a\r\n\r\n");
  }
  for (const auto& client : clients) ASSERT_EQ(client->Read().status, 200);
}

TEST_F(ServerTransport, BeyondTheConnectionLimitIdleOnesGiveWay) {
  options.limits.max_connections = 4;
  Start();
  std::vector<std::unique_ptr<RawClient>> idle;
  idle.reserve(8);
  for (int i = 0; i < 8; ++i) idle.push_back(std::make_unique<RawClient>(port));
  EXPECT_EQ(Get("/health").status, 200);
  idle.clear();
  std::this_thread::sleep_for(milliseconds(100));
  // Those that are in the middle of a request do not; the newcomer is told.
  std::vector<std::unique_ptr<RawClient>> busy;
  for (int i = 0; i < 4; ++i) {
    busy.push_back(std::make_unique<RawClient>(port));
    busy.back()->Send("GET /health HTTP/1.1\r\n");
  }
  std::this_thread::sleep_for(milliseconds(100));
  const RawResponse refused = Get("/health");
  EXPECT_EQ(refused.status, 503);
  EXPECT_EQ(refused.ErrorParam(), "");
  busy.clear();
  EXPECT_TRUE(Eventually([&] { return Get("/health").status == 200; }));
}

TEST_F(ServerTransport, AnIdleServerSleeps) {
  Start();
  std::vector<std::unique_ptr<RawClient>> idle;
  idle.reserve(50);
  for (int i = 0; i < 50; ++i) idle.push_back(std::make_unique<RawClient>(port));
  std::this_thread::sleep_for(milliseconds(100));
  const std::clock_t before = std::clock();
  std::this_thread::sleep_for(milliseconds(500));
  const double cpu = static_cast<double>(std::clock() - before) / CLOCKS_PER_SEC;
  EXPECT_LT(cpu, 0.005) << "1% of one core";
}

TEST_F(ServerTransport, BadAddressesAreErrors) {
  Start();
  ServerOptions same = options;
  same.port = port;
  const auto taken = Server::Start(same);
  ASSERT_FALSE(taken.ok());
  EXPECT_TRUE(taken.status().message().starts_with("127.0.0.1:" + std::to_string(port))) << taken.status().message();
  ServerOptions wrong = options;
  wrong.host = "300.1.1.1.";
  EXPECT_FALSE(Server::Start(wrong).ok());
  wrong = options;
  wrong.port = 70000;
  EXPECT_FALSE(Server::Start(wrong).ok());
}

}  // namespace
}  // namespace qnext::server
