#include "bench/http_target.h"

#include <fmt/core.h>

#include <algorithm>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/json_guard.h"
#include "bench/sse_parser.h"
#include "bench/stream_timing.h"

namespace qnext {
namespace {

using Json = nlohmann::json;

constexpr char kCompletions[] = "/completions";
// How far the length of a text prompt may be off: a tokenizer may look beyond a word after all.
constexpr double kPromptTolerance = 0.1;
constexpr int64_t kPromptSlack = 3;

// What a server sends is no more trusted than a file: too deep is like not JSON at all.
Json Parse(std::string_view text) {
  if (!CheckJsonLimits(text).ok()) return Json(Json::value_t::discarded);
  return Json::parse(text, nullptr, /*allow_exceptions=*/false);
}

// A member of an object, or null.
const Json* Member(const Json& object, const char* key) {
  const auto it = object.is_object() ? object.find(key) : object.end();
  return object.is_object() && it != object.end() ? &*it : nullptr;
}

std::optional<int64_t> Integer(const Json* value) {
  if (value == nullptr || !value->is_number_integer()) return std::nullopt;
  return value->get<int64_t>();
}

// What a server says of an error: OpenAI's {"error": {"message"}}, or {"error": "..."} or {"message"} of others; else
// the beginning of the body. One line, whatever it is.
std::string ErrorText(const Json& body, std::string_view raw) {
  const Json* error = Member(body, "error");
  const Json* message = error != nullptr && error->is_object() ? Member(*error, "message") : error;
  if (message == nullptr) message = Member(body, "message");
  std::string text(message != nullptr && message->is_string() ? message->get_ref<const std::string&>()
                                                              : raw.substr(0, 200));
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < ' ' || c == '\x7f') c = ' ';
  }
  return text;
}

Status StatusError(const std::string& where, const HttpReply& reply) {
  return Unavailable(
      fmt::format("{}: {} {}: {}", where, reply.status, reply.reason, ErrorText(Parse(reply.body), reply.body)));
}

std::optional<StreamUsage> UsageOf(const Json& object) {
  const Json* usage = Member(object, "usage");
  if (usage == nullptr) return std::nullopt;
  const std::optional<int64_t> prompt = Integer(Member(*usage, "prompt_tokens"));
  const std::optional<int64_t> completion = Integer(Member(*usage, "completion_tokens"));
  if (!prompt || !completion) return std::nullopt;
  return StreamUsage{.prompt_tokens = *prompt, .completion_tokens = *completion};
}

// Prompt tokens that the server took from a cache: figures of such a run are not those of the prompt.
int64_t CachedTokens(const Json& object) {
  const Json* usage = Member(object, "usage");
  const Json* details = usage != nullptr ? Member(*usage, "prompt_tokens_details") : nullptr;
  return details != nullptr ? Integer(Member(*details, "cached_tokens")).value_or(0) : 0;
}

// The events of one answer.
struct Answer {
  std::vector<StreamPiece> pieces;
  std::optional<StreamUsage> usage;
  int64_t cached_tokens = 0;
  bool done = false;
  std::string error;

  void Add(SteadyTime time, std::string_view data) {
    if (data == "[DONE]") {
      done = true;
      return;
    }
    if (done || !error.empty()) return;
    const Json event = Parse(data);
    if (!event.is_object()) {
      error = fmt::format("an event is no JSON object: {}", ErrorText(Json(), data));
    } else if (event.contains("error")) {
      error = fmt::format("the server says: {}", ErrorText(event, data));
    } else {
      AddChunk(time, event);
    }
  }

 private:
  void AddChunk(SteadyTime time, const Json& event) {
    const std::optional<StreamUsage> now = UsageOf(event);
    if (now) {
      usage = now;
      cached_tokens = CachedTokens(event);
    }
    const Json* choices = Member(event, "choices");
    const Json* text =
        choices != nullptr && choices->is_array() && !choices->empty() ? Member((*choices)[0], "text") : nullptr;
    if (text == nullptr || !text->is_string() || text->get_ref<const std::string&>().empty()) return;
    pieces.push_back(
        {.time = time, .tokens_so_far = now ? std::optional<int64_t>(now->completion_tokens) : std::nullopt});
  }
};

}  // namespace

HttpTarget::HttpTarget(HttpTargetOptions options)
    : options_(std::move(options)), client_(options_.url, options_.api_key, options_.timeout_seconds) {}

Result<std::unique_ptr<HttpTarget>> HttpTarget::Connect(HttpTargetOptions options) {
  std::unique_ptr<HttpTarget> target(new HttpTarget(std::move(options)));
  if (target->options_.model.empty()) QNEXT_RETURN_IF_ERROR(target->FindModel());
  if (!target->options_.prompt_ids) {
    QNEXT_ASSIGN_OR_RETURN(target->text_,
                           TextPrompts::Measure([&](const std::string& text) { return target->CountTokens(text); }));
  }
  return target;
}

Status HttpTarget::FindModel() {
  const std::string where = options_.url.ToString() + "/models";
  QNEXT_ASSIGN_OR_RETURN(const HttpReply reply, client_.Get("/models"));
  if (reply.status != 200) return StatusError(where, reply);
  const Json json = Parse(reply.body);
  const Json* data = Member(json, "data");
  const Json* id = data != nullptr && data->is_array() && !data->empty() ? Member((*data)[0], "id") : nullptr;
  if (id == nullptr || !id->is_string()) return Corrupt(where + ": lists no model; name one with --model");
  options_.model = id->get<std::string>();
  for (const char* key : {"context_length", "max_model_len"}) {
    if (!context_) context_ = Integer(Member((*data)[0], key));
  }
  return {};
}

Result<int64_t> HttpTarget::CountTokens(const std::string& text) {
  const std::string where = options_.url.ToString() + kCompletions;
  const Json request = {{"model", options_.model}, {"prompt", text}, {"max_tokens", 1}, {"temperature", 0}};
  QNEXT_ASSIGN_OR_RETURN(const HttpReply reply, client_.Post(kCompletions, request.dump()));
  if (reply.status != 200) return StatusError(where, reply);
  const std::optional<StreamUsage> usage = UsageOf(Parse(reply.body));
  if (!usage || usage->prompt_tokens < 1) {
    return Corrupt(where + ": the answer has no usage.prompt_tokens, so nobody can tell how long a prompt is");
  }
  return usage->prompt_tokens;
}

Result<RunSample> HttpTarget::Run(const WorkloadCase& work, int64_t run) {
  const std::string where = options_.url.ToString() + kCompletions;
  Json request = {{"model", options_.model},
                  {"max_tokens", work.output_tokens},
                  {"temperature", 0.7},
                  {"top_p", 0.8},
                  {"seed", run},
                  {"stream", true},
                  {"stream_options", {{"include_usage", true}}}};
  if (!options_.standard_fields) request.update({{"top_k", 20}, {"ignore_eos", true}});
  Random random(options_.prompt_seed, static_cast<uint64_t>(run));
  if (options_.prompt_ids) {
    const auto [first, last] = *options_.prompt_ids;
    Json ids = Json::array();
    for (int64_t i = 0; i < work.prompt_tokens; ++i) {
      ids.push_back(first + static_cast<int32_t>(random.Below(static_cast<uint64_t>(last - first) + 1)));
    }
    request["prompt"] = std::move(ids);
  } else {
    request["prompt"] = text_->Make(work.prompt_tokens, random);
  }

  Answer answer;
  SseParser events;
  SteadyTime sent;
  const Result<HttpReply> reply =
      client_.PostStream(kCompletions, request.dump(), sent, [&](SteadyTime time, std::string_view bytes) {
        events.Push(bytes, [&](std::string_view data) { answer.Add(time, data); });
      });
  const auto so_far = [&] {
    return fmt::format("after {} pieces of text, {} tokens wanted", answer.pieces.size(), work.output_tokens);
  };
  if (!answer.error.empty()) return Unavailable(fmt::format("{}: {}", where, answer.error));
  if (!reply.ok())
    return answer.pieces.empty() ? reply.status() : Unavailable(reply.status().message() + ", " + so_far());
  if (reply->status != 200) return StatusError(where, *reply);
  if (!answer.done) return Unavailable(fmt::format("{}: the stream ended without [DONE], {}", where, so_far()));
  if (!answer.usage) {
    return Corrupt(where + ": the stream has no usage, so its tokens cannot be counted (stream_options.include_usage)");
  }
  Result<RunSample> sample = TimeStream(sent, answer.pieces, *answer.usage);
  if (!sample.ok()) return sample.status().WithContext(where);
  sample->cached_prompt_tokens = answer.cached_tokens;
  if (const Status lengths = CheckLengths(work, *sample); !lengths.ok()) return lengths.WithContext(where);
  return sample;
}

Status HttpTarget::CheckLengths(const WorkloadCase& work, const RunSample& sample) const {
  const int64_t prompt = sample.summary.prompt_tokens, output = sample.summary.completion_tokens;
  const auto tolerated = static_cast<int64_t>(kPromptTolerance * static_cast<double>(work.prompt_tokens));
  const int64_t allowed = options_.prompt_ids ? 0 : std::max(kPromptSlack, tolerated);
  if (std::abs(prompt - work.prompt_tokens) > allowed) {
    return Corrupt(fmt::format("the server counts {} tokens of prompt where {} were sent", prompt, work.prompt_tokens));
  }
  if (output > work.output_tokens || (output < work.output_tokens && !options_.standard_fields)) {
    return Corrupt(fmt::format("the server generated {} tokens where {} were asked for{}", output, work.output_tokens,
                               output < work.output_tokens ? " (does it know ignore_eos? see --standard-fields)" : ""));
  }
  if (!sample.summary.decode_tokens_per_second) {
    return Corrupt(
        fmt::format("all of the answer came at once, {} tokens, so nothing can be said of its speed", output));
  }
  return {};
}

}  // namespace qnext
