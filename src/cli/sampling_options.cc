#include "cli/sampling_options.h"

#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <limits>
#include <map>

#include "cli/option_errors.h"
#include "text/utf8.h"

namespace qnext {
namespace {

constexpr char kFromCheckpoint[] = "default: the checkpoint's, else ";

// "ID=B" into the map.
Status AddBias(const std::string& text, std::map<int32_t, float>& biases) {
  const size_t equals = text.find('=');
  int32_t id = 0;
  double bias = 0;
  const char* end = text.data() + text.size();
  const char* middle = text.data() + std::min(equals, text.size());
  const auto id_parsed = std::from_chars(text.data(), middle, id);
  const auto bias_parsed =
      middle == end ? std::from_chars_result{end, std::errc::invalid_argument} : std::from_chars(middle + 1, end, bias);
  if (id_parsed.ec != std::errc() || id_parsed.ptr != middle || bias_parsed.ec != std::errc() ||
      bias_parsed.ptr != end) {
    return InvalidArgument(fmt::format("--logit-bias: must be ID=B, for example 1234=-100, not \"{}\"", text));
  }
  if (id < 0) return InvalidArgument(fmt::format("--logit-bias: {} is no token id", id));
  biases[id] = static_cast<float>(bias);
  return {};
}

template <typename T, typename Source>
void Take(const std::optional<Source>& from, T& to) {
  if (from) to = static_cast<T>(*from);
}

}  // namespace

void AddSamplingOptions(CLI::App& app, SamplingFlags& flags) {
  const std::string from_checkpoint = kFromCheckpoint;
  app.add_option("--temperature", flags.temperature,
                 "0 to 2; 0 takes the most likely token, higher is more varied; " + from_checkpoint + "1")
      ->type_name("X");
  app.add_option("--top-p", flags.top_p,
                 "0 to 1: only the most likely tokens that together reach this probability; " + from_checkpoint +
                     "1. Without --top-k it costs 1 to 2 ms a token")
      ->type_name("X");
  app.add_option("--top-k", flags.top_k, "only the K most likely tokens; 0: all; " + from_checkpoint + "0")
      ->type_name("K");
  app.add_option("--min-p", flags.min_p,
                 "0 to 1: only tokens at least this many times as likely as the most likely; " + from_checkpoint + "0")
      ->type_name("X");
  app.add_option("--presence-penalty", flags.presence_penalty,
                 "-2 to 2: taken once from the logits of tokens already generated; default 0")
      ->type_name("X");
  app.add_option("--frequency-penalty", flags.frequency_penalty,
                 "-2 to 2: taken for each time a token was generated; default 0")
      ->type_name("X");
  app.add_option("--repetition-penalty", flags.repetition_penalty,
                 "0.01 to 100: divides the logits of tokens of prompt and answer; " + from_checkpoint + "1")
      ->type_name("X");
  app.add_option("--seed", flags.seed, "the same seed gives the same answer; default: a new one each time")
      ->type_name("N");
  app.add_option("--max-tokens", flags.max_tokens, "longest answer; default: as long as the context has room")
      ->type_name("N");
  app.add_option("--stop", flags.stop, "a text that ends the answer and is left out of it; may be repeated")
      ->type_name("TEXT")
      ->allow_extra_args(false);
  app.add_option("--logit-bias", flags.logit_bias, "adds B (-100 to 100) to the logit of token ID; may be repeated")
      ->type_name("ID=B")
      ->allow_extra_args(false);
  app.add_flag("--ignore-eos", flags.ignore_eos, "go on after end-of-sequence tokens");
}

Status CheckSamplingFlags(const SamplingFlags& flags) {
  std::map<int32_t, float> biases;
  for (const std::string& text : flags.logit_bias) QNEXT_RETURN_IF_ERROR(AddBias(text, biases));
  if (flags.max_tokens && *flags.max_tokens < 1) {
    return InvalidArgument(fmt::format("--max-tokens: must be at least 1, not {}", *flags.max_tokens));
  }
  for (const std::string& stop : flags.stop) {
    if (stop.empty()) return InvalidArgument("--stop: a stop string must not be empty");
    if (const size_t valid = ValidUtf8Prefix(stop); valid < stop.size()) {
      return InvalidArgument(fmt::format("--stop: invalid UTF-8 at byte {}, which no answer holds", valid + 1));
    }
  }
  return InOptionTerms(ValidateSampling(ToSamplingParams(flags, {}), std::numeric_limits<int32_t>::max()));
}

Status CheckSampling(const SamplingFlags& flags, const Engine& engine) {
  return InOptionTerms(ValidateSampling(ToSamplingParams(flags, engine.defaults()), engine.tokenizer().vocab_end()));
}

SamplingParams ToSamplingParams(const SamplingFlags& flags, const GenerationDefaults& defaults) {
  SamplingParams params;
  Take(defaults.temperature, params.temperature);
  Take(defaults.top_p, params.top_p);
  if (defaults.top_k) params.top_k = std::max<int64_t>(*defaults.top_k, 0);  // any of its spellings of "no limit"
  Take(defaults.min_p, params.min_p);
  Take(defaults.repetition_penalty, params.repetition_penalty);
  if (defaults.do_sample == false) params.temperature = 0;
  Take(flags.temperature, params.temperature);
  Take(flags.top_p, params.top_p);
  Take(flags.top_k, params.top_k);
  Take(flags.min_p, params.min_p);
  Take(flags.presence_penalty, params.presence_penalty);
  Take(flags.frequency_penalty, params.frequency_penalty);
  Take(flags.repetition_penalty, params.repetition_penalty);
  params.seed = flags.seed;
  for (const std::string& text : flags.logit_bias) {
    const Status status = AddBias(text, params.logit_bias);
    QNEXT_CHECK(status.ok(), "the flags have been checked");
  }
  return params;
}

}  // namespace qnext
