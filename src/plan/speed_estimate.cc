#include "plan/speed_estimate.h"

#include <algorithm>
#include <cmath>

#include "base/range.h"
#include "plan/hit_curve.h"

namespace qnext {
namespace {

// Everything that every token reads from VRAM.
double DenseBytes(const WeightSizes& weights) {
  return static_cast<double>(weights.dense_bytes() + (weights.tied ? weights.embedding_bytes : 0));
}

Limit LongestPart(const DecodeEstimate& estimate) {
  const double most = std::max({estimate.miss_seconds, estimate.gpu_seconds, estimate.overhead_seconds});
  if (most == estimate.miss_seconds) return Limit::kMisses;
  return most == estimate.gpu_seconds ? Limit::kGpuMemory : Limit::kOverhead;
}

}  // namespace

std::string_view LimitName(Limit limit) {
  switch (limit) {
    case Limit::kMisses:
      return "experts that miss (CPU and PCIe)";
    case Limit::kGpuMemory:
      return "GPU memory";
    case Limit::kOverhead:
      return "handshakes and launches";
    case Limit::kLink:
      return "PCIe";
    case Limit::kCompute:
      return "GPU arithmetic";
  }
  return "unknown";
}

DecodeEstimate EstimateDecode(const PlanRequest& request, const MemoryPlan& plan, const MachineRates& machine,
                              const DecodeTraffic& traffic, RoutingModel routing, int64_t threads) {
  const double choices = static_cast<double>(request.weights.moe_layers * traffic.experts_per_token);
  const auto expert = static_cast<double>(request.weights.expert_bytes);
  const MachineRates::SharedRate both = machine.Both(threads);
  const double cached = plan.cached_share();

  DecodeEstimate estimate;
  estimate.overhead_seconds = machine.step_overhead;
  const auto with_hits = [&](double hits) {
    estimate.hit_share = hits;
    estimate.missed_bytes = (1 - hits) * choices * expert;
    // Without fetch slots the CPU has them all.
    const double rate = plan.fetch_slots > 0 ? both.cpu + both.link : machine.MemoryRead(threads);
    estimate.miss_seconds = estimate.missed_bytes / rate;
    // Recurrent states are read and written.
    const double gpu_bytes = DenseBytes(request.weights) + hits * choices * expert +
                             2 * static_cast<double>(request.sizes.state_bytes) +
                             static_cast<double>(traffic.context * traffic.kv_bytes_per_token);
    estimate.gpu_seconds = gpu_bytes / machine.gpu_read;
  };
  with_hits(UniformHitShare(cached));
  if (routing == RoutingModel::kRecency && cached > 0 && choices > 0) {
    // Hits are bought with what crosses the link in a step; how long a step is depends on the hits. The map is monotone
    // and flat enough that halving the way converges.
    double kept = 0;
    for (int i = 0; i < 60; ++i) {
      with_hits(RecencyHitShare(cached, kept));
      const double crossing = std::min(machine.link * estimate.seconds(), estimate.missed_bytes);
      kept += 0.5 * (crossing / (choices * expert) - kept);
    }
    const double fetched = plan.fetch_slots > 0 ? both.link * estimate.miss_seconds : 0;
    estimate.promoted_bytes = std::max(0.0, kept * choices * expert - fetched);
  }
  estimate.limit = LongestPart(estimate);
  return estimate;
}

DecodeEstimate BoundOfRun(const PlanRequest& request, const MachineRates& machine, int64_t experts_per_token,
                          const MeasuredTraffic& traffic, int64_t threads) {
  const auto expert = static_cast<double>(request.weights.expert_bytes);
  const double chosen = static_cast<double>(request.weights.moe_layers * experts_per_token) * expert;
  const MachineRates::SharedRate both = machine.Both(threads);
  DecodeEstimate estimate{.hit_share = traffic.hit_share,
                          .missed_bytes = (1 - traffic.hit_share) * chosen,
                          .promoted_bytes = traffic.promotions * expert};
  estimate.miss_seconds = (estimate.missed_bytes + estimate.promoted_bytes) / (both.cpu + both.link);
  estimate.gpu_seconds = (DenseBytes(request.weights) + traffic.hit_share * chosen) / machine.gpu_read;
  estimate.overhead_seconds = machine.step_overhead;
  estimate.limit = LongestPart(estimate);
  return estimate;
}

double PrefillEstimate::tokens_per_second() const {
  return static_cast<double>(tokens) / std::max({miss_seconds, compute_seconds, gpu_seconds});
}

PrefillEstimate EstimatePrefill(const PlanRequest& request, const MemoryPlan& plan, const MachineRates& machine,
                                const PrefillTraffic& traffic, int64_t tokens) {
  const WeightSizes& weights = request.weights;
  PrefillEstimate estimate{.tokens = tokens};
  const double share =
      weights.experts > 0 ? static_cast<double>(traffic.experts_per_token) / static_cast<double>(weights.experts) : 0;
  for (int64_t done = 0; done < tokens; done += traffic.block) {
    const auto block = static_cast<double>(std::min(traffic.block, tokens - done));
    // Experts that at least one token of the block chose.
    const double used = static_cast<double>(weights.routed_experts()) * (1 - std::pow(1 - share, block)) *
                        static_cast<double>(weights.expert_bytes);
    estimate.miss_seconds += (1 - plan.cached_share()) * used / machine.link;
    estimate.gpu_seconds += (used + DenseBytes(weights)) / machine.gpu_read;
  }
  if (machine.matmul_flops > 0) {
    estimate.compute_seconds = traffic.flops_per_token * static_cast<double>(tokens) / machine.matmul_flops;
  }
  const double most = std::max({estimate.miss_seconds, estimate.compute_seconds, estimate.gpu_seconds});
  estimate.limit = most == estimate.miss_seconds      ? Limit::kLink
                   : most == estimate.compute_seconds ? Limit::kCompute
                                                      : Limit::kGpuMemory;
  return estimate;
}

}  // namespace qnext
