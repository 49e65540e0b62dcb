// qnext batch: many conversations or prompts from a JSON-lines file, one load of the model.
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <limits>
#include <memory>
#include <nlohmann/json.hpp>
#include <sstream>

#include "base/json_guard.h"
#include "cli/command.h"
#include "cli/interrupt.h"
#include "cli/model_options.h"
#include "cli/result_file.h"
#include "cli/sampling_options.h"
#include "cli/text_input.h"
#include "server/chat_messages.h"
#include "text/json_keys.h"
#include "text/utf8.h"

namespace qnext {
namespace {

using nlohmann::ordered_json;

// What the template gets to see, or the field that is wrong.
struct Chat {
  ordered_json messages;
  ordered_json extra = ordered_json::object();
};

Result<Chat> ReadChat(const ordered_json& item) {
  server::FirstError errors;
  server::FieldReader fields(item, "", errors);
  Chat chat = {.messages = server::ReadMessages(fields, server::MessageForm::kFile, errors)};
  if (const ordered_json* tools = server::ReadTools(fields, errors)) chat.extra["tools"] = *tools;
  if (errors.error()) return InvalidArgument(errors.error()->message);
  return chat;
}

class BatchCommand : public Command {
 public:
  const char* name() const override { return "batch"; }
  const char* summary() const override { return "Answer many conversations or prompts from a JSON-lines file."; }

  void AddOptions(CLI::App& app) override {
    app.add_option(
           "--in", in_,
           "JSON lines (- is stdin), each an object with \"messages\" (and \"tools\" if wanted; the chat template is "
           "applied) or "
           "\"prompt\" (continued as it stands), and \"max_tokens\" or \"temperature\" where they differ from the "
           "options")
        ->type_name("FILE")
        ->required();
    app.add_option("--out", out_,
                   "a line for each line of --in: text, token_ids, finish_reason; - is stdout. A file is written as "
                   "FILE.partial until it is complete")
        ->type_name("FILE")
        ->required();
    AddModelOptions(app, model_);
    AddContextOption(app, model_);
    AddChatTemplateOption(app, model_);
    AddSamplingOptions(app, sampling_);
  }

  Status Check() override {
    QNEXT_RETURN_IF_ERROR(CheckModelFlags(model_));
    QNEXT_RETURN_IF_ERROR(CheckSamplingFlags(sampling_));
    if (in_.empty()) return InvalidArgument("--in: a file is needed");
    if (out_.empty()) return InvalidArgument("--out: a file is needed");
    KeptFiles kept = FilesRead(model_);
    kept.files.emplace_back("--in", in_);
    return CheckApart("--out", out_, kept);
  }

  Status Run() override {
    QNEXT_ASSIGN_OR_RETURN(const std::string text, ReadTextInput(in_));
    QNEXT_RETURN_IF_ERROR(ResultFile::Check(out_));
    QNEXT_ASSIGN_OR_RETURN(const std::unique_ptr<Engine> engine, LoadEngine(model_, ChatUse::kSome));
    QNEXT_RETURN_IF_ERROR(CheckSampling(sampling_, *engine));
    QNEXT_ASSIGN_OR_RETURN(ResultFile out, ResultFile::Create(out_));
    const Status status = AnswerAll(*engine, text, out);
    return status.ok() ? out.Finish() : Status(status.code(), status.message() + out.Remains());
  }

 private:
  Status AnswerAll(Engine& engine, const std::string& text, ResultFile& out) const {
    // So that the error can still say where the finished lines are.
    const InterruptFlag interrupt;
    const GenerationHooks hooks = {.on_piece = nullptr, .cancelled = [&] { return interrupt.raised(); }};
    std::istringstream lines(text);
    std::string line;
    for (int64_t number = 1; std::getline(lines, line); ++number) {
      if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
      if (interrupt.raised()) return Cancelled("interrupted");
      const Result<std::string> answer = Answer(engine, line, hooks);
      if (answer.status().code() == StatusCode::kCancelled) return answer.status();
      if (!answer.ok()) {
        return answer.status().WithContext(fmt::format("{}: line {}", in_ == "-" ? "standard input" : in_, number));
      }
      QNEXT_RETURN_IF_ERROR(out.Append(*answer));
    }
    return Status();
  }

  Result<std::string> Answer(Engine& engine, const std::string& line, const GenerationHooks& hooks) const {
    QNEXT_RETURN_IF_ERROR(CheckJsonLimits(line, {}));
    if (const size_t valid = ValidUtf8Prefix(line); valid < line.size()) {
      return InvalidArgument(fmt::format("invalid UTF-8 at byte {} of the line", valid + 1));
    }
    QNEXT_RETURN_IF_ERROR(CheckJsonKeys(line));
    const ordered_json item = ordered_json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (!item.is_object()) return InvalidArgument("is not a JSON object");
    Request request;
    request.sampling = ToSamplingParams(sampling_, engine.defaults());
    request.max_tokens = sampling_.max_tokens;
    request.stop = sampling_.stop;
    request.ignore_eos = sampling_.ignore_eos;
    for (const auto& [key, value] : item.items()) {
      if (key == "messages" || key == "tools" || key == "prompt") continue;
      if (key == "temperature") {
        if (!value.is_number()) return InvalidArgument("temperature: must be a number");
        request.sampling.temperature = value.get<double>();
        continue;
      }
      if (key != "max_tokens") return InvalidArgument(fmt::format("{}: unknown field", key));
      if (!value.is_number_integer()) return InvalidArgument("max_tokens: must be an integer");
      constexpr auto kMost = static_cast<uint64_t>(std::numeric_limits<int64_t>::max());
      if (value.is_number_unsigned() && value.get<uint64_t>() > kMost)
        return InvalidArgument("max_tokens: is too large");
      request.max_tokens = value.get<int64_t>();
    }
    if (item.contains("messages") == item.contains("prompt")) {
      return InvalidArgument("messages or prompt: exactly one of them is needed");
    }
    if (item.contains("prompt")) {
      if (item.contains("tools")) return InvalidArgument("tools: not with prompt, which no template is applied to");
      if (!item["prompt"].is_string()) return InvalidArgument("prompt: must be a string");
      request.prompt_ids = engine.tokenizer().Encode(item["prompt"].get_ref<const std::string&>());
    } else {
      QNEXT_RETURN_IF_ERROR(engine.chat().status());
      QNEXT_RETURN_IF_ERROR(engine.chat()->replaced());
      QNEXT_ASSIGN_OR_RETURN(const Chat chat, ReadChat(item));
      QNEXT_ASSIGN_OR_RETURN(const std::string prompt, engine.chat()->Render(chat.messages, chat.extra));
      request.prompt_ids = engine.tokenizer().Encode(prompt);
      request.eos_ids = engine.ChatEosIds();
    }
    QNEXT_ASSIGN_OR_RETURN(const GenerationResult result, engine.Generate(request, hooks));
    if (result.finish_reason == FinishReason::kCancelled) return Cancelled("interrupted");
    const ordered_json row = {{"text", result.text},
                              {"token_ids", result.token_ids},
                              {"finish_reason", std::string(FinishReasonName(result.finish_reason))}};
    return row.dump(-1, ' ', false, ordered_json::error_handler_t::replace);
  }

  ModelFlags model_;
  SamplingFlags sampling_;
  std::string in_;
  std::string out_;
};

}  // namespace

std::unique_ptr<Command> MakeBatchCommand() { return std::make_unique<BatchCommand>(); }

}  // namespace qnext
