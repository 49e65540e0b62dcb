#include "engine/engine.h"

#include <gtest/gtest.h>

#include <new>

#include "engine/testing.h"

namespace qnext {
namespace {

Request Ask(const ScriptedEngine& scripted, const std::string& prompt) {
  Request request;
  request.prompt_ids = scripted.engine->tokenizer().Encode(prompt);
  return request;
}

TEST(EngineTest, RunsThePromptOnceAndThenOneTokenAtATime) {
  const ScriptedEngine scripted = MakeScriptedEngine({"2 + 2 = 4"});
  const Request request = Ask(scripted, "What is 2 + 2?");
  std::string streamed;
  const Result<GenerationResult> result = scripted.engine->Generate(request, {.on_piece =
                                                                                  [&](const Piece& piece) {
                                                                                    streamed += piece.text;
                                                                                    return true;
                                                                                  },
                                                                              .cancelled = nullptr});
  ASSERT_TRUE(result.ok()) << result.status().message();
  EXPECT_EQ(result->text, "2 + 2 = 4");
  EXPECT_EQ(streamed, result->text);
  EXPECT_EQ(result->finish_reason, FinishReason::kStop);
  ASSERT_EQ(scripted.model->inputs.size(), result->token_ids.size());
  EXPECT_EQ(scripted.model->inputs[0], request.prompt_ids);
  for (size_t i = 1; i < scripted.model->inputs.size(); ++i) {
    EXPECT_EQ(scripted.model->inputs[i], std::vector<int32_t>{result->token_ids[i - 1]});
  }
}

TEST(EngineTest, EachRequestStartsAfresh) {
  const ScriptedEngine scripted = MakeScriptedEngine({"one", "two"});
  EXPECT_EQ(scripted.engine->Generate(Ask(scripted, "a"))->text, "one");
  EXPECT_EQ(scripted.engine->Generate(Ask(scripted, "a"))->text, "two");
  EXPECT_EQ(scripted.model->resets, 2);
}

TEST(EngineTest, FillsTheContextToTheLastToken) {
  const ScriptedEngine scripted = MakeScriptedEngine({std::string(200, 'x')}, /*context=*/20);
  const Request request = Ask(scripted, "What is 2 + 2?");
  const Result<GenerationResult> result = scripted.engine->Generate(request);
  ASSERT_TRUE(result.ok()) << result.status().message();
  EXPECT_EQ(result->finish_reason, FinishReason::kLength);
  EXPECT_EQ(result->usage.prompt_tokens + result->usage.completion_tokens, 20);
}

TEST(EngineTest, RunningOutOfMemoryEndsOneRequest) {
  const ScriptedEngine scripted = MakeScriptedEngine({"one", "two"});
  const GenerationHooks hooks{.on_piece = [](const Piece&) -> bool { throw std::bad_alloc(); }, .cancelled = nullptr};
  const Status status = scripted.engine->Generate(Ask(scripted, "a"), hooks).status();
  EXPECT_EQ(status.code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(status.message(), "the system has no memory left for this request of 1 tokens");
  EXPECT_TRUE(scripted.engine->Generate(Ask(scripted, "a")).ok());
  EXPECT_EQ(scripted.model->resets, 2);
}

TEST(EngineTest, RefusesBeforeTheModelRuns) {
  const ScriptedEngine scripted = MakeScriptedEngine({"x"}, /*context=*/4);
  EXPECT_EQ(scripted.engine->Generate(Ask(scripted, "")).status().message(), "prompt: is empty");
  EXPECT_FALSE(scripted.engine->Generate(Ask(scripted, "a b c d e f g h i j k")).ok());
  EXPECT_EQ(scripted.model->calls, 0u);
}

TEST(EngineTest, APieceCanEndTheAnswer) {
  const ScriptedEngine scripted = MakeScriptedEngine({"one two three four five six"});
  int pieces = 0;
  const Result<GenerationResult> result = scripted.engine->Generate(
      Ask(scripted, "a"), {.on_piece = [&](const Piece&) { return ++pieces < 3; }, .cancelled = nullptr});
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->finish_reason, FinishReason::kCancelled);
  EXPECT_EQ(result->usage.completion_tokens, 3);
  EXPECT_EQ(pieces, 3);
  EXPECT_EQ(scripted.model->calls, 3u);
}

TEST(EngineTest, CancelledInThePrefillIsAnEmptyResult) {
  const ScriptedEngine scripted = MakeScriptedEngine({"one"});
  const Result<GenerationResult> result =
      scripted.engine->Generate(Ask(scripted, "a"), {.on_piece = nullptr, .cancelled = [] { return true; }});
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->finish_reason, FinishReason::kCancelled);
  EXPECT_EQ(result->usage.completion_tokens, 0);
  EXPECT_EQ(scripted.engine->Generate(Ask(scripted, "a"))->text, "one");  // and the next one works
}

TEST(EngineTest, ACancellationAfterTheLastTokenLosesNothing) {
  const ScriptedEngine scripted = MakeScriptedEngine({"one"});
  bool ended = false;
  const GenerationHooks hooks{.on_piece =
                                  [&](const Piece& piece) {
                                    ended = piece.token_id == kTinyMessageEnd;
                                    return !ended;
                                  },
                              .cancelled = [&] { return ended; }};
  const Result<GenerationResult> result = scripted.engine->Generate(Ask(scripted, "a"), hooks);
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->finish_reason, FinishReason::kStop);
  EXPECT_EQ(result->text, "one");
}

TEST(EngineTest, ABrokenModelIsAnErrorAndTheNextRequestWorks) {
  const ScriptedEngine scripted = MakeScriptedEngine({"one two three", "fine"});
  scripted.model->broken_call = 1;
  const Result<GenerationResult> result = scripted.engine->Generate(Ask(scripted, "a"));
  EXPECT_EQ(result.status().code(), StatusCode::kInternal);
  EXPECT_EQ(result.status().message(), "logits: the model gave nan for token 0");
  EXPECT_TRUE(scripted.engine->Generate(Ask(scripted, "a")).ok());
}

TEST(EngineTest, ArrivalMayLieBeforeTheStart) {
  const ScriptedEngine scripted = MakeScriptedEngine({"one"});
  const SteadyTime arrival = std::chrono::steady_clock::now() - std::chrono::seconds(2);
  const TimelineSummary summary = scripted.engine->Generate(Ask(scripted, "a"), {}, arrival)->timeline.Summarize();
  EXPECT_GE(summary.queue_seconds, 2);
  EXPECT_GE(summary.first_token_seconds.value(), summary.queue_seconds);
  EXPECT_EQ(summary.prompt_tokens, 1);
}

TEST(EngineTest, WarnsOfACheckpointWithoutEos) {
  Tokenizer tokenizer = TinyTokenizer();
  Result<ChatFormat> chat = ChatFormat::Load(TinyFolder(), "", tokenizer);
  const Engine engine(EngineParts{.model = std::make_unique<ScriptedModel>(std::vector<int32_t>{1}, 5000, 10),
                                  .tokenizer = std::move(tokenizer),
                                  .chat = std::move(chat),
                                  .eos_ids = {},
                                  .defaults = {},
                                  .info = {}});
  ASSERT_EQ(engine.Warnings(ChatUse::kServed).size(), 1u);
  EXPECT_EQ(engine.Warnings(ChatUse::kServed)[0].rfind("eos_token_id: ", 0), 0u);
}

TEST(ChooseContextTest, DefaultsAndLimits) {
  ModelConfig config;
  config.max_position_embeddings = 262144;
  EXPECT_EQ(ChooseContext(std::nullopt, config).value(), 32768);
  EXPECT_EQ(ChooseContext(262144, config).value(), 262144);
  EXPECT_EQ(ChooseContext(262145, config).status().message(),
            "ctx: 262145 tokens are more than the model's 262144 positions");
  EXPECT_EQ(ChooseContext(1, config).status().message(), "ctx: must be at least 2 tokens, not 1");
  config.max_position_embeddings = 4096;
  EXPECT_EQ(ChooseContext(std::nullopt, config).value(), 4096);
}

TEST(CheckVocabularyTest, NamesBothNumbers) {
  ModelConfig config;
  config.vocab_size = 100;
  config.eos_token_ids = {7, 99};
  EXPECT_EQ(CheckVocabulary(config, 100).value(), (std::vector<int32_t>{7, 99}));
  EXPECT_EQ(CheckVocabulary(config, 101).status().message(),
            "vocabulary mismatch: the tokenizer has ids up to 100, config.json a vocab_size of 100");
  EXPECT_EQ(CheckVocabulary(config, 99).status().message(), "eos_token_id: 99 is outside the vocabulary of 99 tokens");
}

}  // namespace
}  // namespace qnext
