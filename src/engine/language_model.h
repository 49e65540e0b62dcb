// LanguageModel: all that the engine asks of a model, so that the engine can be tested with a model made of paper.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>

#include "base/status.h"
#include "engine/sampling_params.h"
#include "engine/step_times.h"
#include "model/expert_stats.h"

namespace qnext {

struct ForwardOutputs;  // model/model.h

// A model together with the state of one sequence. One thread at a time.
class LanguageModel {
 public:
  virtual ~LanguageModel() = default;

  virtual int64_t vocab_size() const = 0;  // V: logits per token, padding included
  virtual int64_t context() const = 0;     // the most tokens a sequence may have

  // Forgets the sequence.
  virtual void Reset() = 0;

  // Appends `ids` to the sequence and writes the logits that follow the last of them. `cancelled` (may be empty) is
  // asked now and then during long inputs and ends the call with kCancelled; the sequence is then good for Reset only,
  // as after any other error.
  virtual Status Forward(std::span<const int32_t> ids, std::span<float> logits,
                         const std::function<bool()>& cancelled) = 0;

  // A model on a device may choose tokens where its logits are, so that only ids cross. If it can do so for these
  // parameters, an answer is StartSampling and then ForwardAndSample for the prompt and for each token; the steps of
  // the choice are those of engine/sampler.h. `seed` and `stream` are the Sampler's, `prompt` what its penalties know.
  virtual bool CanSample(const SamplingParams& /*params*/) const { return false; }
  virtual Status StartSampling(const SamplingParams& /*params*/, uint64_t /*seed*/, uint64_t /*stream*/,
                               std::span<const int32_t> /*prompt*/) {
    return Unsupported("this model does not sample");
  }
  // Appends `ids` as Forward does and chooses the token that follows. kInternal where the logits are broken.
  virtual Result<int32_t> ForwardAndSample(std::span<const int32_t> /*ids*/,
                                           const std::function<bool()>& /*cancelled*/) {
    return Unsupported("this model does not sample");
  }

  // Appends `ids` and gives back everything that `outputs` asks for. For verification.
  virtual Status ForwardAll(std::span<const int32_t> /*ids*/, const ForwardOutputs& /*outputs*/) {
    return Unsupported("this model does not show its inner states");
  }

  // Absent where all experts are in one place.
  virtual std::optional<ExpertStats> expert_stats() const { return std::nullopt; }

  // The memory of copies of experts on a device; absent where there is none that could change.
  virtual std::optional<ExpertCacheMemory> expert_cache() const { return std::nullopt; }
  // Between any two calls: gives that memory back until no more than `bytes` are left, or takes it again. After an
  // error there is what could be had, and the sequence goes on.
  virtual Status ResizeExpertCache(int64_t /*bytes*/) {
    return Unsupported("this model has no cache of experts in GPU memory");
  }

  // Measures a decode step that looks back on `context` tokens, fewer where the sequence cannot hold as many and the
  // steps of the measurement. The sequence is then good for Reset only. For developers.
  virtual Result<StepTimes> Profile(int64_t /*context*/) {
    return Unsupported("profile: only a model on a GPU measures its steps");
  }
};

}  // namespace qnext
