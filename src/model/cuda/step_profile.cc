#include "model/cuda/step_profile.h"

#include <cuda_runtime_api.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "hw/cuda/cuda_status.h"
#include "hw/cuda/read_probe.h"
#include "hw/cuda/timer.h"
#include "hw/cuda/wait.h"
#include "model/cuda/decoder.h"
#include "model/cuda/gpu_context.h"

namespace qnext::cuda {
namespace {

constexpr int kReplays = 41;

// Counts the launches of each kind, or leaves one kind out.
class LaunchCount final : public StepObserver {
 public:
  bool Admit(StepKernel kernel, int64_t bytes) override {
    KernelShare& share = shares_[static_cast<size_t>(kernel)];
    share.kernel = kernel;
    ++share.launches;
    share.bytes += bytes;
    return true;
  }
  const std::array<KernelShare, kStepKernels>& shares() const { return shares_; }

 private:
  std::array<KernelShare, kStepKernels> shares_ = {};
};

// Leaves out one kind after another.
class Remaining final : public StepObserver {
 public:
  bool Admit(StepKernel kernel, int64_t /*bytes*/) override { return !left_out_[static_cast<size_t>(kernel)]; }
  void LeaveOut(StepKernel kernel) { left_out_[static_cast<size_t>(kernel)] = true; }

 private:
  std::array<bool, kStepKernels> left_out_ = {};
};

// The median time of a step as `observer` lets it through.
Result<double> TimeStep(const GpuContext& context, const Decoder& decoder, int64_t m, int64_t tokens,
                        StepObserver* observer) {
  QNEXT_ASSIGN_OR_RETURN(const OwnedGraph graph, CaptureGraph(context.stream, "step to be timed", [&] {
                           return decoder.Record(m, StepTail::kChoose, observer, tokens);
                         }));
  QNEXT_ASSIGN_OR_RETURN(const std::vector<double> microseconds, TimeRuns(context.stream, kReplays, [&] {
                           return ToStatus(cudaGraphLaunch(graph.get(), context.stream), "step to be timed");
                         }));
  return Median(microseconds);
}

// The largest stretch that a step's weights lie in.
Result<double> ReadRate(const GpuContext& context) {
  constexpr int64_t kEnough = int64_t{4} << 30;
  const int64_t experts = context.plan.slots() * context.plan.slot_stride();
  const GpuState& state = context.places.state;
  const int64_t matrices = state.slots * state.matrices_stride() * 4;
  if (experts >= matrices) {
    return MeasureReadRate(context.places.weights.expert_slots, std::min(experts, kEnough), context.stream);
  }
  return MeasureReadRate(reinterpret_cast<const std::byte*>(state.matrices), matrices, context.stream);
}

}  // namespace

double StepProfile::rest_us() const {
  double rest = step_us;
  for (const KernelShare& share : kernels) rest -= share.us;
  return rest;
}

Result<StepProfile> MeasureStep(const GpuContext& context, Decoder& decoder, int64_t m, int64_t context_tokens) {
  if (context.hybrid != nullptr) {
    return Unsupported("profile: a step that leaves kernels out cannot wait for the CPU; needs all experts on the GPU");
  }
  // Replays move the positions on; every timing begins where the first did, and none runs past the context.
  const int64_t first = std::min(context_tokens, context.options.context - kReplays - 1) - 1;
  if (first < 0) {
    return InvalidArgument(fmt::format("profile: needs a context of at least {} tokens", kReplays + 2));
  }
  StepProfile profile{.rows = m, .context = first + 1};
  QNEXT_ASSIGN_OR_RETURN(profile.read_bytes_per_second, ReadRate(context));

  const auto place = [&] {
    std::array<Decoder::Row, kMaxDecodeRows> rows = {};
    for (int32_t r = 0; r < m; ++r) {
      rows[static_cast<size_t>(r)] = {.slot = r, .id = 0, .position = static_cast<int32_t>(first)};
    }
    decoder.ForgetRows();
    return decoder.Place({rows.data(), static_cast<size_t>(m)});
  };
  LaunchCount count;
  QNEXT_RETURN_IF_ERROR(place());
  QNEXT_ASSIGN_OR_RETURN(profile.step_us, TimeStep(context, decoder, m, profile.context, &count));
  for (const KernelShare& share : count.shares()) {
    if (share.launches > 0) profile.kernels.push_back(share);
  }
  // Twice from the whole step to none of its kernels, from the first kind on and from the last.
  const size_t kinds = profile.kernels.size();
  for (const bool forwards : {true, false}) {
    Remaining remaining;
    double before = profile.step_us;
    for (size_t i = 0; i < kinds; ++i) {
      KernelShare& share = profile.kernels[forwards ? i : kinds - 1 - i];
      remaining.LeaveOut(share.kernel);
      QNEXT_RETURN_IF_ERROR(place());
      QNEXT_ASSIGN_OR_RETURN(const double without, TimeStep(context, decoder, m, profile.context, &remaining));
      share.us += (before - without) / 2;
      before = without;
    }
  }
  QNEXT_RETURN_IF_ERROR(decoder.CatchUp());
  return profile;
}

}  // namespace qnext::cuda
