#include "model/cuda/prefill.h"

#include <cuda_runtime_api.h>

#include <algorithm>

#include "base/check.h"
#include "hw/cuda/cuda_status.h"
#include "hw/cuda/wait.h"
#include "model/cuda/prompt_experts.h"

namespace qnext::cuda {
namespace {

// Copies between host (pageable) and GPU memory, in order with the stream's kernels.
Status Copy(void* to, const void* from, int64_t bytes, CUstream_st* stream) {
  return ToStatus(cudaMemcpyAsync(to, from, static_cast<size_t>(bytes), cudaMemcpyDefault, stream), "outputs");
}

// Copies what the caller wants to see of one block, and writes what it wants to force.
class BlockOutputs final : public LayerHook {
 public:
  BlockOutputs(const GpuBlock& block, const ForwardOutputs& outputs, int64_t done, int64_t total)
      : block_(block), outputs_(outputs), done_(done), total_(total) {}

  static bool Wanted(const ForwardOutputs& outputs) {
    return outputs.hidden_states != nullptr || outputs.experts != nullptr || outputs.expert_weights != nullptr ||
           outputs.forced_inputs != nullptr;
  }

  Status BeforeLayer(int64_t layer) override {
    const GpuWorkspace& ws = block_.ws;
    const int64_t d = block_.config.hidden_size, bytes = block_.m * d * 4;
    const float* keep = ws.hidden;
    if (layer == block_.config.num_layers && outputs_.hidden_states != nullptr) {
      QNEXT_RETURN_IF_ERROR(RunFinalNorm(block_));
      keep = ws.normed;
    }
    if (outputs_.hidden_states != nullptr) {
      QNEXT_RETURN_IF_ERROR(Copy(outputs_.hidden_states + (layer * total_ + done_) * d, keep, bytes, block_.stream));
    }
    if (outputs_.forced_inputs == nullptr || layer == block_.config.num_layers) return Status();
    return Copy(ws.hidden, outputs_.forced_inputs + (layer * total_ + done_) * d, bytes, block_.stream);
  }

  Status AfterMoe(int64_t moe_layer) override {
    const int64_t top = block_.config.num_experts_per_token;
    const int64_t at = (moe_layer * total_ + done_) * top, bytes = block_.m * top * 4;
    if (outputs_.experts != nullptr) {
      QNEXT_RETURN_IF_ERROR(Copy(outputs_.experts + at, block_.ws.experts, bytes, block_.stream));
    }
    if (outputs_.expert_weights == nullptr) return Status();
    return Copy(outputs_.expert_weights + at, block_.ws.expert_weights, bytes, block_.stream);
  }

 private:
  const GpuBlock& block_;
  const ForwardOutputs& outputs_;
  const int64_t done_, total_;
};

// The call's own experts of every layer, for this block.
Status ForceExperts(GpuBlock& block, const ForwardOutputs& outputs, int64_t done, int64_t total) {
  const int64_t top = block.config.num_experts_per_token;
  const int64_t layers = static_cast<int64_t>(block.plan.experts().size());
  for (int64_t layer = 0; layer < layers; ++layer) {
    QNEXT_RETURN_IF_ERROR(Copy(block.ws.forced + layer * block.m * top,
                               outputs.forced_experts + (layer * total + done) * top, block.m * top * 4, block.stream));
  }
  block.forced = block.ws.forced;
  return Status();
}

// The logits of the last rows of the whole call that lie in this block, a few at a time.
Status GiveLogits(const GpuBlock& block, PendingSum pending, const ForwardOutputs& outputs, int64_t done,
                  int64_t total) {
  const int64_t vocab = block.config.vocab_size;
  const int64_t first_wanted = std::max(total - outputs.logit_rows, done);
  for (int64_t row = first_wanted; row < done + block.m; row += kLogitRows) {
    const int64_t count = std::min(kLogitRows, done + block.m - row);
    QNEXT_RETURN_IF_ERROR(RunLogits(block, pending, row - done, count));
    QNEXT_RETURN_IF_ERROR(Copy(outputs.logits + (row - (total - outputs.logit_rows)) * vocab, block.ws.logits,
                               count * vocab * 4, block.stream));
  }
  return Status();
}

Status RunBlock(const GpuContext& context, const PrefillArgs& args, int64_t done, int64_t count) {
  const int64_t total = static_cast<int64_t>(args.ids.size());
  const GpuWorkspace& ws = context.places.ws;
  const GpuRows& host = context.host.block_rows;
  for (int64_t i = 0; i < count; ++i) {
    host.ids[i] = args.ids[static_cast<size_t>(done + i)];
    host.positions[i] = static_cast<int32_t>(args.start + done + i);
    host.slots[i] = args.slot;
  }
  QNEXT_RETURN_IF_ERROR(UploadRows(context, host, ws.block_rows, count));
  GpuBlock block = context.Block(ws.block_rows, count, /*sequences=*/1);
  block.partial.prompt = context.prompt;
  if (args.outputs.forced_experts != nullptr) {
    QNEXT_RETURN_IF_ERROR(ForceExperts(block, args.outputs, done, total));
  } else {
    QNEXT_RETURN_IF_ERROR(ApplyRouting(context, block));
  }
  BlockOutputs hook(block, args.outputs, done, total);
  QNEXT_ASSIGN_OR_RETURN(const PendingSum pending,
                         RunLayers(block, BlockOutputs::Wanted(args.outputs) ? &hook : nullptr));
  if (args.outputs.logits != nullptr && args.outputs.logit_rows > 0) {
    QNEXT_RETURN_IF_ERROR(GiveLogits(block, pending, args.outputs, done, total));
  } else if (args.want_last && done + count == total) {
    QNEXT_RETURN_IF_ERROR(RunLogits(block, pending, count - 1, 1));
  }
  QNEXT_RETURN_IF_ERROR(Synchronize(context.stream, kBlockLimit, "prefill"));
  if (context.prompt != nullptr && !args.used.empty()) context.prompt->Count(args.used);
  return Status();
}

}  // namespace

Status RunPrefill(const GpuContext& context, const PrefillArgs& args) {
  const int64_t total = static_cast<int64_t>(args.ids.size());
  QNEXT_CHECK(args.outputs.logit_rows <= total, "more logit rows than tokens");
  for (int64_t done = 0; done < total;) {
    if (done > 0 && args.cancelled != nullptr && *args.cancelled && (*args.cancelled)()) {
      return Cancelled("cancelled during prefill");
    }
    const int64_t count = std::min(total - done, context.options.max_block_tokens);
    QNEXT_RETURN_IF_ERROR(RunBlock(context, args, done, count));
    done += count;
  }
  return Status();
}

}  // namespace qnext::cuda
