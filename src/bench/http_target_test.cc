#include "bench/http_target.h"

#include <fmt/core.h>
#include <gtest/gtest-spi.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <mutex>
#include <nlohmann/json.hpp>
#include <set>

#include "bench/benchmark_runner.h"
#include "bench/fake_http_server.h"
#include "bench/windows.h"

namespace qnext {
namespace {

using Json = nlohmann::json;

std::string Event(const Json& json) { return "data: " + json.dump() + "\n\n"; }
Json TextChunk(const std::string& text) { return {{"choices", {{{"index", 0}, {"text", text}}}}, {"usage", nullptr}}; }
Json Usage(int64_t prompt, int64_t completion) {
  return {{"choices", Json::array()}, {"usage", {{"prompt_tokens", prompt}, {"completion_tokens", completion}}}};
}
constexpr char kDone[] = "data: [DONE]\n\n";

bool Asks(const FakeRequest& request, const std::string& path) {
  return request.head.find(" " + path + " HTTP/1.1\r\n") != std::string::npos;
}

int64_t CountWords(const std::string& text) { return std::count(text.begin(), text.end(), ' ') + 1; }

// Answers what HttpTarget::Connect asks: the model's name, and that each word is a token.
bool AnsweredPreparation(const FakeRequest& request, const FakeConnection& connection) {
  if (Asks(request, "/v1/models")) {
    connection.SendReply("200 OK", R"({"data": [{"id": "paper-1"}, {"id": "paper-2"}]})");
    return true;
  }
  const Json body = Json::parse(request.body);
  if (body.contains("stream")) return false;
  connection.SendReply(
      "200 OK", Json({{"usage", {{"prompt_tokens", CountWords(body["prompt"])}, {"completion_tokens", 1}}}}).dump());
  return true;
}

HttpTargetOptions OptionsFor(const FakeHttpServer& server) {
  return {.url = ParseHttpUrl(server.url()).value(), .prompt_seed = 5, .timeout_seconds = 20};
}

// What a server really did, against which the client's figures are held.
struct Deed {
  SteadyTime asked;
  std::vector<SteadyTime> sent;  // one per piece
};

double Seconds(SteadyTime from, SteadyTime to) { return std::chrono::duration<double>(to - from).count(); }

// Pieces that a server sends: each `wait` ms after the one before (the first: after the request), with so many tokens.
struct Piece {
  double wait;
  int tokens = 1;
};

struct Pace {
  const char* name;
  std::vector<Piece> pieces;
  bool running_usage = false;
  int64_t asked = 0;  // tokens asked for; 0: as many as come
  bool standard_fields = false;

  int tokens() const {
    int sum = 0;
    for (const Piece& piece : pieces) sum += piece.tokens;
    return sum;
  }
};

std::vector<Piece> Evenly(int pieces, int tokens, double first, double step) {
  std::vector<Piece> all(static_cast<size_t>(pieces), {step, tokens});
  all.front().wait = first;
  return all;
}

class TimedServer {
 public:
  // Of its runs, the first `drops` end with the connection after two pieces.
  explicit TimedServer(Pace pace, int drops = 0)
      : pace_(std::move(pace)),
        drops_(drops),
        server_([this](const FakeRequest& request, const FakeConnection& connection) {
          if (!AnsweredPreparation(request, connection)) Answer(request, connection);
        }) {}

  const FakeHttpServer& server() const { return server_; }
  Deed deed() const {
    const std::lock_guard lock(mutex_);
    return deed_;
  }

 private:
  void Answer(const FakeRequest& request, const FakeConnection& connection) {
    Deed deed = {.asked = request.arrived, .sent = {}};
    connection.SendStreamHead();
    const bool drops = drops_-- > 0;
    int64_t so_far = 0;
    for (const Piece& piece : pace_.pieces) {
      if (drops && deed.sent.size() == 2) return;
      FakeConnection::Wait(piece.wait);
      so_far += piece.tokens;
      Json chunk = TextChunk("piece ");
      if (pace_.running_usage) chunk["usage"] = Usage(50, so_far)["usage"];
      deed.sent.push_back(connection.SendChunk(Event(chunk)));
    }
    {
      const std::lock_guard lock(mutex_);
      deed_ = deed;
    }
    connection.SendChunk(Event(TextChunk("")));  // as a last one with the finish reason alone
    connection.SendChunk(Event(Usage(50, pace_.tokens())));
    connection.SendChunk(kDone);
    connection.SendEnd();
  }

  Pace pace_;
  int drops_;
  mutable std::mutex mutex_;
  Deed deed_;
  FakeHttpServer server_;
};

// The fewest tokens in any stretch of `window` seconds, tried every 0.5 ms: `times` and `counts` of what has come.
double SlowestStretch(const std::vector<double>& times, const std::vector<double>& counts, double window) {
  const auto come = [&](double time) {
    const size_t next = static_cast<size_t>(std::ranges::upper_bound(times, time) - times.begin());
    if (next == times.size()) return counts.back();
    const double part = (time - times[next - 1]) / (times[next] - times[next - 1]);
    return counts[next - 1] + part * (counts[next] - counts[next - 1]);
  };
  double least = counts.back();
  for (double begin = 0; begin + window <= times.back(); begin += 0.0005) {
    least = std::min(least, come(begin + window) - come(begin));
  }
  return least / window;
}

// Every figure within 1% of what the server did, which is known from the server's own clock.
void ExpectFiguresOf(const Pace& pace, const Deed& deed, const RunSample& sample) {
  const auto near = [](double actual, double expected, const char* what) {
    EXPECT_NEAR(actual, expected, 0.01 * expected) << what;
  };
  const int tokens = pace.tokens(), at_first = pace.pieces.front().tokens;
  EXPECT_EQ(sample.summary.prompt_tokens, 50);
  EXPECT_EQ(sample.summary.completion_tokens, tokens);
  const double first = Seconds(deed.asked, deed.sent.front());
  const double decode = Seconds(deed.sent.front(), deed.sent.back());
  near(*sample.summary.first_token_seconds, first, "first token");
  near(*sample.summary.prefill_tokens_per_second, 50 / first, "prefill");
  near(*sample.summary.decode_tokens_per_second, (tokens - at_first) / decode, "decode");
  near(sample.summary.total_seconds, first + decode, "total");
  ASSERT_EQ(static_cast<int>(sample.inter_token_seconds.size()), tokens - at_first);
  std::vector<double> gaps, times = {0}, counts = {0};
  for (size_t i = 1; i < pace.pieces.size(); ++i) {
    const int came = pace.pieces[i].tokens;
    const double gap = Seconds(deed.sent[i - 1], deed.sent[i]) / came;
    gaps.insert(gaps.end(), static_cast<size_t>(came), gap);
    times.push_back(Seconds(deed.sent.front(), deed.sent[i]));
    counts.push_back(counts.back() + came);
  }
  near(*sample.summary.inter_token_median_seconds, Percentile(gaps, 0.5), "median");
  near(*sample.summary.inter_token_p95_seconds, Percentile(gaps, 0.95), "p95");
  const CellFigures figures = FiguresOf({BenchmarkSample{.measured = sample}});
  near(figures.inter_token_seconds.p50, Percentile(gaps, 0.5), "p50");
  near(figures.inter_token_seconds.p95, Percentile(gaps, 0.95), "p95 of the cell");
  near(figures.inter_token_seconds.p99, Percentile(gaps, 0.99), "p99");
  near(figures.slowest_window_tokens_per_second, (tokens - at_first) / decode, "slowest window, all of it");
  near(FindSlowestWindow(sample.inter_token_seconds, 0.4).tokens_per_second, SlowestStretch(times, counts, 0.4),
       "slowest 0.4 s");
}

class HttpTargetTimesTest : public ::testing::TestWithParam<Pace> {};

// `drops` runs before it end with their connections.
void ExpectTimesOfTheServer(const Pace& pace, int drops) {
  // A machine under load may hold the client's thread back for a moment at any time; what is wrong is wrong every time.
  for (int attempt = 0;; ++attempt) {
    TimedServer timed(pace, drops);
    HttpTargetOptions options = OptionsFor(timed.server());
    options.standard_fields = pace.standard_fields;
    const auto target = HttpTarget::Connect(options).value();
    const WorkloadCase work{.prompt_tokens = 50, .output_tokens = pace.asked > 0 ? pace.asked : pace.tokens()};
    for (int64_t run = 0; run < drops; ++run) {
      const std::string message = target->Run(work, run).status().message();
      ASSERT_NE(message.find("the answer ended early: "), std::string::npos) << message;
      ASSERT_TRUE(message.ends_with(fmt::format(", after 2 pieces of text, {} tokens wanted", work.output_tokens)))
          << message;
    }
    const Result<RunSample> sample = target->Run(work, drops);
    ASSERT_TRUE(sample.ok()) << sample.status().message();
    ::testing::TestPartResultArray failures;
    {
      ::testing::ScopedFakeTestPartResultReporter reporter(
          ::testing::ScopedFakeTestPartResultReporter::INTERCEPT_ONLY_CURRENT_THREAD, &failures);
      ExpectFiguresOf(pace, timed.deed(), *sample);
    }
    if (failures.size() == 0) return;
    if (attempt < 9) continue;
    for (int i = 0; i < failures.size(); ++i) ADD_FAILURE() << failures.GetTestPartResult(i).message();
    return;
  }
}

TEST_P(HttpTargetTimesTest, AreThoseOfTheServer) { ExpectTimesOfTheServer(GetParam(), /*drops=*/0); }

INSTANTIATE_TEST_SUITE_P(Paces, HttpTargetTimesTest,
                         ::testing::Values(Pace{.name = "even", .pieces = Evenly(8, 1, 300, 100)},
                                           Pace{.name = "bursts", .pieces = Evenly(6, 4, 200, 150)},
                                           Pace{
                                               .name = "told", .pieces = Evenly(5, 3, 200, 120), .running_usage = true},
                                           Pace{.name = "stall", .pieces = {{200}, {100}, {100}, {700}, {100}, {100}}},
                                           Pace{.name = "unevenBurstsAndAStall",
                                                .pieces = {{200, 2}, {150, 1}, {200, 5}, {800, 3}, {120, 2}},
                                                .running_usage = true},
                                           Pace{.name = "endsEarly",
                                                .pieces = Evenly(6, 2, 200, 120),
                                                .running_usage = false,
                                                .asked = 100,
                                                .standard_fields = true}),
                         [](const ::testing::TestParamInfo<Pace>& pace) { return pace.param.name; });

TEST(HttpTargetDropTest, ARunAfterOneThatBrokeHasItsOwnTimesAlone) {
  ExpectTimesOfTheServer({.name = "", .pieces = Evenly(6, 2, 200, 120)}, /*drops=*/1);
}

TEST(HttpTargetTest, AsksAsOpenAiDoesAndNeverTheSameTwice) {
  TimedServer timed({.name = "", .pieces = Evenly(2, 5, 1, 1)});
  HttpTargetOptions options = OptionsFor(timed.server());
  options.api_key = "secret";
  const auto target = HttpTarget::Connect(options).value();
  EXPECT_EQ(target->model(), "paper-1");
  EXPECT_FALSE(target->exact_lengths());
  for (int64_t run = 0; run < 3; ++run) ASSERT_TRUE(target->Run({.prompt_tokens = 50, .output_tokens = 10}, run).ok());
  const std::vector<FakeRequest> requests = timed.server().requests();
  ASSERT_EQ(requests.size(), 1u + 18 + 3);
  std::set<std::string> beginnings;
  for (size_t i = 0; i < requests.size(); ++i) {
    EXPECT_NE(requests[i].head.find("\r\nAuthorization: Bearer secret"), std::string::npos);
    if (i == 0) continue;
    const Json body = Json::parse(requests[i].body);
    EXPECT_EQ(body["model"], "paper-1");
    if (!body.contains("stream")) continue;
    beginnings.insert(body["prompt"].get<std::string>().substr(0, 30));
    EXPECT_EQ(CountWords(body["prompt"]), 50);
    EXPECT_EQ(body["max_tokens"], 10);
    EXPECT_EQ(body["stream"], true);
    EXPECT_EQ(body["stream_options"]["include_usage"], true);
    EXPECT_EQ(body["ignore_eos"], true);
    EXPECT_EQ(body["top_k"], 20);
    EXPECT_EQ(body["seed"], i - 19);
  }
  EXPECT_EQ(beginnings.size(), 3u);
}

TEST(HttpTargetTest, PromptsOfIdsHaveExactlyTheLengthAndTheRange) {
  TimedServer timed({.name = "", .pieces = Evenly(2, 5, 1, 1)});
  HttpTargetOptions options = OptionsFor(timed.server());
  options.model = "named";
  options.prompt_ids = {100, 107};
  options.standard_fields = true;
  const auto target = HttpTarget::Connect(options).value();
  ASSERT_TRUE(target->Run({.prompt_tokens = 50, .output_tokens = 10}, 0).ok());
  const Json body = Json::parse(timed.server().requests().at(0).body);
  EXPECT_EQ(body["model"], "named");
  ASSERT_EQ(body["prompt"].size(), 50u);
  std::set<int> ids;
  for (const Json& id : body["prompt"]) ids.insert(id.get<int>());
  EXPECT_EQ(*ids.begin(), 100);
  EXPECT_EQ(*ids.rbegin(), 107);
  EXPECT_FALSE(body.contains("ignore_eos"));
  EXPECT_FALSE(body.contains("top_k"));
  EXPECT_EQ(target->Run({.prompt_tokens = 51, .output_tokens = 10}, 1).status().message(),
            timed.server().url() + "/v1/completions: the server counts 50 tokens of prompt where 51 were sent");
}

// A stall is part of the times, and no error before the time is over.
TEST(HttpTargetTest, AStallIsMeasuredAndAnEndlessOneIsAnError) {
  FakeHttpServer server([](const FakeRequest& request, const FakeConnection& connection) {
    if (AnsweredPreparation(request, connection)) return;
    connection.SendStreamHead();
    connection.SendChunk(Event(TextChunk("a")));
    connection.SendChunk(Event(TextChunk("b")));
    FakeConnection::Wait(600);
    connection.SendChunk(Event(TextChunk("c")));
    connection.SendChunk(Event(Usage(50, 3)) + kDone);
    connection.SendEnd();
  });
  HttpTargetOptions options = OptionsFor(server);
  const Result<RunSample> sample =
      HttpTarget::Connect(options).value()->Run({.prompt_tokens = 50, .output_tokens = 3}, 0);
  ASSERT_TRUE(sample.ok()) << sample.status().message();
  EXPECT_GT(sample->inter_token_seconds.at(1), 0.59);
  EXPECT_LT(sample->inter_token_seconds.at(0), 0.3);
  options.timeout_seconds = 0.2;
  EXPECT_EQ(HttpTarget::Connect(options).value()->Run({.prompt_tokens = 50, .output_tokens = 3}, 0).status().message(),
            server.url() +
                "/v1/completions: the answer ended early: nothing came for 0.2 s, after 2 pieces of text, 3 "
                "tokens wanted");
}

// The error of a run whose stream is `stream`, sent as one body that ends with the connection.
std::string ErrorOf(const std::string& stream, int64_t output_tokens = 3) {
  FakeHttpServer server([&](const FakeRequest& request, const FakeConnection& connection) {
    if (!AnsweredPreparation(request, connection))
      connection.Send("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + stream);
  });
  const auto target = HttpTarget::Connect(OptionsFor(server)).value();
  const Result<RunSample> sample = target->Run({.prompt_tokens = 50, .output_tokens = output_tokens}, 0);
  EXPECT_FALSE(sample.ok());
  const std::string where = server.url() + "/v1/completions: ";
  EXPECT_EQ(sample.status().message().rfind(where, 0), 0u) << sample.status().message();
  return sample.status().message().substr(where.size());
}

TEST(HttpTargetTest, StreamsThatEndEarlyOrSayNonsense) {
  const std::string text = Event(TextChunk("a")) + Event(TextChunk("b")), usage = Event(Usage(50, 3));
  EXPECT_EQ(ErrorOf(text), "the stream ended without [DONE], after 2 pieces of text, 3 tokens wanted");
  EXPECT_EQ(ErrorOf(""), "the stream ended without [DONE], after 0 pieces of text, 3 tokens wanted");
  EXPECT_EQ(ErrorOf(text + kDone),
            "the stream has no usage, so its tokens cannot be counted (stream_options.include_usage)");
  EXPECT_EQ(ErrorOf(text + Event({{"error", {{"message", "out of paper"}}}}) + kDone), "the server says: out of paper");
  EXPECT_EQ(ErrorOf(text + Event({{"error", nullptr}})).rfind("the server says: ", 0), 0u);
  EXPECT_EQ(ErrorOf("data: <html>\n\n"), "an event is no JSON object: <html>");
  EXPECT_EQ(ErrorOf(usage + kDone), "the answer had 0 pieces of text and 3 tokens");
  EXPECT_EQ(ErrorOf(text + Event(Usage(50, 2)) + kDone),
            "the server generated 2 tokens where 3 were asked for (does it know ignore_eos? see --standard-fields)");
  EXPECT_EQ(ErrorOf(text + Event(Usage(50, 4)) + kDone), "the server generated 4 tokens where 3 were asked for");
  EXPECT_EQ(ErrorOf(text + Event(Usage(80, 3)) + kDone), "the server counts 80 tokens of prompt where 50 were sent");
  EXPECT_EQ(ErrorOf(text + Event(Usage(-1, 3)) + kDone), "usage: -1 prompt tokens and 3 completion tokens cannot be");
  EXPECT_EQ(ErrorOf(Event(TextChunk("abc")) + usage + kDone),
            "all of the answer came at once, 3 tokens, so nothing can be said of its speed");
}

TEST(HttpTargetTest, SaysWhatCameFromTheServersCache) {
  FakeHttpServer server([&](const FakeRequest& request, const FakeConnection& connection) {
    if (AnsweredPreparation(request, connection)) return;
    Json usage = Usage(50, 3);
    usage["usage"]["prompt_tokens_details"]["cached_tokens"] = 48;
    connection.SendStreamHead();
    connection.SendChunk(Event(TextChunk("a")));
    FakeConnection::Wait(5);
    connection.SendChunk(Event(TextChunk("b")) + Event(usage) + kDone);
    connection.SendEnd();
  });
  const auto target = HttpTarget::Connect(OptionsFor(server)).value();
  EXPECT_EQ(target->Run({.prompt_tokens = 50, .output_tokens = 3}, 0)->cached_prompt_tokens, 48);
}

TEST(HttpTargetTest, AConnectionThatBreaks) {
  FakeHttpServer server([](const FakeRequest& request, const FakeConnection& connection) {
    if (AnsweredPreparation(request, connection)) return;
    connection.SendStreamHead();
    connection.SendChunk(Event(TextChunk("a")));  // and no end of the transfer encoding
  });
  const auto target = HttpTarget::Connect(OptionsFor(server)).value();
  const std::string message = target->Run({.prompt_tokens = 50, .output_tokens = 3}, 0).status().message();
  EXPECT_EQ(message.rfind(server.url() + "/v1/completions: the answer ended early: ", 0), 0u) << message;
  EXPECT_TRUE(message.ends_with(", after 1 pieces of text, 3 tokens wanted")) << message;
}

TEST(HttpTargetTest, StatusesAreErrorsWithTheServersWords) {
  const auto error = [](const std::string& status, const std::string& body) {
    FakeHttpServer server(
        [&](const FakeRequest&, const FakeConnection& connection) { connection.SendReply(status, body); });
    const std::string message = HttpTarget::Connect(OptionsFor(server)).status().message();
    const std::string where = server.url() + "/v1/models: ";
    EXPECT_EQ(message.rfind(where, 0), 0u) << message;
    return message.substr(where.size());
  };
  EXPECT_EQ(error("401 Unauthorized", R"({"error": {"message": "no\nkey"}})"), "401 Unauthorized: no key");
  EXPECT_EQ(error("503 Service Unavailable", R"({"error": "loading"})"), "503 Service Unavailable: loading");
  EXPECT_EQ(error("404 Not Found", R"({"message": "gone"})"), "404 Not Found: gone");
  EXPECT_EQ(error("500 Internal Server Error", "<b>\x01</b>"), "500 Internal Server Error: <b> </b>");
  EXPECT_EQ(error("200 OK", "{}"), "lists no model; name one with --model");
  EXPECT_EQ(error("200 OK", R"({"data": []})"), "lists no model; name one with --model");
}

TEST(HttpTargetTest, NobodyThere) {
  std::string url;
  {
    url = FakeHttpServer([](const FakeRequest&, const FakeConnection&) {}).url();
  }
  HttpTargetOptions options;
  options.url = ParseHttpUrl(url).value();
  EXPECT_EQ(HttpTarget::Connect(options).status().message(), url + "/v1/models: cannot connect: Connection refused");
  options.url = ParseHttpUrl("http://no-such-host.invalid:1").value();
  EXPECT_EQ(HttpTarget::Connect(options).status().message().rfind(
                "http://no-such-host.invalid:1/v1/models: the host is unknown: ", 0),
            0u);
}

TEST(HttpTargetTest, WhatIsNoHttp) {
  FakeHttpServer server([](const FakeRequest&, const FakeConnection& connection) { connection.Send("SSH-2.0-x\r\n"); });
  EXPECT_EQ(
      HttpTarget::Connect(OptionsFor(server)).status().message().rfind(server.url() + "/v1/models: no answer: ", 0),
      0u);
}

TEST(HttpTargetTest, RunsAWholeWorkload) {
  TimedServer timed({.name = "", .pieces = Evenly(4, 25, 2, 2)});
  const auto target = HttpTarget::Connect(OptionsFor(timed.server())).value();
  const Workload workload{
      .name = "one", .warm_ups = 1, .cells = {{.work = {52, 100}, .runs = 2}}};  // the server counts 50
  const Result<BenchmarkRun> result = RunBenchmark(*target, workload, {});
  ASSERT_TRUE(result.ok()) << result.status().message();
  ASSERT_EQ(result->cells.at(0).samples.size(), 2u);
  EXPECT_EQ(result->cells[0].samples[1].measured.summary.prompt_tokens, 50);
}

}  // namespace
}  // namespace qnext
