// The choice of the next token on the device, so that only ids cross to the host. The steps and their order are those
// of engine/sampler.h; what needs more than a step's logits and counts (log-probabilities) stays there.
#pragma once

#include "kernels/cuda/launch.h"

namespace qnext::cuda {

// Up to so many tokens to choose from (top_k) are found one after another; greedy choices need one. Draws among more,
// or among all, pass over the logits a few times instead, with weights that are integers (sample_wide.cuh).
constexpr int32_t kFewCandidates = 64;
// With top_k up to here the candidates' weights are laid end to end by rank, otherwise by id, as engine/candidates.h
// has it: which token a random number means depends on that.
constexpr int32_t kMostRanked = 512;

// What a row's request asks for; lives in device memory and is written when a request starts.
struct SamplingRow {
  uint64_t seed, stream;
  uint64_t drawn;  // tokens drawn so far; the kernel advances it
  double temperature, top_p, min_p;
  double presence_penalty, frequency_penalty, repetition_penalty;
  int32_t top_k;      // 0, or as many as there are tokens: no limit; without effect where temperature is 0
  int32_t penalizes;  // any penalty differs from its neutral value: counts and seen are read and written
  int32_t biased;     // bias is read
};

struct SampleArgs {
  const float* logits;      // [m, V_padded], rows logits_stride apart
  const int32_t* slots;     // [m] which entry of the next four each row uses; null: its own number
  SamplingRow* rows;        // [slots]
  uint32_t* answer_counts;  // [slots, vocab_end]: times each token was generated; may be null if no row penalizes
  uint8_t* seen;            // [slots, vocab_end]: in prompt or answer
  const float* bias;        // [slots, vocab_end] added to the logits of rows with `biased`; may be null
  float* scratch;           // ScratchBytes(m)
  int32_t* tokens;          // [m] the chosen ids: device memory, the next step's input
  int32_t* host_tokens;  // [m] the same in mapped host memory, or null; -1 where the logits are broken (NaN, +infinity,
                         // nothing to choose from)
  int64_t m, logits_stride, vocab_end;

  // For each slice of a row's logits: the best candidates with their ids, how many, and whether the logits are broken.
  // Here and not beside the kernel, for plans count it in builds without CUDA.
  static constexpr int64_t kSlices = 64;
  static constexpr int64_t kSliceBytes = kFewCandidates * 8 + 8;
  static constexpr int64_t ScratchBytes(int64_t m) { return m * kSlices * kSliceBytes; }
};
Status LaunchSample(const SampleArgs& args, Stream stream);

}  // namespace qnext::cuda
