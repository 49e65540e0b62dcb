// One case of qnext plan: options as given, the plan and what it would give.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "checkpoint/tensor_source.h"
#include "config/model_config.h"
#include "kernels/kv_page.h"
#include "plan/machine_rates.h"
#include "plan/plan_report.h"
#include "plan/weight_sizes.h"

namespace qnext {

struct PlanCase {
  int64_t vram = 0, ram = 0;
  int64_t ctx = 0;
  KvType kv = KvType::kBF16;
  DenseChoice dense = DenseChoice::kStored;
  int64_t parallel = 1;
  int64_t prefix_store = 0;
};

std::string KvName(KvType type);
Result<KvType> ParseKv(const std::string& name);  // "bf16", "fp8", "int8", "f32"
std::string DenseName(DenseChoice choice);
Result<DenseChoice> ParseDenseChoice(const std::string& name);  // "stored", "int8", "auto"

// A model known by its configuration and the headers of its tensors. Must outlive nothing; owns what it needs.
class PlanModel {
 public:
  // A checkpoint folder; every problem with its tensors is an error.
  static Result<PlanModel> FromFolder(const std::string& folder);
  // "80b-a" and its like, or the path of a config.json.
  static Result<PlanModel> FromKind(const std::string& name);

  const std::string& name() const { return name_; }
  const ModelConfig& config() const { return config_; }

  // The plan of one case, with predictions for `machine` if it fits.
  // `measured`: also the bound of a run that did this.
  PlanReport Plan(const PlanCase& options, const MachineRates& machine, int64_t threads,
                  const std::optional<MeasuredTraffic>& measured = std::nullopt) const;

 private:
  static Result<PlanModel> Make(std::string name, ModelConfig config, const TensorSource& source);
  PlanRequest Request(const PlanCase& options, const MachineRates& machine) const;
  std::vector<PlanAlternative> Alternatives(const PlanCase& options, const MachineRates& machine,
                                            const MemoryPlan& plan) const;

  std::string name_;
  ModelConfig config_;
  WeightSizes stored_, int8_;  // by dense weights
};

}  // namespace qnext
