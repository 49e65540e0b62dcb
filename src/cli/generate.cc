// qnext generate: continues a text. No template; nothing but the continuation goes to stdout.
#include <fmt/core.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>

#include "cli/command.h"
#include "cli/interrupt.h"
#include "cli/model_options.h"
#include "cli/option_errors.h"
#include "cli/output.h"
#include "cli/prefill_notice.h"
#include "cli/sampling_options.h"
#include "cli/text_input.h"

namespace qnext {
namespace {

struct GenerateOptions {
  ModelFlags model;
  SamplingFlags sampling;
  std::optional<std::string> prompt;
  std::string prompt_file;
  std::optional<int64_t> logprobs;
  bool json = false;
};

class GenerateCommand : public Command {
 public:
  const char* name() const override { return "generate"; }
  const char* summary() const override { return "Continue a text; only the continuation goes to stdout."; }

  void AddOptions(CLI::App& app) override {
    app.add_option("--prompt", options_.prompt, "the text to continue, as it stands: no chat template")
        ->type_name("TEXT");
    app.add_option("--prompt-file", options_.prompt_file, "the text from a file or pipe instead; - is stdin")
        ->type_name("FILE");
    app.add_flag("--json", options_.json, "print one JSON object at the end: text, token ids, usage, timings");
    app.add_option("--logprobs", options_.logprobs,
                   "with --json: log-probabilities of each token and of the N (0 to 20) most likely; 1 ms a token")
        ->type_name("N");
    AddModelOptions(app, options_.model);
    AddContextOption(app, options_.model);
    AddSamplingOptions(app, options_.sampling);
  }

  Status Check() override {
    if (options_.prompt.has_value() == !options_.prompt_file.empty()) {
      return InvalidArgument("--prompt or --prompt-file: exactly one of them is needed");
    }
    if (options_.logprobs && !options_.json) return InvalidArgument("--logprobs: needs --json");
    if (options_.logprobs && (*options_.logprobs < 0 || *options_.logprobs > kMaxTopLogprobs)) {
      return InvalidArgument(
          fmt::format("--logprobs: must be in [0, {}], not {}", kMaxTopLogprobs, *options_.logprobs));
    }
    QNEXT_RETURN_IF_ERROR(CheckModelFlags(options_.model));
    return CheckSamplingFlags(options_.sampling);
  }

  Status Run() override {
    QNEXT_ASSIGN_OR_RETURN(const std::string prompt, Prompt());
    if (prompt.empty()) return InTermsOfSource(InvalidArgument("prompt: is empty"));
    QNEXT_ASSIGN_OR_RETURN(const std::unique_ptr<Engine> engine, LoadEngine(options_.model, ChatUse::kNone));
    Request request;
    request.prompt_ids = engine->tokenizer().Encode(prompt);
    request.sampling = ToSamplingParams(options_.sampling, engine->defaults());
    request.sampling.logprobs = options_.logprobs.has_value();
    request.sampling.top_logprobs = options_.logprobs.value_or(0);
    request.max_tokens = options_.sampling.max_tokens;
    request.stop = options_.sampling.stop;
    request.ignore_eos = options_.sampling.ignore_eos;

    TextOutput out(stdout);
    const InterruptFlag interrupt;
    PrefillNotice notice(stderr, static_cast<int64_t>(request.prompt_ids.size()));
    const GenerationHooks hooks = {.on_piece =
                                       [&](const Piece& piece) {
                                         notice.Stop();
                                         return options_.json || out.Write(piece.text);
                                       },
                                   .cancelled = [&] { return interrupt.raised(); }};
    const Result<GenerationResult> result = engine->Generate(request, hooks);
    notice.Stop();
    if (!result.ok()) return InTermsOfSource(result.status());
    if (options_.json) {
      out.Write(FormatResultJson(*result, engine->tokenizer()));
    } else if (isatty(STDOUT_FILENO) != 0) {
      out.Write("\n");  // for the shell's prompt; a pipe gets the text as it is
    }
    QNEXT_RETURN_IF_ERROR(out.status());
    if (result->finish_reason != FinishReason::kCancelled) return {};
    return Cancelled(fmt::format("interrupted after {} tokens of answer", result->usage.completion_tokens));
  }

 private:
  Result<std::string> Prompt() const {
    return options_.prompt ? *options_.prompt : ReadTextInput(options_.prompt_file);
  }

  // "prompt: is empty" becomes "--prompt: is empty", or "standard input is empty", or begins with the file.
  Status InTermsOfSource(const Status& status) const {
    constexpr std::string_view kField = "prompt: ";
    if (!status.message().starts_with(kField)) return InOptionTerms(status);
    const std::string rest = status.message().substr(kField.size());
    if (options_.prompt) return {status.code(), "--prompt: " + rest};
    const bool standard = options_.prompt_file == "-";
    if (standard && rest == "is empty") return {status.code(), "standard input is empty"};
    return {status.code(), fmt::format("{}: the prompt {}", standard ? "standard input" : options_.prompt_file, rest)};
  }

  GenerateOptions options_;
};

}  // namespace

std::unique_ptr<Command> MakeGenerateCommand() { return std::make_unique<GenerateCommand>(); }

}  // namespace qnext
