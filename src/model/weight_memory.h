// WeightMemory: where weights are kept. The loader packs each piece into memory that it is given and hands it over, so
// that one loader serves a model in RAM, one in a GPU's memory, and one that is spread over both.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/status.h"

namespace qnext {

enum class WeightRole : uint8_t {
  kVector,        // norms, convolution, gates, orders of inputs
  kEmbedding,     // the table of rows
  kLinear,        // a linear layer of any format
  kSharedExpert,  // gate, up and down of an int4 shared expert (or dense MLP), one after the other
  kRoutedExpert,  // the same of a routed expert
};

struct WeightId {
  WeightRole role = WeightRole::kVector;
  std::string_view name;  // the tensor, the module, or an expert's prefix: "model.layers.3.mlp.experts.17"
  int64_t layer = -1;     // kRoutedExpert, kSharedExpert
  int64_t expert = -1;    // kRoutedExpert
};

// A piece while it is written.
struct WeightPiece {
  std::byte* staging = nullptr;      // the loader writes all `bytes` here, then Commit
  const std::byte* place = nullptr;  // where the forward pass will read them; not the loader's to look at
  int64_t bytes = 0;
  int64_t note = 0;  // the memory's own
};

// Thread-safe: every thread of the loader begins and commits pieces, one at a time each.
class WeightMemory {
 public:
  virtual ~WeightMemory() = default;

  // Room for `bytes` on a multiple of 64. The piece lives as long as the memory.
  virtual Result<WeightPiece> Begin(const WeightId& id, int64_t bytes) = 0;
  virtual Status Commit(const WeightPiece& piece) = 0;

  // Whether an int4 linear has zero points wherever its configuration allows them, not only where some differ from 8: a
  // kernel that runs over many experts wants them all in one layout.
  virtual bool fixed_layouts() const = 0;
};

}  // namespace qnext
