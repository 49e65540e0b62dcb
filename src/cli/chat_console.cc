#include "cli/chat_console.h"

#include <fmt/core.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "cli/output.h"

namespace qnext {
namespace {

constexpr char kHelp[] =
    "/help         this list\n"
    "/system TEXT  set the system message; without TEXT remove it\n"
    "/regen        answer the last question again\n"
    "/undo         forget the last question and its answer\n"
    "/reset        forget the conversation, keep the system message\n"
    "/stats        tokens and speed of the last answer\n"
    "/save FILE    write the conversation as JSON\n"
    "/exit         end (Ctrl-D too); Ctrl-C stops the current answer\n"
    "A backslash at the end of a line continues the message on the next.";

std::string Trim(const std::string& text) {
  const size_t begin = text.find_first_not_of(" \t\r\n");
  if (begin == std::string::npos) return "";
  return text.substr(begin, text.find_last_not_of(" \t\r\n") - begin + 1);
}

}  // namespace

void ChatConsole::Run() {
  while (const std::optional<std::string> message = ReadMessage()) {
    if (Trim(*message).empty()) continue;
    if (message->front() == '/') {
      if (!RunCommand(*message)) return;
      continue;
    }
    Answer([&](const GenerationHooks& hooks) { return session_.Ask(*message, hooks); });
  }
}

std::optional<std::string> ChatConsole::ReadMessage() {
  std::optional<std::string> line = io_.read_line("> ");
  if (!line) return std::nullopt;
  std::string message = *line;
  while (!message.empty() && message.back() == '\\') {
    message.back() = '\n';
    line = io_.read_line(". ");
    if (!line) break;
    message += *line;
  }
  return message;
}

bool ChatConsole::RunCommand(const std::string& line) {
  const size_t space = line.find_first_of(" \t");
  const std::string command = line.substr(0, space);
  const std::string argument = space == std::string::npos ? "" : Trim(line.substr(space));
  if (command == "/exit" || command == "/quit") return false;
  if (command == "/help") {
    io_.note(kHelp);
  } else if (command == "/system") {
    session_.SetSystem(argument);
    io_.note(argument.empty() ? "no system message" : "system message set");
  } else if (command == "/reset") {
    session_.Reset();
    io_.note("the conversation is forgotten");
  } else if (command == "/undo") {
    io_.note(session_.Undo() ? "the last question and its answer are forgotten" : "there is nothing to forget");
  } else if (command == "/regen") {
    const auto asked = [](const ChatMessage& message) { return message.role == "user"; };
    if (std::ranges::none_of(session_.messages(), asked)) return io_.note("there is no question to answer again"), true;
    Answer([&](const GenerationHooks& hooks) { return session_.Regenerate(hooks); });
  } else if (command == "/stats") {
    io_.note(last_ ? FormatSpeed(*last_) : "there was no answer yet");
  } else if (command == "/save") {
    Save(argument);
  } else {
    ++failed_commands_;
    io_.note(fmt::format("{}: no such command; /help lists them, a space before the / makes it a message", command));
  }
  return true;
}

void ChatConsole::Answer(const std::function<Result<GenerationResult>(const GenerationHooks&)>& ask) {
  const GenerationHooks hooks{.on_piece = [&](const Piece& piece) { return io_.write(piece.text); },
                              .cancelled = io_.interrupted};
  const Result<GenerationResult> result = ask(hooks);
  if (!result.ok()) {
    ++failed_answers_;
    io_.note("error: " + OneLine(result.status().message()) +
             (session_.out_of_context() ? "; /undo or /reset shortens it, a larger --ctx holds more" : ""));
    return;
  }
  io_.write("\n");
  last_ = result->timeline.Summarize();
  if (result->finish_reason == FinishReason::kCancelled) io_.note("(stopped)");
  if (result->finish_reason == FinishReason::kLength) io_.note("(cut off at the limit of tokens)");
}

void ChatConsole::Save(const std::string& path) {
  if (path.empty()) return ++failed_commands_, io_.note("/save needs the name of a file");
  nlohmann::ordered_json messages = nlohmann::ordered_json::array();
  for (const ChatMessage& message : session_.messages()) {
    messages.push_back({{"role", message.role}, {"content", message.content}});
  }
  const Status saved =
      io_.save(path, messages.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n");
  if (!saved.ok()) ++failed_commands_;
  io_.note(saved.ok() ? "saved to " + path : OneLine(saved.message()));
}

}  // namespace qnext
