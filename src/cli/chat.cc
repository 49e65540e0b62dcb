// qnext chat: a conversation in the terminal, or line by line through pipes.
#include <fmt/core.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <cstdio>
#include <cstdlib>

#include "cli/chat_console.h"
#include "cli/command.h"
#include "cli/interrupt.h"
#include "cli/model_options.h"
#include "cli/output.h"
#include "cli/sampling_options.h"

namespace qnext {
namespace {

struct ChatCommandOptions {
  ModelFlags model;
  SamplingFlags sampling;
  std::string system;
};

// Lines of stdin. An interrupt while waiting gives a fresh prompt instead of an end.
class LineInput {
 public:
  LineInput(bool terminal, InterruptFlag& interrupt) : terminal_(terminal), interrupt_(interrupt) {}
  ~LineInput() { std::free(buffer_); }
  LineInput(const LineInput&) = delete;
  LineInput& operator=(const LineInput&) = delete;

  std::optional<std::string> Read(std::string_view prompt) {
    for (;;) {
      if (terminal_) {
        fmt::print("{}", prompt);
        std::fflush(stdout);
      }
      interrupt_.Lower();
      errno = 0;
      const ssize_t length = getline(&buffer_, &capacity_, stdin);
      if (length >= 0) {
        std::string line(buffer_, static_cast<size_t>(length));
        if (!line.empty() && line.back() == '\n') line.pop_back();
        return line;
      }
      const bool again = errno == EINTR && interrupt_.raised();
      if (terminal_) fmt::print("{}\n", again ? "  (/exit or Ctrl-D ends)" : "");
      if (!again) return std::nullopt;
      std::clearerr(stdin);
    }
  }

 private:
  bool terminal_;
  InterruptFlag& interrupt_;
  char* buffer_ = nullptr;
  size_t capacity_ = 0;
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
    QNEXT_ASSIGN_OR_RETURN(const std::unique_ptr<Engine> engine, LoadEngine(options_.model));
    if (!engine->chat().ok()) return engine->chat().status();
    ChatSession session(*engine, {.sampling = ToSamplingParams(options_.sampling, engine->defaults()),
                                  .max_tokens = options_.sampling.max_tokens,
                                  .stop = options_.sampling.stop,
                                  .ignore_eos = options_.sampling.ignore_eos});
    // Better now than after the first question.
    QNEXT_RETURN_IF_ERROR(
        ValidateSampling(ToSamplingParams(options_.sampling, engine->defaults()), engine->tokenizer().vocab_end()));
    session.SetSystem(options_.system);

    const bool terminal = isatty(STDIN_FILENO) != 0 && isatty(STDOUT_FILENO) != 0;
    if (terminal) fmt::print("{}; /help lists commands\n", engine->info().model_name);
    InterruptFlag interrupt;
    LineInput input(terminal, interrupt);
    TextOutput out(stdout);
    ChatConsole console(session, {.read_line = [&](std::string_view prompt) -> std::optional<std::string> {
                                    if (!out.status().ok()) return std::nullopt;
                                    return input.Read(prompt);
                                  },
                                  .write = [&](std::string_view text) { return out.Write(text); },
                                  .note = [&](std::string_view text) { Note(text, terminal); },
                                  .interrupted = [&] { return interrupt.raised(); }});
    console.Run();
    QNEXT_RETURN_IF_ERROR(out.status());
    if (!terminal && console.failed_answers() > 0) {
      return Internal(fmt::format("{} of the questions had no answer", console.failed_answers()));
    }
    return {};
  }

 private:
  // Remarks are part of the conversation on a terminal; in a pipe, stdout holds the answers alone.
  static void Note(std::string_view text, bool terminal) {
    std::FILE* file = terminal ? stdout : stderr;
    fmt::print(file, "{}\n", text);
    std::fflush(file);
  }

  ChatCommandOptions options_;
};

}  // namespace

std::unique_ptr<Command> MakeChatCommand() { return std::make_unique<ChatCommand>(); }

}  // namespace qnext
