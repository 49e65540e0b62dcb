#include "model/cuda/gpu_state.h"

namespace qnext {

GpuState GpuState::LayOut(const StateLayout& layout, int64_t slots, int64_t context, Arena& vram) {
  GpuState state{.layout = layout, .slots = slots, .max_pages = CeilDiv(context, kKvPageTokens)};
  vram.Begin("recurrent state");
  state.matrices = vram.Take<float>(slots * state.matrices_stride());
  state.history = vram.Take<float>(slots * state.history_stride());
  vram.Begin("KV cache");
  state.pool = vram.TakeBytes(layout.full_layers * slots * state.max_pages * layout.kv.page_bytes());
  state.page_table = vram.Take<int32_t>(slots * state.max_pages);
  return state;
}

}  // namespace qnext
