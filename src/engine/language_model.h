// LanguageModel: all that the engine asks of a model, so that the engine can be tested with a model made of paper.
#pragma once

#include <cstdint>
#include <functional>
#include <span>

#include "base/status.h"

namespace qnext {

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
};

}  // namespace qnext
