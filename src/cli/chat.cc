// qnext chat: a conversation in the terminal, or line by line through pipes.
#include <fmt/core.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <optional>
#include <string>

#include "cli/chat_console.h"
#include "cli/command.h"
#include "cli/interrupt.h"
#include "cli/model_options.h"
#include "cli/output.h"
#include "cli/result_file.h"
#include "cli/sampling_options.h"
#include "cli/text_input.h"

namespace qnext {
namespace {

struct ChatCommandOptions {
  ModelFlags model;
  SamplingFlags sampling;
  std::string system;
};

// Lines of stdin. On a terminal, an interrupt while waiting gives a fresh prompt; elsewhere any interrupt ends the
// input.
class LineInput {
 public:
  LineInput(bool terminal, InterruptFlag& interrupt) : terminal_(terminal), interrupt_(interrupt) {}

  std::optional<std::string> Read(std::string_view prompt) {
    if (terminal_) ShowPrompt(prompt);
    for (;;) {
      if (const size_t end = buffer_.find('\n', searched_); end != std::string::npos)
        return TakeLine(end, /*with_break=*/true);
      searched_ = buffer_.size();
      if (buffer_.size() > static_cast<size_t>(kMostTextBytes)) {
        status_ = InvalidArgument(
            fmt::format("standard input: a line of more than the {} bytes that a text may have", kMostTextBytes));
        return std::nullopt;
      }
      if (interrupt_.raised() || !interrupt_.WaitForInput(STDIN_FILENO)) {
        if (!terminal_) return std::nullopt;
        fmt::print("  (/exit or Ctrl-D ends)\n");
        buffer_.clear();
        searched_ = 0;
        ShowPrompt(prompt);
        continue;
      }
      char bytes[4096];
      const ssize_t got = ::read(STDIN_FILENO, bytes, sizeof(bytes));
      if (got < 0 && (errno == EINTR || errno == EAGAIN)) continue;
      if (got > 0) {
        buffer_.append(bytes, static_cast<size_t>(got));
        continue;
      }
      if (got < 0) status_ = Unavailable(fmt::format("standard input: cannot be read: {}", std::strerror(errno)));
      // The end; a last line may lack its break.
      if (!buffer_.empty()) return TakeLine(buffer_.size(), /*with_break=*/false);
      if (terminal_) fmt::print("\n");
      return std::nullopt;
    }
  }

  // Why the input ended before its end, if it did.
  const Status& status() const { return status_; }

 private:
  void ShowPrompt(std::string_view prompt) {
    interrupt_.Lower();
    fmt::print("{}", prompt);
    std::fflush(stdout);
  }

  std::string TakeLine(size_t size, bool with_break) {
    std::string line = buffer_.substr(0, size);
    buffer_.erase(0, size + (with_break ? 1 : 0));
    searched_ = 0;
    if (line.ends_with('\r')) line.pop_back();  // lines of Windows
    return line;
  }

  bool terminal_;
  InterruptFlag& interrupt_;
  std::string buffer_;
  size_t searched_ = 0;  // of the buffer: no line break before it
  Status status_;
};

class ChatCommand : public Command {
 public:
  const char* name() const override { return "chat"; }
  const char* summary() const override {
    return "Converse in the terminal, with history; /help inside lists commands.";
  }

  void AddOptions(CLI::App& app) override {
    app.add_option("--system", options_.system, "the system message; default none")->type_name("TEXT");
    AddModelOptions(app, options_.model);
    AddContextOption(app, options_.model);
    AddChatTemplateOption(app, options_.model);
    AddSamplingOptions(app, options_.sampling);
  }

  Status Check() override {
    QNEXT_RETURN_IF_ERROR(CheckModelFlags(options_.model));
    return CheckSamplingFlags(options_.sampling);
  }

  Status Run() override {
    QNEXT_ASSIGN_OR_RETURN(const std::unique_ptr<Engine> engine, LoadEngine(options_.model, ChatUse::kEverything));
    ChatSession session(*engine, {.sampling = ToSamplingParams(options_.sampling, engine->defaults()),
                                  .max_tokens = options_.sampling.max_tokens,
                                  .stop = options_.sampling.stop,
                                  .ignore_eos = options_.sampling.ignore_eos});
    // Better now than after the first question.
    QNEXT_RETURN_IF_ERROR(CheckSampling(options_.sampling, *engine));
    session.SetSystem(options_.system);

    const bool terminal = isatty(STDIN_FILENO) != 0 && isatty(STDOUT_FILENO) != 0;
    if (terminal) fmt::print("{}; /help lists commands\n", engine->info().model_name);
    InterruptFlag interrupt;
    LineInput input(terminal, interrupt);
    TextOutput out(stdout);
    ChatConsole console(session,
                        {.read_line = [&](std::string_view prompt) -> std::optional<std::string> {
                           if (!out.status().ok()) return std::nullopt;
                           return input.Read(prompt);
                         },
                         .write = [&](std::string_view text) { return out.Write(text); },
                         .note = [&](std::string_view text) { Note(text, terminal); },
                         .save = [&](const std::string& path, std::string_view text) { return Save(path, text); },
                         .interrupted = [&] { return interrupt.raised(); }});
    console.Run();
    QNEXT_RETURN_IF_ERROR(out.status());
    QNEXT_RETURN_IF_ERROR(input.status());
    if (!terminal && interrupt.raised()) return Cancelled("interrupted");
    if (!terminal && console.failed_answers() > 0) {
      return Internal(fmt::format("{} of the questions had no answer", console.failed_answers()));
    }
    if (!terminal && console.failed_commands() > 0) {
      return Internal(fmt::format("{} of the commands failed", console.failed_commands()));
    }
    return {};
  }

 private:
  Status Save(const std::string& path, std::string_view text) const {
    QNEXT_RETURN_IF_ERROR(CheckApart("/save", path, FilesRead(options_.model)));
    return WriteWholeFile(path, text);
  }

  // Remarks are part of the conversation on a terminal; in a pipe, stdout holds the answers alone.
  static void Note(std::string_view text, bool terminal) {
    if (!terminal) return Remark(std::string(text));
    fmt::print("{}\n", text);
    std::fflush(stdout);
  }

  ChatCommandOptions options_;
};

}  // namespace

std::unique_ptr<Command> MakeChatCommand() { return std::make_unique<ChatCommand>(); }

}  // namespace qnext
