#include "model/cuda/decoder.h"

#include <cuda_runtime_api.h>
#include <fmt/format.h>

#include <algorithm>
#include <atomic>

#include "base/check.h"
#include "hw/cuda/cuda_status.h"
#include "hw/cuda/wait.h"
#include "kernels/cuda/sampling.h"
#include "kernels/cuda/step.h"
#include "model/cuda/hybrid_experts.h"

namespace qnext::cuda {
namespace {

uint64_t Load(const uint64_t& word) {
  return std::atomic_ref<uint64_t>(const_cast<uint64_t&>(word)).load(std::memory_order_acquire);
}

}  // namespace

Status Decoder::Choose(const GpuBlock& block, const GpuRows& rows, int64_t m) const {
  const GpuWorkspace& ws = context_.places.ws;
  return block.Run(StepKernel::kSample, 0, LaunchSample,
                   {.logits = ws.logits,
                    .slots = rows.slots,
                    .rows = ws.sampling,
                    .answer_counts = ws.answer_counts,
                    .seen = ws.seen,
                    .bias = ws.bias,
                    .scratch = ws.sampling_scratch,
                    .tokens = rows.ids,
                    .host_tokens = ws.chosen,
                    .m = m,
                    .logits_stride = context_.config.vocab_size,
                    .vocab_end = context_.options.vocab_end});
}

Status Decoder::LaunchTail(const GpuBlock& block, StepTail tail) const {
  const GpuWorkspace& ws = context_.places.ws;
  if (tail == StepTail::kChoose) {
    QNEXT_RETURN_IF_ERROR(Choose(block, block.rows, block.m));
  } else {
    const size_t bytes = static_cast<size_t>(block.m * context_.config.vocab_size) * sizeof(float);
    QNEXT_RETURN_IF_ERROR(ToStatus(
        cudaMemcpyAsync(context_.host.logits, ws.logits, bytes, cudaMemcpyDeviceToHost, block.stream), "logits"));
  }
  return block.Run(StepKernel::kFinish, 0, LaunchFinishStep,
                   {.tokens = tail == StepTail::kChoose ? ws.chosen : nullptr,
                    .positions = block.rows.positions,
                    .step = ws.step,
                    .results = context_.host.results,
                    .m = block.m});
}

Status Decoder::Record(int64_t m, StepTail tail, StepObserver* observer, int64_t context_tokens,
                       const Between* between) const {
  GpuBlock block = context_.Block(context_.places.ws.decode_rows, m, m);
  block.partial = {.step = context_.hybrid, .prompt = nullptr, .between = between};
  block.observer = observer;
  block.context = context_tokens;
  QNEXT_RETURN_IF_ERROR(ApplyRouting(context_, block));
  QNEXT_ASSIGN_OR_RETURN(const PendingSum pending, RunLayers(block, nullptr));
  QNEXT_RETURN_IF_ERROR(RunLogits(block, pending, 0, m));
  return LaunchTail(block, tail);
}

Status Decoder::Prepare() {
  // Each kernel is loaded (or compiled for this card) when it is launched first, which must not happen in a capture.
  std::array<Row, kMaxDecodeRows> rows = {};
  for (int32_t r = 0; r < kMaxDecodeRows; ++r) rows[static_cast<size_t>(r)] = {.slot = r, .id = 0, .position = 0};
  for (int64_t m = 1; m <= context_.options.slots; ++m) {
    for (const StepTail tail : {StepTail::kChoose, StepTail::kLogits}) {
      QNEXT_RETURN_IF_ERROR(Place({rows.data(), static_cast<size_t>(m)}));
      QNEXT_RETURN_IF_ERROR(RunStep(m, tail, {}, "the first decode step"));
      if (!context_.options.graphs) continue;
      QNEXT_ASSIGN_OR_RETURN(StepGraphs graph, Capture(m, tail));
      (tail == StepTail::kChoose ? choose_ : logits_).push_back(std::move(graph));
    }
  }
  ForgetRows();
  return Synchronize(context_.stream, kStepLimit, "decode graphs");
}

Status Decoder::Place(std::span<const Row> rows) {
  const auto same = [](const Row& a, const Row& b) {
    return a.slot == b.slot && a.id == b.id && a.position == b.position;
  };
  if (placed_ >= static_cast<int64_t>(rows.size()) && std::equal(rows.begin(), rows.end(), rows_.begin(), same)) {
    return Status();
  }
  const GpuRows& host = context_.host.decode_rows;
  for (size_t r = 0; r < rows.size(); ++r) {
    host.ids[r] = rows[r].id;
    host.positions[r] = rows[r].position;
    host.slots[r] = rows[r].slot;
  }
  std::copy(rows.begin(), rows.end(), rows_.begin());
  placed_ = static_cast<int64_t>(rows.size());
  return UploadRows(context_, host, context_.places.ws.decode_rows, placed_);
}

Status Decoder::CatchUp() {
  ForgetRows();
  QNEXT_RETURN_IF_ERROR(Synchronize(context_.stream, kBlockLimit, "steps"));
  return ToStatus(cudaMemcpy(&step_, context_.places.ws.step, sizeof(step_), cudaMemcpyDeviceToHost), "steps");
}

Status Decoder::Await(int64_t m, const char* what) {
  const uint64_t* results = context_.host.results;
  const auto done = [&] {
    for (int64_t r = 0; r < m; ++r) {
      if (static_cast<uint32_t>(Load(results[r]) >> 32) != step_) return false;
    }
    return true;
  };
  return PollUntil(done, context_.stream, kStepLimit, what);
}

Result<Decoder::StepGraphs> Decoder::Capture(int64_t m, StepTail tail) const {
  constexpr char kWhat[] = "decode graph";
  CUstream_st* stream = context_.stream;
  StepGraphs graphs;
  const bool cut = context_.hybrid != nullptr && context_.options.handshake == Handshake::kSegments;
  const auto next = [&](int64_t /*moe_layer*/) -> Status {
    QNEXT_ASSIGN_OR_RETURN(OwnedGraph graph, EndCapture(stream, kWhat, Status()));
    graphs.push_back(std::move(graph));
    return BeginCapture(stream, kWhat);
  };
  const Between between(next);
  QNEXT_RETURN_IF_ERROR(BeginCapture(stream, kWhat));
  const Status recorded = Record(m, tail, nullptr, 0, cut ? &between : nullptr);
  QNEXT_ASSIGN_OR_RETURN(OwnedGraph last, EndCapture(stream, kWhat, recorded));
  graphs.push_back(std::move(last));
  return graphs;
}

Status Decoder::LaunchAndServe(int64_t m, StepTail tail, const StepGraphs& graphs, const char* what) {
  HybridExperts* hybrid = context_.hybrid;
  const uint32_t step = step_ + 1;
  const auto serve = [&](int64_t layer) { return hybrid->Serve(layer, step, m); };
  const Between between(serve);
  if (graphs.empty()) QNEXT_RETURN_IF_ERROR(Record(m, tail, nullptr, 0, hybrid != nullptr ? &between : nullptr));
  for (size_t i = 0; i < graphs.size(); ++i) {
    QNEXT_RETURN_IF_ERROR(ToStatus(cudaGraphLaunch(graphs[i].get(), context_.stream), what));
    if (hybrid != nullptr && i + 1 < graphs.size()) QNEXT_RETURN_IF_ERROR(serve(static_cast<int64_t>(i)));
  }
  if (hybrid != nullptr && graphs.size() == 1) {
    for (int64_t layer = 0; layer < context_.plan.layers(); ++layer) QNEXT_RETURN_IF_ERROR(serve(layer));
  }
  step_ = step;
  return Await(m, what);
}

Status Decoder::RunStep(int64_t m, StepTail tail, const StepGraphs& graphs, const char* what) {
  HybridExperts* hybrid = context_.hybrid;
  if (hybrid == nullptr) return LaunchAndServe(m, tail, graphs, what);
  Status status = hybrid->PrepareStep();
  if (status.ok()) status = LaunchAndServe(m, tail, graphs, what);
  if (status.ok()) status = hybrid->EndStep(m);
  if (status.ok()) return status;
  // The GPU may be waiting for what will not come: it is told so, and runs on to the end of the step.
  hybrid->AbortStep();
  if (Synchronize(context_.stream, kStepLimit, what).ok()) {
    hybrid->Recover();
    (void)CatchUp();
  }
  return status;
}

Status Decoder::Step(std::span<const Row> rows, StepTail tail, std::span<int32_t> chosen) {
  const int64_t m = static_cast<int64_t>(rows.size());
  QNEXT_CHECK(m >= 1 && m <= context_.options.slots, "as many rows as there are slots");
  QNEXT_RETURN_IF_ERROR(Place(rows));
  placed_ = 0;  // until the step has succeeded
  const std::vector<StepGraphs>& graphs = tail == StepTail::kChoose ? choose_ : logits_;
  const StepGraphs none;
  QNEXT_RETURN_IF_ERROR(RunStep(m, tail, graphs.empty() ? none : graphs[static_cast<size_t>(m - 1)], "decode step"));
  if (tail == StepTail::kLogits) return Status();
  for (size_t r = 0; r < rows.size(); ++r) {
    chosen[r] = static_cast<int32_t>(static_cast<uint32_t>(Load(context_.host.results[r])));
    if (chosen[r] < 0) return Internal("logits: the model gave a NaN, an infinity, or no token to choose");
    rows_[r] = {.slot = rows[r].slot, .id = chosen[r], .position = rows[r].position + 1};
  }
  placed_ = m;
  return Status();
}

Result<int32_t> Decoder::ChooseFirst(int32_t slot) {
  const GpuRows& rows = context_.places.ws.decode_rows;
  const GpuBlock block = context_.Block(rows, 1, 1);
  // The position does not matter: the row is placed anew for the step that follows.
  QNEXT_RETURN_IF_ERROR(Place({{Row{.slot = slot, .id = 0, .position = -1}}}));
  placed_ = 0;
  QNEXT_RETURN_IF_ERROR(LaunchTail(block, StepTail::kChoose));
  ++step_;
  QNEXT_RETURN_IF_ERROR(Await(1, "the first token"));
  const int32_t token = static_cast<int32_t>(static_cast<uint32_t>(Load(context_.host.results[0])));
  if (token < 0) return Internal("logits: the model gave a NaN, an infinity, or no token to choose");
  return token;
}

}  // namespace qnext::cuda
