// One block of rows through all layers of the model, as a list of launches: prefill, an eager decode step, and what a
// decode graph is recorded from.
#pragma once

#include "model/cuda/gpu_block.h"
#include "model/cuda/gpu_layers.h"

namespace qnext::cuda {

// What a verification run looks at and changes between layers. Each call may put copies into the stream.
class LayerHook {
 public:
  virtual ~LayerHook() = default;
  // ws.hidden is the input of `layer` (num_layers: the output of the last); what the hook writes there is what the
  // layer reads.
  virtual Status BeforeLayer(int64_t layer) = 0;
  // ws.experts and ws.expert_weights are those of this layer.
  virtual Status AfterMoe(int64_t moe_layer) = 0;
};

// From block.rows to ws.hidden and what is still to be added to it. With a hook, nothing is.
Result<PendingSum> RunLayers(const GpuBlock& block, LayerHook* hook);

// ws.normed and its codes = the final norm of rows [first, first + count), which come to stand at row 0; and their
// logits, in ws.logits. At most kLogitRows rows. Rows before `first` of ws.hidden must have been finished already, or
// not be asked for again.
Status RunLogits(const GpuBlock& block, const PendingSum& pending, int64_t first, int64_t count);

// ws.normed = the final norm of all rows, for a hook to look at.
Status RunFinalNorm(const GpuBlock& block);

}  // namespace qnext::cuda
