// The pure parts of the HTTP target: addresses, events, times.
#include <gtest/gtest.h>

#include "bench/sse_parser.h"
#include "bench/stream_timing.h"
#include "bench/url.h"

namespace qnext {
namespace {

TEST(HttpUrlTest, Parses) {
  const auto text = [](const char* url) { return ParseHttpUrl(url).value().ToString(); };
  EXPECT_EQ(text("http://localhost:8080"), "http://localhost:8080/v1");
  EXPECT_EQ(text("http://localhost:8080/"), "http://localhost:8080/v1");
  EXPECT_EQ(text("http://localhost:8080/v1/"), "http://localhost:8080/v1");
  EXPECT_EQ(text("http://example.com/models/a"), "http://example.com:80/models/a/v1");
  EXPECT_EQ(text("http://[::1]:9/v1"), "http://[::1]:9/v1");
  EXPECT_EQ(ParseHttpUrl("http://[::1]:9")->host, "::1");
}

TEST(HttpUrlTest, SaysWhatIsWrong) {
  const auto error = [](const char* url) { return ParseHttpUrl(url).status().message(); };
  EXPECT_EQ(error("localhost:8080"), "\"localhost:8080\": must begin with http://");
  EXPECT_EQ(error("https://x"), "\"https://x\": only http:// is spoken; measure behind the TLS proxy");
  EXPECT_EQ(error("http://"), "\"http://\": names no host");
  EXPECT_EQ(error("http://:80"), "\"http://:80\": names no host");
  for (const char* url :
       {"http://a:", "http://a:x", "http://a:65536", "http://a:-1", "http://[::1]x", "http://a:80:80"}) {
    EXPECT_NE(error(url).find("has no port of 0 to 65535 after the host"), std::string::npos) << url;
  }
  for (const char* url : {"http://a?b", "http://a b", "http://u@a", "http://a#b", "http://\xc3\xa4"}) {
    EXPECT_NE(error(url).find("must be http://HOST[:PORT][/PATH]"), std::string::npos) << url;
  }
  EXPECT_NE(error("http://[::1").find("has no ] after the address"), std::string::npos);
}

TEST(SseParserTest, HoweverTheBytesAreCut) {
  const std::string stream =
      ": a comment\ndata: one\n\nevent: x\r\ndata:two\r\ndata:  lines\r\n\r\ndata: three\r\rid: 7\n\n\ndata\ndata: "
      "[DONE]\n\n"
      "data: unfinished\n";
  const std::vector<std::string> expected = {"one", "two\n lines", "three", "[DONE]"};
  for (size_t size = 1; size <= stream.size(); ++size) {
    SseParser parser;
    std::vector<std::string> events;
    for (size_t at = 0; at < stream.size(); at += size) {
      parser.Push(std::string_view(stream).substr(at, size), [&](std::string_view data) { events.emplace_back(data); });
    }
    ASSERT_EQ(events, expected) << "in pieces of " << size;
  }
}

SteadyTime At(int64_t milliseconds) { return SteadyTime(std::chrono::milliseconds(milliseconds)); }

TEST(TimeStreamTest, OneTokenAPieceIsTheDefinitionOfTheTimeline) {
  RequestTimeline timeline(At(0));
  timeline.Start(At(0), 20);
  std::vector<StreamPiece> pieces;
  for (const int64_t time : {100, 110, 125, 200}) {
    timeline.AddToken(At(time));
    pieces.push_back({.time = At(time), .tokens_so_far = std::nullopt});
  }
  const RunSample sample = TimeStream(At(0), pieces, {.prompt_tokens = 20, .completion_tokens = 4}).value();
  const TimelineSummary expected = timeline.Summarize();
  EXPECT_EQ(sample.inter_token_seconds, timeline.InterTokenSeconds());
  EXPECT_DOUBLE_EQ(*sample.summary.decode_tokens_per_second, *expected.decode_tokens_per_second);
  EXPECT_DOUBLE_EQ(*sample.summary.prefill_tokens_per_second, *expected.prefill_tokens_per_second);
  EXPECT_DOUBLE_EQ(*sample.summary.first_token_seconds, *expected.first_token_seconds);
  EXPECT_DOUBLE_EQ(*sample.summary.inter_token_p95_seconds, *expected.inter_token_p95_seconds);
  EXPECT_DOUBLE_EQ(sample.summary.total_seconds, expected.total_seconds);
}

// A server that takes 10 ms a token and sends every four of them.
TEST(TimeStreamTest, FourTokensAPieceAreStill100TokensPerSecond) {
  std::vector<StreamPiece> pieces;
  for (int64_t i = 1; i <= 25; ++i) pieces.push_back({.time = At(40 * i), .tokens_so_far = std::nullopt});
  const RunSample sample = TimeStream(At(0), pieces, {.prompt_tokens = 20, .completion_tokens = 100}).value();
  EXPECT_DOUBLE_EQ(*sample.summary.decode_tokens_per_second, 100);
  EXPECT_EQ(sample.inter_token_seconds.size(), 96u);
  EXPECT_NEAR(*sample.summary.inter_token_median_seconds, 0.01, 1e-12);
}

TEST(TimeStreamTest, ARunningUsageSaysWhichPieceHadWhat) {
  const std::vector<StreamPiece> pieces = {{At(10), 1}, {At(20), 1}, {At(40), 4}, {At(50), 5}};
  const RunSample sample = TimeStream(At(0), pieces, {.prompt_tokens = 1, .completion_tokens = 5}).value();
  EXPECT_EQ(sample.inter_token_seconds, (std::vector<double>{0.01, 0.01, 0.01, 0.01}));
  EXPECT_FALSE(TimeStream(At(0), {{At(10), 3}, {At(20), 2}, {At(30), 4}}, {1, 4}).ok());
}

// A token without text, or a character in two pieces.
TEST(TimeStreamTest, AFewPiecesMoreOrFewerThanTokens) {
  for (const int64_t tokens : {97, 99, 101, 103}) {
    std::vector<StreamPiece> pieces;
    for (int64_t i = 0; i < 100; ++i) pieces.push_back({.time = At(100 + 10 * i), .tokens_so_far = std::nullopt});
    const RunSample sample = TimeStream(At(0), pieces, {.prompt_tokens = 9, .completion_tokens = tokens}).value();
    EXPECT_EQ(static_cast<int64_t>(sample.inter_token_seconds.size()), tokens - 1);
    EXPECT_NEAR(*sample.summary.decode_tokens_per_second, static_cast<double>(tokens - 1) / 0.99, 1e-9);
  }
}

TEST(TimeStreamTest, OneTokenHasNoSpeed) {
  const RunSample sample = TimeStream(At(0), {{At(10), {}}}, {.prompt_tokens = 9, .completion_tokens = 1}).value();
  EXPECT_FALSE(sample.summary.decode_tokens_per_second.has_value());
  EXPECT_TRUE(sample.inter_token_seconds.empty());
}

}  // namespace
}  // namespace qnext
