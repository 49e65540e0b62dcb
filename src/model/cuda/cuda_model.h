// A loaded model and its forward pass on a GPU: prefill in blocks, decode steps as captured graphs. docs/cuda-engine.md
// says how a step flows. Free of CUDA's headers.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/arena.h"
#include "base/status.h"
#include "base/thread_pool.h"
#include "checkpoint/tensor_source.h"
#include "config/model_config.h"
#include "hw/cuda/gpu.h"
#include "kernels/cuda/sampling.h"
#include "kernels/kv_page.h"
#include "model/cuda/gpu_workspace.h"
#include "model/cuda/weight_plan.h"
#include "model/expert_stats.h"
#include "model/forced_routing.h"
#include "model/model.h"
#include "plan/expert_slots.h"

namespace qnext::cuda {

// How a step's launches and the CPU's part of it go together.
enum class Handshake : uint8_t {
  kGraph,     // the whole step is one graph, in which the GPU waits for the CPU
  kSegments,  // a graph for each piece between two waits, launched when the CPU is done
};

struct CudaModelOptions {
  KvType kv_type = KvType::kBF16;
  DenseWeights dense_weights = DenseWeights::kStored;
  int64_t slots = 1;                        // sequences that can run together, at most kMaxDecodeRows
  int64_t context = 32768;                  // tokens of each
  int64_t max_block_tokens = kPromptBlock;  // tokens of a prompt that run through a layer together
  int32_t vocab_end = 0;                    // ids from here on are padding and never chosen; 0: none are
  // Simulated routing, as ModelOptions has it; copied.
  const ForcedRouting* routing = nullptr;
  // A hard bound on the GPU memory of this process; absent: what is free, less a margin.
  std::optional<int64_t> vram_bytes;
  // How many experts GPU memory holds, at most all, although more would fit; absent: all if they fit, otherwise as many
  // as fit.
  std::optional<int64_t> cached_experts;
  // For experts that are not in GPU memory (HybridOptions): the CPU's kernels; whether a step fetches a fixed number of
  // a layer's, and whether what is cached stays as it is.
  const Kernels* kernels = nullptr;
  std::optional<int64_t> fixed_fetch;
  std::optional<int64_t> fetch_blocks;  // of the kernel that fetches; fewer than the usual stand for a slower link
  bool promotions = true;
  Handshake handshake = Handshake::kGraph;
  // How long the GPU waits for the CPU's part of a layer.
  std::chrono::nanoseconds wait_limit = std::chrono::seconds(10);
  // For tests of faults: called before the CPU computes its part of a layer.
  std::function<void(int64_t moe_layer)> before_serving;
  std::optional<int64_t> ram_bytes;  // a hard bound on what is kept in RAM for experts; absent: what the system has
  // Of the cache: what can be given back at a time is no less. Small models in tests have smaller chunks.
  int64_t least_chunk_bytes = SlotGeometry::kLeastChunk;
  bool pin_experts = true;  // false: as where the system refuses to pin them (for tests of faults)
  bool graphs = true;       // false: decode steps launch kernel by kernel (for tests and tables of kernels)
};

// What Load takes of GPU and pinned memory, row by row, and whether the embedding is among the former.
struct CudaMemoryPlan {
  EmbeddingPlace embedding = EmbeddingPlace::kVram;
  std::vector<ArenaRow> vram;  // the last row is the CUDA context and its code, an estimate
  std::vector<ArenaRow> host;
  // Copies of experts that GPU memory has room for; absent: all experts are there, and nowhere else.
  std::optional<int64_t> cached_experts;

  int64_t vram_bytes() const;
  int64_t host_bytes() const;
};

// How the next tokens of a slot are chosen.
struct TokenChoice {
  SamplingRow row = {};                             // row.drawn is 0 at the start of an answer
  std::span<const int32_t> seen;                    // the prompt, for repetition_penalty; only read where row.penalizes
  std::span<const std::pair<int32_t, float>> bias;  // only where row.biased
};

// One thread at a time; any thread, one after the other. Errors of the GPU are final: every later call repeats the
// first. Slots are independent sequences, empty at first.
class CudaModel {
 public:
  // The GPU memory of a model, computed by the code that allocates it. No GPU is asked.
  static Result<CudaMemoryPlan> Plan(const TensorSource& source, const ModelConfig& config,
                                     const CudaModelOptions& options);

  // `source` has passed CheckTensors or is synthetic. Refused before anything is read: what the kernels cannot run
  // (kUnsupported), and what does not fit (kResourceExhausted, with the amounts). `pool` must outlive the model; the
  // thread that owns it runs the steps where not all experts are in GPU memory.
  static Result<std::unique_ptr<CudaModel>> Load(const TensorSource& source, const ModelConfig& config,
                                                 const CudaModelOptions& options, const GpuInfo& gpu, ThreadPool& pool,
                                                 const std::function<void(const LoadProgress&)>& progress = nullptr);
  ~CudaModel();

  const ModelConfig& config() const;
  const CudaModelOptions& options() const;
  const CudaMemoryPlan& memory() const;
  const GpuInfo& gpu() const;
  int64_t disputed_zeros() const;  // of its weights (model/weights.h)
  int64_t weight_bytes() const;    // of the checkpoint's weights as the GPU reads them
  int64_t tokens(int64_t slot) const;
  // What steps did so far; null where all experts are in GPU memory.
  const ExpertStats* expert_stats() const;
  // Things to warn of: memory that could not be pinned or had no huge pages.
  std::vector<std::string> warnings() const;

  // Absent where all experts are in GPU memory.
  std::optional<ExpertCacheMemory> expert_cache() const;
  // Gives memory of the expert cache back until no more than `bytes` are left, or takes it again, in whole chunks and
  // never beyond the plan; between any two calls. What was captured stays valid. kResourceExhausted where the GPU does
  // not have what is wanted: then there is what could be had. kUnsupported where all experts are in GPU memory.
  Status ResizeExpertCache(int64_t bytes);

  // Empties a slot.
  Status Reset(int64_t slot);

  // Appends ids to a slot, in blocks, and gives back what `outputs` asks for (host memory). kResourceExhausted if they
  // do not fit the context; then nothing has changed. `cancelled` is asked between blocks and ends the call with
  // kCancelled. After an error the slot is good for Reset only.
  Status Forward(int64_t slot, std::span<const int32_t> ids, const ForwardOutputs& outputs,
                 const std::function<bool()>& cancelled = nullptr);

  // One token each of several different slots in one step: writes their logits [rows, V].
  struct Row {
    int64_t slot;
    int32_t id;
  };
  Status Decode(std::span<const Row> rows, std::span<float> logits);

  // The choice of tokens on the GPU. SetChoice says how a slot chooses; Prefill appends ids as Forward does and chooses
  // the token that follows; DecodeAndChoose runs a step and chooses for each row. kInternal where the logits are
  // broken.
  Status SetChoice(int64_t slot, const TokenChoice& choice);
  Result<int32_t> Prefill(int64_t slot, std::span<const int32_t> ids, const std::function<bool()>& cancelled = nullptr);
  Status DecodeAndChoose(std::span<const Row> rows, std::span<int32_t> chosen);

  // Where the time of a decode step of `m` rows goes. The slots' states are good for Reset only afterwards.
  Result<struct StepProfile> Profile(int64_t m, int64_t context);

 private:
  struct Impl;
  explicit CudaModel(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace qnext::cuda
