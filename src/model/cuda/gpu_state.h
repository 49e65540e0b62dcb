// What the sequences of a GPU's slots carry from token to token: recurrent matrices, convolution history, KV pages.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/arena.h"
#include "kernels/cuda/attention.h"
#include "kernels/cuda/delta.h"
#include "model/sequence_state.h"

namespace qnext {

// Pointers into the arena (null while it counts) and the geometry that they stand for.
struct GpuState {
  StateLayout layout;
  int64_t slots = 0;
  int64_t max_pages = 0;  // of one slot

  float* matrices = nullptr;      // [slots][linear layers][H, S, S]
  float* history = nullptr;       // [slots][linear layers][kConvRing, C]
  std::byte* pool = nullptr;      // [full layers][slots * max_pages] pages
  int32_t* page_table = nullptr;  // [slots, max_pages] where in a layer's pool each page is; the same in every layer

  static GpuState LayOut(const StateLayout& layout, int64_t slots, int64_t context, Arena& vram);

  int64_t matrices_stride() const { return layout.linear_layers * layout.matrix_floats; }  // floats, slot to slot
  int64_t history_stride() const { return layout.linear_layers * cuda::kConvRing * layout.channels; }
  float* LayerMatrices(int64_t linear_layer) const { return matrices + linear_layer * layout.matrix_floats; }
  float* LayerHistory(int64_t linear_layer) const { return history + linear_layer * cuda::kConvRing * layout.channels; }
  cuda::PagedKv LayerKv(int64_t full_layer) const {
    return {.layout = layout.kv,
            .pool = pool + full_layer * slots * max_pages * layout.kv.page_bytes(),
            .page_table = page_table,
            .max_pages = max_pages};
  }
  // Page p of slot s when every slot has pages of its own. Neighbouring pages of a slot are not neighbours in the pool,
  // so that nothing comes to rely on it.
  int32_t OwnPage(int64_t slot, int64_t page) const { return static_cast<int32_t>(page * slots + slot); }
};

}  // namespace qnext
