// What the weights weigh once they lie where and as they will be read. From headers and configuration alone.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/status.h"
#include "checkpoint/inspect.h"
#include "checkpoint/tensor_list.h"
#include "checkpoint/tensor_source.h"
#include "config/model_config.h"

namespace qnext {

// 16-bit linear layers outside the routed experts: as the checkpoint has them, or int8.
enum class DenseWeights : uint8_t { kStored, kInt8 };

// What the user asks for. kAuto: int8 where a GPU reads its memory at less than kAutoInt8Below bytes a second.
enum class DenseChoice : uint8_t { kStored, kInt8, kAuto };
constexpr double kAutoInt8Below = 1e12;

// Whether a tensor of the list whose weights are stored as `stored` is kept as int8: the 16-bit linears but routed
// experts, routers and the shared experts' gates. An output matrix tied to the embedding is not in the list.
bool BecomesInt8(const ExpectedTensor& expected, DType stored, DenseWeights dense);

struct ComponentBytes {
  Component component = Component::kOther;
  int64_t bytes = 0;
};

struct WeightSizes {
  // Read for every token, and so in VRAM: everything but the embedding's table and the routed experts. By component.
  std::vector<ComponentBytes> dense;
  int64_t embedding_bytes = 0;  // a row per token is read; with tied embeddings it is also the head, and read whole
  bool tied = false;
  int64_t moe_layers = 0;
  int64_t experts = 0;       // E, of each MoE layer
  int64_t expert_bytes = 0;  // of one routed expert: gate, up and down packed one after the other
  int64_t order_bytes = 0;   // orders of inputs of the routed experts (act-order checkpoints), all together

  int64_t dense_bytes() const;
  int64_t routed_experts() const { return moe_layers * experts; }
};

// The bytes of a 16-bit linear [out, in] kept as int8 with one scale for 128 inputs of a row, in tiles of 16 rows.
int64_t Int8LinearBytes(int64_t out, int64_t in);

// The most RAM that loading a model's weights there takes: what the source holds, 16-bit linears as int8 where asked
// for, and the largest of those once more, for it is read whole before it is packed.
int64_t LoadingBytes(const TensorSource& source, const ModelConfig& config, DenseWeights dense);

// Every piece begins on a multiple of 64. Zero points are counted wherever the configuration is not symmetric, for only
// the contents say whether they are needed. Errors name the tensor: kCorrupt, one is missing or contradicts the
// configuration; kUnsupported, routed experts that are not int4, or not all of one size, and so do not fit the slots of
// one cache.
Result<WeightSizes> WeightSizesOf(const TensorSource& source, const ModelConfig& config, DenseWeights dense);

}  // namespace qnext
