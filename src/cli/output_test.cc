#include "cli/output.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "engine/testing.h"

namespace qnext {
namespace {

TEST(FormatResultJsonTest, HasEverythingOfTheAnswer) {
  const ScriptedEngine scripted = MakeScriptedEngine({"2 + 2 = 4"});
  Request request;
  request.prompt_ids = scripted.engine->tokenizer().Encode("What is 2 + 2?");
  request.sampling.seed = 5;
  request.sampling.logprobs = true;
  request.sampling.top_logprobs = 2;
  const GenerationResult result = scripted.engine->Generate(request).value();
  const nlohmann::json json = nlohmann::json::parse(FormatResultJson(result, scripted.engine->tokenizer()));
  EXPECT_EQ(json["text"], "2 + 2 = 4");
  EXPECT_EQ(json["token_ids"], result.token_ids);
  EXPECT_EQ(json["finish_reason"], "stop");
  EXPECT_EQ(json["stop"], kTinyMessageEnd);
  EXPECT_EQ(json["seed"], 5);
  EXPECT_EQ(json["usage"]["prompt_tokens"], request.prompt_ids.size());
  EXPECT_EQ(json["usage"]["total_tokens"], request.prompt_ids.size() + result.token_ids.size());
  EXPECT_TRUE(json["timings"]["first_token_seconds"].is_number());
  ASSERT_EQ(json["logprobs"].size(), result.token_ids.size());
  EXPECT_EQ(json["logprobs"].back()["token"], "<|im_end|>");
  EXPECT_EQ(json["logprobs"][0]["top_logprobs"].size(), 2u);
  EXPECT_EQ(json["logprobs"][0]["top_logprobs"][0]["id"], result.token_ids[0]);
}

TEST(FormatResultJsonTest, WithoutLogprobsAndWithAStopString) {
  const ScriptedEngine scripted = MakeScriptedEngine({"one two three"});
  Request request;
  request.prompt_ids = {5};
  request.stop = {"two"};
  const GenerationResult result = scripted.engine->Generate(request).value();
  const nlohmann::json json = nlohmann::json::parse(FormatResultJson(result, scripted.engine->tokenizer()));
  EXPECT_EQ(json["text"], "one ");
  EXPECT_EQ(json["stop"], "two");
  EXPECT_FALSE(json.contains("logprobs"));
}

TEST(FormatSpeedTest, SaysWhatThereIs) {
  TimelineSummary summary;
  summary.prompt_tokens = 21;
  summary.completion_tokens = 45;
  summary.prefill_tokens_per_second = 80.52;
  summary.decode_tokens_per_second = 12.34;
  summary.first_token_seconds = 0.2608;
  EXPECT_EQ(FormatSpeed(summary), "21 tokens of prompt at 80.5/s, 45 of answer at 12.3/s, first after 0.261 s");
  summary.prefill_tokens_per_second = 1234567.8;
  summary.decode_tokens_per_second = 0.05678;
  summary.first_token_seconds = 0.0000123;
  EXPECT_EQ(FormatSpeed(summary),
            "21 tokens of prompt at 1234568/s, 45 of answer at 0.0568/s, first after 0.0000123 s");
  EXPECT_EQ(FormatSpeed({}), "0 tokens of prompt, 0 of answer");
}

TEST(OneLineTest, IsSafeToPrint) {
  EXPECT_EQ(OneLine("a\nb\x1b[2J\x07\x7f\tc \xc3\xa4"), "a b\\x1b[2J\\x07\\x7f\\x09c \xc3\xa4");
  EXPECT_EQ(OneLine("a\xc2\x9b"
                    "2J \xc2\xa0\xc2"),
            "a\\x9b2J \xc2\xa0\xc2");
}

TEST(TextOutputTest, FlushFindsWhatOthersCouldNotWrite) {
  std::FILE* full = std::fopen("/dev/full", "w");
  ASSERT_NE(full, nullptr);
  std::fputs("text", full);
  EXPECT_EQ(TextOutput(full).Flush().message(), "output: No space left on device");
  std::fclose(full);
}

TEST(TextOutputTest, AFailedWriteIsRememberedAndNothingMoreIsWritten) {
  std::FILE* full = std::fopen("/dev/full", "w");
  ASSERT_NE(full, nullptr);
  TextOutput out(full);
  EXPECT_FALSE(out.Write("text"));
  EXPECT_EQ(out.status().message(), "output: No space left on device");
  EXPECT_FALSE(out.Write("text"));
  std::fclose(full);
}

}  // namespace
}  // namespace qnext
