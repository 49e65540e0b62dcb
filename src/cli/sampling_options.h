// The options that say how an answer is chosen and where it ends.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "config/model_config.h"
#include "engine/engine.h"
#include "engine/sampling_params.h"

namespace CLI {
class App;
}

namespace qnext {

// Absent: the checkpoint's generation_config.json decides, then the default of SamplingParams.
struct SamplingFlags {
  std::optional<double> temperature, top_p, min_p, presence_penalty, frequency_penalty, repetition_penalty;
  std::optional<int64_t> top_k;
  std::optional<uint64_t> seed;
  std::optional<int64_t> max_tokens;
  std::vector<std::string> stop;
  std::vector<std::string> logit_bias;  // "ID=B"
  bool ignore_eos = false;
};

void AddSamplingOptions(CLI::App& app, SamplingFlags& flags);

// Everything about the flags that needs no checkpoint.
Status CheckSamplingFlags(const SamplingFlags& flags);

// The rest: token ids, and what the checkpoint's defaults and the flags make together.
Status CheckSampling(const SamplingFlags& flags, const Engine& engine);

// The command line over the checkpoint's defaults; `do_sample: false` there means greedy unless --temperature is given.
// The flags have passed CheckSamplingFlags. What the file says may still be out of range: the engine refuses it.
SamplingParams ToSamplingParams(const SamplingFlags& flags, const GenerationDefaults& defaults);

}  // namespace qnext
