// Synthetic checkpoints: exact shapes and formats of a real model, contents generated from a seed. For measuring speed
// where the weights are not; every expert's bytes are distinct and activations stay finite through all layers.
// docs/benchmarking.md
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "checkpoint/tensor_source.h"
#include "config/model_config.h"

namespace qnext {

// What a kind stands for: its config.json.
struct SyntheticKind {
  std::string name;         // "80b-a", "80b-b", "80b-a-4layers", "80b-b-4layers", or the path of a config.json
  std::string config_json;  // the text of config.json
};

// The kind of that name; any other name is read as the path of a config.json (its quantization_config decides the
// formats).
Result<SyntheticKind> FindSyntheticKind(const std::string& name);

// Every tensor of ExpectedTensors(config), quantized where the configuration says so. A tensor's bytes depend on seed,
// name and position alone, so any thread may generate any part in any order.
class SyntheticCheckpoint final : public TensorSource {
 public:
  SyntheticCheckpoint(const ModelConfig& config, uint64_t seed);

  const TensorInfo* Find(std::string_view name) const override;
  Status Read(const TensorInfo& tensor, std::span<std::byte> out) const override;
  void ForEach(FunctionRef<void(const TensorInfo&)> visit) const override;
  int64_t total_bytes() const override { return total_bytes_; }

 private:
  void Add(const std::string& name, DType dtype, Shape shape);
  void AddLinear(const ModelConfig& config, const std::string& module, const Shape& shape, bool may_be_quantized);

  uint64_t seed_;
  int64_t total_bytes_ = 0;
  DType dense_dtype_ = DType::kBF16;  // of unquantized linears, from torch_dtype
  std::map<std::string, TensorInfo, std::less<>> tensors_;
};

// A tokenizer.json for synthetic models: one token per byte, plus <|endoftext|>, <|im_start|> and <|im_end|>.
std::string SyntheticTokenizerJson();

// Writes the checkpoint as a folder that loads like a downloaded one: shards of at most `shard_bytes`, index,
// config.json, tokenizer.json, tokenizer_config.json, generation_config.json. `progress` gets bytes written. The folder
// must be empty or absent.
Status WriteSynthetic(const SyntheticKind& kind, uint64_t seed, const std::string& folder, int64_t shard_bytes,
                      FunctionRef<void(int64_t done, int64_t total)> progress);

}  // namespace qnext
