// ChatConsole: lines in, answers out. Knows neither terminals nor signals, so that tests can drive it.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"
#include "engine/chat_session.h"

namespace qnext {

struct ChatConsoleIo {
  std::function<std::optional<std::string>(std::string_view prompt)> read_line;  // nothing at the end of the input
  std::function<bool(std::string_view)> write;                                   // answers; false: nobody reads them
  std::function<void(std::string_view)> note;                                    // one line about what happened
  std::function<Status(const std::string& path, std::string_view text)> save;    // of /save
  std::function<bool()> interrupted;                                             // the current answer is to stop
};

// A conversation. Lines that begin with / are commands (/help lists them), a backslash at the end of a line continues
// it on the next. One thread at a time; `session` must outlive it.
class ChatConsole {
 public:
  ChatConsole(ChatSession& session, ChatConsoleIo io) : session_(session), io_(std::move(io)) {}

  // Until /exit or the end of the input. Errors of single answers and commands are noted and counted.
  void Run();
  int failed_answers() const { return failed_answers_; }
  int failed_commands() const { return failed_commands_; }

 private:
  std::optional<std::string> ReadMessage();
  // False: the conversation ends.
  bool RunCommand(const std::string& line);
  void Answer(const std::function<Result<GenerationResult>(const GenerationHooks&)>& ask);
  void Save(const std::string& path);

  ChatSession& session_;
  ChatConsoleIo io_;
  int failed_answers_ = 0, failed_commands_ = 0;
  std::optional<TimelineSummary> last_;
};

}  // namespace qnext
