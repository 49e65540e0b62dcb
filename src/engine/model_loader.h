// From a checkpoint folder, or a kind of synthetic weights, and options to a model that is ready to run, on the CPU or
// a GPU.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "base/thread_pool.h"
#include "checkpoint/synthetic.h"
#include "config/model_config.h"
#include "engine/language_model.h"
#include "kernels/cpu/cpu_kernels.h"
#include "kernels/kernels.h"
#include "model/forced_routing.h"
#include "model/model.h"
#include "plan/memory_plan.h"

namespace qnext {

enum class Device : uint8_t {
  kAuto,  // a GPU if there is one that can run this model as it is asked for, otherwise the CPU
  kCpu,
  kCuda,
};
std::optional<Device> ParseDevice(std::string_view name);  // "cpu", "cuda"

struct ModelLoadOptions {
  std::string folder;
  Device device = Device::kCpu;
  std::optional<int64_t> vram_bytes;  // a hard bound on the GPU memory of this process; absent: what is free
  // For measurements: how many experts GPU memory holds (absent: as many as fit), and how many misses of each layer a
  // step fetches (absent: what measuring says), by how many blocks of a kernel (absent: the usual; fewer make the link
  // slower).
  std::optional<int64_t> cached_experts, fixed_fetch, fetch_blocks;
  std::optional<int64_t> ram_bytes;  // a hard bound on the RAM for weights; absent: what the system has
  bool handshake_segments = false;   // steps in pieces, for profilers
  // Weights made in place instead of a folder: a kind of checkpoint/synthetic.h. Empty: none.
  std::string synthetic;
  uint64_t synthetic_seed = kSyntheticSeed;  // of weights and routing
  Routing routing = Routing::kReal;          // the others are for synthetic weights
  // CPU workers, the calling thread included, and where to pin them. The thread that loads is pinned too: it is the one
  // that should run the model.
  ThreadPoolOptions threads;
  // model.dense_weights is what `dense` comes to on the device. kAuto on the CPU: as stored.
  DenseChoice dense = DenseChoice::kStored;
  ModelOptions model;  // but for max_block_tokens:
  // Tokens of a prompt that go through a layer together; absent: as many as suit the device.
  std::optional<int64_t> block_tokens;
  std::optional<CpuIsa> isa;       // absent: the best that this machine has and that passes its known-answer test
  bool reference_kernels = false;  // the plain scalar kernels instead; for verification, hundreds of times slower
};

using LoadProgressCallback = std::function<void(const LoadProgress&)>;

// A model on the CPU and the threads that it runs on. One thread at a time.
class LoadedModel {
 public:
  // `config` is that of the same folder or kind.
  static Result<LoadedModel> Load(const ModelLoadOptions& options, const ModelConfig& config,
                                  const LoadProgressCallback& progress);

  Model& model() { return *model_; }
  const Kernels& kernels() const { return *kernels_; }
  int threads() const { return pool_->threads(); }
  const ForcedRouting* routing() const { return routing_.get(); }  // null: the routers decide
  const std::vector<std::string>& warnings() const { return warnings_; }

 private:
  LoadedModel() = default;

  const Kernels* kernels_ = nullptr;
  std::vector<std::string> warnings_;
  std::unique_ptr<ThreadPool> pool_;        // outlives model_
  std::unique_ptr<ForcedRouting> routing_;  // outlives model_
  std::unique_ptr<Model> model_;
};

// What one sequence may be.
struct SequenceLimits {
  int64_t context = 0;    // tokens
  int32_t vocab_end = 0;  // ids from here on are never chosen; 0: all may be
};

// What reports say about where a model runs.
// What reports say about experts that the routers did not choose.
struct SimulatedRouting {
  Routing kind = Routing::kUniform;
  double entropy_bits = 0;  // of the choices, over all layers
  double most_bits = 0;     // of uniform routing: log2 of the experts
};
// "simulated: uniform, 8.99 bits of entropy of at most 9.00".

// Adds what a reader of the weights should know: zero points whose meaning is disputed (docs/checkpoint.md).
void AddWeightWarnings(int64_t disputed_zeros, const std::string& folder, std::vector<std::string>& warnings);

// The description of `routing`, which may be null.
std::optional<SimulatedRouting> DescribeRouting(const ForcedRouting* routing, const ModelConfig& config);

// What loading took, by the layout that was counted before and allocated then: the rows of qnext plan.
using MemoryRow = PlanRow;

struct DeviceInfo {
  std::string device;    // "cpu" or "cuda"
  std::string gpu;       // DescribeGpu, or empty
  std::string fallback;  // Device::kAuto only: why the model is not on a GPU; empty in a build without the CUDA engine
  std::string kernels;   // the CPU path, or the GPU's
  int threads = 0;       // CPU workers
  DenseWeights dense_weights = DenseWeights::kStored;
  int64_t weight_bytes = 0;
  int64_t vram_bytes = 0;                             // planned
  std::vector<MemoryRow> memory;                      // planned; empty on the CPU
  std::optional<int64_t> cached_experts;              // copies in GPU memory; absent: all experts are in one place
  std::vector<std::string> warnings;                  // what loading noticed
  std::optional<SimulatedRouting> simulated_routing;  // absent: the routers decide
};

struct LoadedLanguageModel {
  std::unique_ptr<LanguageModel> model;  // with one sequence
  DeviceInfo info;
};

// Loads for options.device. `config` is that of the same folder.
Result<LoadedLanguageModel> LoadLanguageModel(const ModelLoadOptions& options, const ModelConfig& config,
                                              const SequenceLimits& limits, const LoadProgressCallback& progress);

}  // namespace qnext
