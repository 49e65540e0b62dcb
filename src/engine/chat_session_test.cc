#include "engine/chat_session.h"

#include <gtest/gtest.h>

#include "engine/testing.h"

namespace qnext {
namespace {

std::string LastPrompt(const ScriptedEngine& scripted) {
  const auto& inputs = scripted.model->inputs;
  for (size_t i = inputs.size(); i-- > 0;) {
    if (inputs[i].size() > 1) return scripted.engine->tokenizer().Decode(inputs[i], /*skip_special=*/false);
  }
  return "";
}

TEST(ChatSessionTest, RemembersTheConversation) {
  const ScriptedEngine scripted = MakeScriptedEngine({"Paris.", "Rome."});
  ChatSession session(*scripted.engine, {});
  EXPECT_EQ(session.Ask("France?", {})->text, "Paris.");
  EXPECT_EQ(session.Ask("Italy?", {})->text, "Rome.");
  EXPECT_EQ(LastPrompt(scripted),
            "<|im_start|>user\nFrance?<|im_end|>\n<|im_start|>assistant\nParis.<|im_end|>\n"
            "<|im_start|>user\nItaly?<|im_end|>\n<|im_start|>assistant\n");
  ASSERT_EQ(session.messages().size(), 4u);
  EXPECT_EQ(session.messages()[3].role, "assistant");
  EXPECT_EQ(session.messages()[3].content, "Rome.");
}

TEST(ChatSessionTest, SystemUndoAndReset) {
  const ScriptedEngine scripted = MakeScriptedEngine({"1", "2", "3"});
  ChatSession session(*scripted.engine, {});
  EXPECT_FALSE(session.Undo());
  session.SetSystem("Be brief.");
  EXPECT_FALSE(session.Undo());
  ASSERT_TRUE(session.Ask("a", {}).ok());
  EXPECT_EQ(LastPrompt(scripted).rfind("<|im_start|>system\nBe brief.<|im_end|>\n", 0), 0u);
  session.SetSystem("Be long.");
  ASSERT_TRUE(session.Ask("b", {}).ok());
  EXPECT_EQ(LastPrompt(scripted).rfind("<|im_start|>system\nBe long.<|im_end|>\n", 0), 0u);
  EXPECT_EQ(session.messages().size(), 5u);
  EXPECT_TRUE(session.Undo());
  EXPECT_EQ(session.messages().size(), 3u);
  EXPECT_EQ(session.messages().back().content, "1");
  session.Reset();
  ASSERT_EQ(session.messages().size(), 1u);
  EXPECT_EQ(session.messages()[0].role, "system");
  session.SetSystem("");
  EXPECT_TRUE(session.messages().empty());
}

TEST(ChatSessionTest, RegenerateReplacesTheLastAnswer) {
  const ScriptedEngine scripted = MakeScriptedEngine({"first", "second"});
  ChatSession session(*scripted.engine, {});
  EXPECT_EQ(session.Regenerate({}).status().code(), StatusCode::kInvalidArgument);
  ASSERT_TRUE(session.Ask("a", {}).ok());
  EXPECT_EQ(session.Regenerate({})->text, "second");
  ASSERT_EQ(session.messages().size(), 2u);
  EXPECT_EQ(session.messages()[1].content, "second");
  EXPECT_EQ(LastPrompt(scripted), "<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\n");
}

TEST(ChatSessionTest, AConversationThatOutgrowsTheContextIsAnErrorAndChangesNothing) {
  const ScriptedEngine scripted = MakeScriptedEngine({"yes"}, /*context=*/40);
  ChatSession session(*scripted.engine, {});
  ASSERT_TRUE(session.Ask("a", {}).ok());
  const Result<GenerationResult> result = session.Ask(std::string(200, '?'), {});
  EXPECT_EQ(result.status().code(), StatusCode::kResourceExhausted);
  EXPECT_TRUE(session.out_of_context());
  EXPECT_NE(result.status().message().find("context of 40"), std::string::npos) << result.status().message();
  EXPECT_EQ(session.messages().size(), 2u);
}

TEST(ChatSessionTest, AFailedAnswerLeavesTheHistoryAsItWas) {
  const ScriptedEngine scripted = MakeScriptedEngine({"first", "second"});
  ChatSession session(*scripted.engine, {});
  ASSERT_TRUE(session.Ask("a", {}).ok());
  scripted.model->broken_call = scripted.model->calls;
  EXPECT_FALSE(session.Ask("b", {}).ok());
  EXPECT_EQ(session.messages().size(), 2u);
  scripted.model->broken_call = scripted.model->calls;
  EXPECT_FALSE(session.Regenerate({}).ok());
  ASSERT_EQ(session.messages().size(), 2u);
  EXPECT_EQ(session.messages()[1].content, "first");
}

TEST(ChatSessionTest, ACancelledAnswerIsRememberedAsFarAsItWent) {
  const ScriptedEngine scripted = MakeScriptedEngine({"one two three four five six seven"});
  ChatSession session(*scripted.engine, {});
  int pieces = 0;
  const GenerationHooks hooks{.on_piece = [&](const Piece&) { return ++pieces < 3; }, .cancelled = nullptr};
  const Result<GenerationResult> result = session.Ask("count", hooks);
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->finish_reason, FinishReason::kCancelled);
  EXPECT_EQ(session.messages()[1].content, result->text);
  EXPECT_FALSE(result->text.empty());
}

}  // namespace
}  // namespace qnext
