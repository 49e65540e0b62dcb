// Synthetic checkpoints: exact shapes and formats of a real model, contents generated from a seed. For measuring speed
// where the weights are not; every expert's bytes are distinct and activations stay finite through all layers.
// docs/benchmarking.md
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "base/thread_pool.h"
#include "checkpoint/tensor_source.h"
#include "config/model_config.h"

namespace qnext {

// What a kind stands for: its config.json.
struct SyntheticKind {
  std::string name;         // "80b-a", "80b-b", "80b-a-4layers", "80b-b-4layers", or the path of a config.json
  std::string config_json;  // the text of config.json
};

// The names of the built-in kinds, for help and errors.
constexpr std::string_view kSyntheticKinds = "80b-a, 80b-b, 80b-a-4layers, 80b-b-4layers";

// The seed of weights and routing where none is given, so that a folder written and weights made in place are the same.
constexpr uint64_t kSyntheticSeed = 1;

// The kind of that name; any other name is read as the path of a config.json (its quantization_config decides the
// formats).
Result<SyntheticKind> FindSyntheticKind(const std::string& name);

// The configuration of a kind as a folder written by WriteSynthetic has it: config.json, and the end-of-sequence tokens
// of the synthetic tokenizer.
Result<ModelConfig> SyntheticConfig(const SyntheticKind& kind);

// Every tensor of ExpectedTensors(config), quantized where the configuration says so. A tensor's bytes depend on seed,
// name and position alone, so any thread may generate any part in any order.
class SyntheticCheckpoint final : public TensorSource {
 public:
  SyntheticCheckpoint(const ModelConfig& config, uint64_t seed);

  const TensorInfo* Find(std::string_view name) const override;
  Status Read(const TensorInfo& tensor, std::span<std::byte> out) const override;
  void ForEach(FunctionRef<void(const TensorInfo&)> visit) const override;
  int64_t total_bytes() const override { return total_bytes_; }

  // The bytes of `tensor` from `offset` (a multiple of 8) on.
  void Generate(const TensorInfo& tensor, int64_t offset, std::span<std::byte> out) const;

 private:
  void Add(const std::string& name, DType dtype, Shape shape);
  void AddLinear(const ModelConfig& config, const std::string& module, const Shape& shape, bool may_be_quantized);
  void FillZeroPoints(std::string_view module, uint64_t key, int64_t offset, std::span<std::byte> out) const;
  void FillGroupIndex(const TensorInfo& tensor, int64_t offset, std::span<std::byte> out) const;

  uint64_t seed_;
  int64_t total_bytes_ = 0;
  DType dense_dtype_ = DType::kBF16;  // of unquantized linears, from torch_dtype
  std::optional<QuantizationConfig> quantization_;
  std::map<std::string, TensorInfo, std::less<>> tensors_;
};

struct SyntheticWriteOptions {
  uint64_t seed = kSyntheticSeed;
  int64_t shard_bytes = int64_t{4} << 30;  // a shard's tensors together, unless one alone is larger
};

// Writes the checkpoint as a folder that loads like a downloaded one: shards, index and the small files of
// synthetic_files.h. The folder must be empty or absent, and its disk must have the room. All threads of the pool
// generate and write; `progress` gets bytes written, from the calling thread. Shards carry their names only when they
// are complete, and the index comes last: what an interrupted run leaves does not load. After an error nothing is left
// but the folder.
Status WriteSynthetic(const SyntheticKind& kind, const std::string& folder, const SyntheticWriteOptions& options,
                      ThreadPool& pool, FunctionRef<void(int64_t done, int64_t total)> progress);

}  // namespace qnext
