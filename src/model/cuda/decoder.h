// Decode steps: one token each of up to kMaxDecodeRows sequences. What a step depends on lives in GPU memory and moves
// on by itself, so that a step is one launch of a graph that was captured when the model was loaded.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "model/cuda/gpu_context.h"

namespace qnext::cuda {

// How a step ends.
enum class StepTail : uint8_t {
  kChoose,  // tokens are chosen on the GPU; only ids come back
  kLogits,  // the logits come back
};

// One thread at a time. `context` must outlive it.
class Decoder {
 public:
  explicit Decoder(const GpuContext& context) : context_(context) {}

  // Runs every kernel of a step once and captures the graphs, for 1 .. options.slots rows. The slots' states are good
  // for Reset only afterwards.
  Status Prepare();

  // The row's id at its position, for rows of different slots. With kChoose, `chosen` gets a token for each row; with
  // kLogits, host.logits holds their logits until the next step.
  struct Row {
    int32_t slot, id, position;
  };
  Status Step(std::span<const Row> rows, StepTail tail, std::span<int32_t> chosen);

  // The end of a prefill: chooses from the first row of ws.logits for `slot`.
  Result<int32_t> ChooseFirst(int32_t slot);

  // The launches of a step, for a graph or a table of their times. `between`: as PartialExperts has it.
  using Between = FunctionRef<Status(int64_t moe_layer)>;
  Status Record(int64_t m, StepTail tail, StepObserver* observer, int64_t context_tokens,
                const Between* between = nullptr) const;
  // Puts rows at `position` of slots 0 .. m-1 into GPU memory.
  Status Place(std::span<const Row> rows);
  void ForgetRows() { placed_ = 0; }
  // After steps that were launched past Step: waits for them and counts on from where the GPU is.
  Status CatchUp();

 private:
  Status LaunchTail(const GpuBlock& block, StepTail tail) const;
  // A step as graphs: one, or (Handshake::kSegments) one more than there are MoE layers, between which the host serves
  // a layer's misses each. None: it is launched kernel by kernel.
  using StepGraphs = std::vector<OwnedGraph>;
  Result<StepGraphs> Capture(int64_t m, StepTail tail) const;
  // A step from its launch to its results.
  Status RunStep(int64_t m, StepTail tail, const StepGraphs& graphs, const char* what);
  Status LaunchAndServe(int64_t m, StepTail tail, const StepGraphs& graphs, const char* what);
  Status Choose(const GpuBlock& block, const GpuRows& rows, int64_t m) const;
  Status Await(int64_t m, const char* what);

  const GpuContext& context_;
  std::vector<StepGraphs> choose_, logits_;  // by rows - 1; empty in eager mode
  uint32_t step_ = 0;                        // steps finished so far; the GPU counts along
  // What is in the GPU's decode rows, to be uploaded only where something else is wanted.
  std::array<Row, kMaxDecodeRows> rows_ = {};
  int64_t placed_ = 0;
};

}  // namespace qnext::cuda
