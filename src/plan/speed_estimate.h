// How fast a plan could run, and what stops it: bytes over rates, as in the cost model of docs/memory-plan.md. Bounds,
// not promises: nothing can be faster; how near the program comes is measured.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "plan/machine_rates.h"
#include "plan/memory_plan.h"

namespace qnext {

// What one decoded token touches besides the weights.
struct DecodeTraffic {
  int64_t experts_per_token = 0;  // top, in each MoE layer
  int64_t kv_bytes_per_token = 0;
  int64_t context = 0;  // tokens already there, whose K and V are read
};

enum class Limit : uint8_t { kMisses, kGpuMemory, kOverhead, kLink, kCompute };
std::string_view LimitName(Limit limit);

enum class RoutingModel : uint8_t { kUniform, kRecency };

struct DecodeEstimate {
  double hit_share = 0;
  double missed_bytes = 0;    // per token
  double promoted_bytes = 0;  // per token, over the link, outside of what misses fetch
  // Seconds per token: experts that miss, on CPU and link together; what the GPU reads; the rest.
  double miss_seconds = 0, gpu_seconds = 0, overhead_seconds = 0;
  Limit limit = Limit::kOverhead;

  double seconds() const { return miss_seconds + gpu_seconds + overhead_seconds; }
  double tokens_per_second() const { return 1 / seconds(); }
};

DecodeEstimate EstimateDecode(const PlanRequest& request, const MemoryPlan& plan, const MachineRates& machine,
                              const DecodeTraffic& traffic, RoutingModel routing, int64_t threads);

// What a run was seen to do, per token: hits as a share of the choices, and experts copied into the cache beside those
// that were fetched within the step.
struct MeasuredTraffic {
  double hit_share = 0;
  double promotions = 0;
};

// The bound that a measured run is held against: (missed + promoted bytes) / (CPU + link together) + (dense + hit
// bytes) / GPU read rate + overhead. What was measured takes the place of the plan's cache and of any curve.
DecodeEstimate BoundOfRun(const PlanRequest& request, const MachineRates& machine, int64_t experts_per_token,
                          const MeasuredTraffic& traffic, int64_t threads);

struct PrefillEstimate {
  int64_t tokens = 0;
  double miss_seconds = 0;     // missing experts cross the link, once for every block
  double compute_seconds = 0;  // 0: the machine's rate is not known
  double gpu_seconds = 0;      // reading all weights once for every block
  Limit limit = Limit::kLink;

  double tokens_per_second() const;
};

struct PrefillTraffic {
  int64_t experts_per_token = 0;
  double flops_per_token = 0;
  int64_t block = 0;  // tokens that go through a layer together
};

// Missing experts cross the link while others are computed with: the longest of the parts.
PrefillEstimate EstimatePrefill(const PlanRequest& request, const MemoryPlan& plan, const MachineRates& machine,
                                const PrefillTraffic& traffic, int64_t tokens);

}  // namespace qnext
