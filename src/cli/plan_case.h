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
#include "model/cuda/weight_plan.h"
#include "model/forced_routing.h"
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
};

std::string KvName(KvType type);
Result<KvType> ParseKv(const std::string& name);  // "bf16", "fp8", "int8", "f32"
std::string DenseName(DenseChoice choice);
Result<DenseChoice> ParseDenseChoice(const std::string& name);  // "stored", "int8", "auto"

// As --machine names them: "laptop", "reference" or the path of a machine.json.
Result<MachineRates> LoadMachineRates(const std::string& name);

// A model known by its configuration and the headers of its tensors. Must outlive nothing; owns what it needs.
class PlanModel {
 public:
  // A checkpoint folder; every problem with its tensors is an error.
  static Result<PlanModel> FromFolder(const std::string& folder);
  // "80b-a" and its like, or the path of a config.json: as --synthetic runs them, the list of simulated routing
  // included.
  static Result<PlanModel> FromKind(const std::string& name);

  const std::string& name() const { return name_; }
  const ModelConfig& config() const { return config_; }

  // The plan of one case, with predictions for `machine` if it fits.
  // `measured`: also the bound of a run that did this.
  // Errors: what the GPU's kernels cannot run.
  Result<PlanReport> Plan(const PlanCase& options, const MachineRates& machine, int64_t threads,
                          const std::optional<MeasuredTraffic>& measured = std::nullopt) const;

 private:
  static Result<PlanModel> Make(std::string name, ModelConfig config, const TensorSource& source);
  bool Int8(const PlanCase& options, const MachineRates& machine) const;
  Result<MemoryPlan> Layout(const PlanCase& options, const MachineRates& machine) const;
  Result<std::vector<PlanAlternative>> Alternatives(const PlanCase& options, const MachineRates& machine) const;

  std::string name_;
  ModelConfig config_;
  WeightSizes stored_, int8_;                             // by dense weights
  std::optional<GpuWeightPlan> stored_plan_, int8_plan_;  // the same; always there
  int32_t vocab_end_ = 0;                                 // ids that can be chosen; 0: not known, and so all
  std::shared_ptr<const ForcedRouting> routing_;          // what synthetic weights run with; or null
};

}  // namespace qnext
