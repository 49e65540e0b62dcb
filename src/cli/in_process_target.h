// A benchmark target that is an engine in this process.
#pragma once

#include <cstdint>
#include <vector>

#include "bench/target.h"
#include "engine/engine.h"

namespace qnext {

// Prompts are pieces of the benchmark text in an order that follows from `seed` and the run; tokens are drawn as the
// model's authors recommend (temperature 0.7, top_k 20, top_p 0.8), because greedy answers of a model that is not asked
// to stop soon repeat themselves, and with them their experts. `engine` must outlive it.
class InProcessTarget : public Target {
 public:
  InProcessTarget(Engine& engine, uint64_t seed);

  // With what the run did with experts in several places, and the memory after it.
  Result<RunSample> Run(const WorkloadCase& work, int64_t run) override;

 private:
  Engine& engine_;
  uint64_t seed_;
  std::vector<int32_t> text_;
};

}  // namespace qnext
