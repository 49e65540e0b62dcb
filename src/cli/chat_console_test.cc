#include "cli/chat_console.h"

#include <gtest/gtest.h>

#include <deque>
#include <nlohmann/json.hpp>

#include "engine/testing.h"

namespace qnext {
namespace {

// A conversation with a model that says `answers`, fed with lines.
struct Conversation {
  explicit Conversation(const std::vector<std::string>& answers, int64_t context = 1000)
      : scripted(MakeScriptedEngine(answers, context)), session(*scripted.engine, {}) {}

  void Type(std::deque<std::string> lines) {
    ChatConsole console(session, {.read_line = [&](std::string_view prompt) -> std::optional<std::string> {
                                    prompts += prompt;
                                    if (lines.empty()) return std::nullopt;
                                    std::string line = lines.front();
                                    lines.pop_front();
                                    return line;
                                  },
                                  .write =
                                      [&](std::string_view text) {
                                        written += text;
                                        return true;
                                      },
                                  .note = [&](std::string_view text) { notes.emplace_back(text); },
                                  .save =
                                      [&](const std::string& path, std::string_view text) {
                                        saved.emplace_back(path, text);
                                        return path == "/full" ? Unavailable("/full: no room") : Status();
                                      },
                                  .interrupted = [&] { return interrupt; }});
    console.Run();
    failed = console.failed_answers();
    failed_commands = console.failed_commands();
    lines_left = lines.size();
  }

  ScriptedEngine scripted;
  ChatSession session;
  std::string prompts, written;
  std::vector<std::string> notes;
  std::vector<std::pair<std::string, std::string>> saved;
  bool interrupt = false;
  int failed = 0, failed_commands = 0;
  size_t lines_left = 0;
};

TEST(ChatConsoleTest, AnswersLineByLineUntilTheEnd) {
  Conversation chat({"Paris.", "Rome."});
  chat.Type({"France?", "", "  ", "Italy?"});
  EXPECT_EQ(chat.written, "Paris.\nRome.\n");
  EXPECT_TRUE(chat.notes.empty());
  EXPECT_EQ(chat.session.messages().size(), 4u);
}

TEST(ChatConsoleTest, ExitEnds) {
  Conversation chat({"a"});
  chat.Type({"/exit", "not read"});
  EXPECT_EQ(chat.lines_left, 1u);
  EXPECT_EQ(chat.written, "");
}

TEST(ChatConsoleTest, ABackslashContinuesTheLine) {
  Conversation chat({"a"});
  chat.Type({"one\\", "two\\", "three"});
  EXPECT_EQ(chat.session.messages()[0].content, "one\ntwo\nthree");
  EXPECT_EQ(chat.prompts, "> . . > ");
}

TEST(ChatConsoleTest, CommandsChangeTheSession) {
  Conversation chat({"first", "second"});
  chat.Type({"/stats", "/regen", "/system Be brief.", "hello", "/regen", "/stats"});
  EXPECT_EQ(chat.written, "first\nsecond\n");
  ASSERT_EQ(chat.session.messages().size(), 3u);
  EXPECT_EQ(chat.session.messages()[0].content, "Be brief.");
  EXPECT_EQ(chat.session.messages()[2].content, "second");
  ASSERT_EQ(chat.notes.size(), 4u);
  EXPECT_EQ(chat.notes[0], "there was no answer yet");
  EXPECT_EQ(chat.notes[1], "there is no question to answer again");
  EXPECT_NE(chat.notes[3].find("of answer"), std::string::npos);
  chat.Type({"/undo", "/undo", "/system", "/reset", "/nonsense x", "/help"});
  EXPECT_TRUE(chat.session.messages().empty());
  EXPECT_EQ(chat.notes[8], "/nonsense: no such command; /help lists them, a space before the / makes it a message");
  EXPECT_NE(chat.notes[9].find("/save FILE"), std::string::npos);
  EXPECT_EQ(chat.failed, 0);
  EXPECT_EQ(chat.failed_commands, 1);
}

TEST(ChatConsoleTest, SavesTheConversationAsJson) {
  Conversation chat({"Paris."});
  chat.Type({"France \xff?", "/save here.json", "/save", "/save /full"});
  ASSERT_EQ(chat.saved.size(), 2u);
  EXPECT_EQ(chat.saved[0].first, "here.json");
  const nlohmann::json json = nlohmann::json::parse(chat.saved[0].second);
  ASSERT_EQ(json.size(), 2u);
  EXPECT_EQ(json[0]["role"], "user");
  EXPECT_EQ(json[0]["content"], "France \xef\xbf\xbd?");
  EXPECT_EQ(json[1]["content"], "Paris.");
  EXPECT_EQ(chat.notes,
            (std::vector<std::string>{"saved to here.json", "/save needs the name of a file", "/full: no room"}));
}

TEST(ChatConsoleTest, AConversationTooLongIsSaidWithAWayOut) {
  Conversation chat({"yes"}, /*context=*/40);
  chat.Type({"a", std::string(200, '?'), "b"});
  ASSERT_EQ(chat.notes.size(), 1u);
  EXPECT_NE(chat.notes[0].find("context of 40; /undo or /reset"), std::string::npos) << chat.notes[0];
  EXPECT_EQ(chat.failed, 1);
  EXPECT_EQ(chat.session.messages().size(), 4u);  // and the conversation goes on
}

TEST(ChatConsoleTest, AnInterruptStopsTheAnswer) {
  Conversation chat({"one two three"});
  chat.interrupt = true;
  chat.Type({"count"});
  EXPECT_EQ(chat.notes, std::vector<std::string>{"(stopped)"});
  EXPECT_EQ(chat.failed, 0);
}

}  // namespace
}  // namespace qnext
