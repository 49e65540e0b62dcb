// qnext eval: how well a model predicts a text, and what another configuration of it costs.
#include <fmt/chrono.h>
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <limits>
#include <optional>

#include "base/bytes.h"
#include "cli/against.h"
#include "cli/command.h"
#include "cli/eval_run.h"
#include "cli/interrupt.h"
#include "cli/logits_store.h"
#include "cli/model_options.h"
#include "cli/output.h"
#include "cli/own_thread.h"
#include "cli/text_input.h"
#include "cli/version.h"
#include "engine/model_files.h"

namespace qnext {
namespace {

constexpr int64_t kDefaultWindow = 2048;
constexpr auto kProgressInterval = std::chrono::seconds(10);

struct EvalOptions {
  ModelFlags model;
  std::string text;
  std::string against;
  std::optional<int64_t> stride, tokens;
  std::string temp;
  std::string temp_limit = "16GiB";
  bool json = false;
};

// A line on stderr now and then.
class Progress {
 public:
  explicit Progress(const char* what) : what_(what) {}
  void operator()(int64_t done, int64_t all) {
    const auto now = std::chrono::steady_clock::now();
    if (now - last_ < kProgressInterval) return;
    last_ = now;
    Remark(fmt::format("qnext: {}: {} of {} tokens", what_, done, all));
  }

 private:
  const char* what_;
  std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
};

class EvalCommand : public Command {
 public:
  const char* name() const override { return "eval"; }
  const char* summary() const override {
    return "Perplexity of a text with its error; KL divergence and agreement of two configurations.";
  }

  void AddOptions(CLI::App& app) override {
    app.add_option("--text", options_.text, "the text, a file or pipe; - is stdin (required)")->type_name("FILE");
    app.add_option("--against", options_.against,
                   "a second configuration, as the options in which it differs, in one argument: \"--kv fp8 "
                   "--dense-weights int8\". Loaded after the first is gone; KL divergence over the whole vocabulary, "
                   "agreement of the most likely tokens")
        ->type_name("OPTIONS");
    app.add_option("--ctx", options_.model.ctx,
                   "tokens of a window, which go through the model together; default 2048, or the model's "
                   "positions if fewer")
        ->type_name("N");
    app.add_option("--stride", options_.stride,
                   "tokens from one window to the next, fewer than --ctx; default half of it. A token is scored with "
                   "at least --ctx less --stride tokens before it")
        ->type_name("N");
    app.add_option("--tokens", options_.tokens, "only the first N tokens of the text")->type_name("N");
    app.add_option("--temp", options_.temp,
                   "with --against: where the first configuration's logits wait, 4 bytes for each token of the "
                   "vocabulary and of the text (80B: 607 kB a token of text); default: the system's folder for "
                   "temporary files")
        ->type_name("DIR");
    app.add_option("--temp-limit", options_.temp_limit, "with --against: the most disk that they may take")
        ->type_name("SIZE")
        ->capture_default_str();
    app.add_flag("--json", options_.json, "print one JSON object");
    AddModelOptions(app, options_.model);
  }

  Status Check() override {
    if (options_.text.empty()) return InvalidArgument("--text: a file is needed");
    QNEXT_RETURN_IF_ERROR(CheckModelFlags(options_.model));
    const int64_t window = options_.model.ctx.value_or(kDefaultWindow);
    if (options_.stride && (*options_.stride < 1 || *options_.stride >= window)) {
      return InvalidArgument(
          fmt::format("--stride: must be in [1, {}], below --ctx, not {}", window - 1, *options_.stride));
    }
    if (options_.tokens && *options_.tokens < 2) {
      return InvalidArgument(fmt::format("--tokens: must be at least 2, not {}", *options_.tokens));
    }
    const Result<int64_t> bytes = ParseByteSize(options_.temp_limit);
    if (!bytes.ok()) return bytes.status().WithContext("--temp-limit");
    if (!options_.temp.empty() && options_.against.empty()) return InvalidArgument("--temp: only with --against");
    if (options_.against.empty()) return {};
    return ParseAgainst(options_.against, options_.model).status();
  }

  Status Run() override {
    QNEXT_ASSIGN_OR_RETURN(const std::string text, ReadTextInput(options_.text));
    EvalReport report;
    report.date = fmt::format("{:%Y-%m-%dT%H:%M:%SZ}",
                              fmt::gmtime(std::chrono::system_clock::to_time_t(std::chrono::system_clock::now())));
    report.build = VersionText();
    report.text = options_.text == "-" ? "standard input" : options_.text;
    report.text_bytes = static_cast<int64_t>(text.size());

    // One after the other, never both in memory.
    Pass pass;
    QNEXT_RETURN_IF_ERROR(OnOwnThread([&] { return RunFirst(text, pass, report); }));
    if (pass.store) QNEXT_RETURN_IF_ERROR(OnOwnThread([&] { return RunSecond(text, pass, report); }));
    TextOutput out(stdout);
    out.Write(options_.json ? FormatEvalJson(report) : FormatEvalText(report));
    return out.status();
  }

 private:
  // What the first configuration leaves for the second.
  struct Pass {
    std::vector<int32_t> ids;
    std::vector<TextWindow> windows;
    std::optional<LogitsStore> store;  // absent: there is no second
  };

  Result<int64_t> Window() const {
    if (options_.model.ctx) return *options_.model.ctx;
    QNEXT_ASSIGN_OR_RETURN(const ModelLoadOptions load, ToLoadOptions(options_.model));
    QNEXT_ASSIGN_OR_RETURN(const ModelConfig config, LoadConfig(load));
    return std::min(kDefaultWindow, config.max_position_embeddings);
  }

  Result<std::string> TempFolder() const {
    if (!options_.temp.empty()) return options_.temp;
    std::error_code error;
    const std::filesystem::path folder = std::filesystem::temp_directory_path(error);
    if (error) return Unavailable("--temp: the system has no folder for temporary files: " + error.message());
    return folder.string();
  }

  // No more tokens than asked for.
  std::vector<int32_t> Cut(std::vector<int32_t> ids) const {
    const auto most = static_cast<size_t>(options_.tokens.value_or(std::numeric_limits<int64_t>::max()));
    if (ids.size() > most) ids.resize(most);
    return ids;
  }

  // The text as tokens, and the windows over them.
  Status Prepare(const std::string& text, const Engine& engine, Pass& pass, EvalReport& report) const {
    const std::vector<int32_t> whole = engine.tokenizer().Encode(text);
    pass.ids = Cut(whole);
    report.cut = pass.ids.size() < whole.size();
    report.tokens = static_cast<int64_t>(pass.ids.size());
    if (report.tokens < 2) {
      return InvalidArgument(fmt::format("{}: at least 2 tokens are needed, and it has {}", report.text, whole.size()));
    }
    report.window = engine.context();
    report.stride = options_.stride.value_or(report.window / 2);
    if (report.stride >= report.window) {
      return InvalidArgument(fmt::format("--stride: must be below the {} tokens of a window", report.window));
    }
    pass.windows = PlanWindows(report.tokens, report.window, report.stride);
    report.windows = static_cast<int64_t>(pass.windows.size());
    return {};
  }

  Status RunFirst(const std::string& text, Pass& pass, EvalReport& report) const {
    ModelFlags flags = options_.model;
    QNEXT_ASSIGN_OR_RETURN(flags.ctx, Window());
    QNEXT_ASSIGN_OR_RETURN(const std::unique_ptr<Engine> engine, LoadEngine(flags, ChatUse::kNone));
    QNEXT_RETURN_IF_ERROR(Prepare(text, *engine, pass, report));
    const InterruptFlag interrupt;
    TextHooks hooks{.on_logits = nullptr,
                    .cancelled = [&] { return interrupt.raised(); },
                    .on_progress = Progress(options_.against.empty() ? "text" : "first configuration")};
    if (!options_.against.empty()) {
      QNEXT_ASSIGN_OR_RETURN(const std::string folder, TempFolder());
      Result<LogitsStore> made = LogitsStore::Create(folder, report.tokens - 1, engine->tokenizer().vocab_end(),
                                                     *ParseByteSize(options_.temp_limit));
      if (!made.ok()) {
        return {made.status().code(), made.status().message() + "; see --tokens, --temp and --temp-limit"};
      }
      pass.store.emplace(*std::move(made));
      hooks.on_logits = [&](std::span<const float> logits) { return pass.store->Append(logits); };
    }
    return Score(flags, *engine, pass, hooks, report.first);
  }

  static Status Score(const ModelFlags& flags, Engine& engine, const Pass& pass, const TextHooks& hooks,
                      EvalConfiguration& one) {
    one.model = engine.info().model_name;
    one.options = DescribeFlags(flags, engine);
    one.caveats = Caveats(engine);
    one.load_seconds = engine.info().load_seconds;
    QNEXT_ASSIGN_OR_RETURN(one.scores, ScoreText(engine, pass.ids, pass.windows, hooks));
    return {};
  }

  Status RunSecond(const std::string& text, const Pass& pass, EvalReport& report) const {
    const LogitsStore& store = *pass.store;
    QNEXT_ASSIGN_OR_RETURN(ModelFlags flags, ParseAgainst(options_.against, options_.model));
    flags.ctx = report.window;
    QNEXT_ASSIGN_OR_RETURN(const std::unique_ptr<Engine> engine, LoadEngine(flags, ChatUse::kNone));
    const auto vocab = static_cast<size_t>(engine->tokenizer().vocab_end());
    if (Cut(engine->tokenizer().Encode(text)) != pass.ids || static_cast<int64_t>(vocab) != store.columns()) {
      return InvalidArgument("--against: the other checkpoint has another vocabulary, so nothing can be compared");
    }
    EvalComparison comparison;
    std::vector<float> first(vocab);
    const InterruptFlag interrupt;
    TextHooks hooks{.on_logits = [&](std::span<const float> logits) -> Status {
                      QNEXT_RETURN_IF_ERROR(store.Read(static_cast<int64_t>(comparison.kl.size()), first));
                      QNEXT_ASSIGN_OR_RETURN(const Divergence divergence, Compare(first, logits));
                      comparison.kl.push_back(divergence.kl);
                      comparison.top1.push_back(divergence.same_top1 ? 1 : 0);
                      comparison.top5.push_back(divergence.top5_overlap);
                      return {};
                    },
                    .cancelled = [&] { return interrupt.raised(); },
                    .on_progress = Progress("second configuration")};
    report.second.emplace();
    QNEXT_RETURN_IF_ERROR(Score(flags, *engine, pass, hooks, *report.second));
    report.comparison = std::move(comparison);
    return {};
  }

  EvalOptions options_;
};

}  // namespace

std::unique_ptr<Command> MakeEvalCommand() { return std::make_unique<EvalCommand>(); }

}  // namespace qnext
