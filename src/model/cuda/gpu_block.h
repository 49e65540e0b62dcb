// What one call of the forward pass on a GPU needs in every layer, and how it launches.
#pragma once

#include <cstdint>
#include <string_view>
#include <type_traits>

#include "base/function_ref.h"
#include "base/status.h"
#include "config/model_config.h"
#include "kernels/cuda/launch.h"
#include "model/cuda/gpu_state.h"
#include "model/cuda/gpu_workspace.h"
#include "model/cuda/weight_plan.h"
#include "model/weights.h"

namespace qnext::cuda {

// The launches of a step by what they do, for the table of where its time goes.
enum class StepKernel : uint8_t {
  kSlotMap,
  kEmbedding,
  kRopeTable,
  kListedExperts,
  kNorm,
  kOrderInputs,
  kDeltaInputs,
  kDeltaRule,
  kDeltaNorm,
  kDeltaOutput,
  kAttentionInputs,
  kKeysAndValues,
  kAttention,
  kAttentionOutput,
  kRouterLogits,
  kRouter,
  kFetch,
  kExperts,
  kAwaitCpu,
  kMlpInputs,
  kMlpActivation,
  kMlpOutput,
  kLogits,
  kSample,
  kFinish,
};
constexpr int kStepKernels = static_cast<int>(StepKernel::kFinish) + 1;
std::string_view StepKernelName(StepKernel kernel);

// Watches the launches of a step.
class StepObserver {
 public:
  virtual ~StepObserver() = default;
  // Before a launch that reads and writes `bytes` of weights and state (activations, which stay in the cache, do not
  // count). False leaves the launch out.
  virtual bool Admit(StepKernel kernel, int64_t bytes) = 0;
};

class HybridExperts;
class PromptExperts;

// Experts that are not all in GPU memory; both null where they are. A decode step goes through `step`, a prompt's block
// through `prompt`.
struct PartialExperts {
  HybridExperts* step = nullptr;
  PromptExperts* prompt = nullptr;
  // Called in each layer between the launches that post its misses and the one that waits for the CPU; null: nothing
  // happens there.
  const FunctionRef<Status(int64_t moe_layer)>* between = nullptr;
};

// m rows: one token each of several sequences (decode), or several tokens of one (prefill).
struct GpuBlock {
  const ModelConfig& config;
  const ModelWeights& weights;
  const GpuWeightPlan& plan;
  const GpuWeightPlaces& places;
  const GpuState& state;
  const GpuWorkspace& ws;
  GpuRows rows;
  int64_t m = 0;  // sequences * tokens()
  int64_t sequences = 0;
  // [moe layers, m, top] replaces the routers' choice; null: they choose.
  const int32_t* forced = nullptr;
  Stream stream = nullptr;
  PartialExperts partial = {};
  StepObserver* observer = nullptr;
  int64_t context = 0;  // tokens that attention looks back on, for the observer alone

  int64_t tokens() const { return m / sequences; }
  float eps() const { return static_cast<float>(config.rms_norm_eps); }

  // Whether the observer lets a launch through.
  bool Admits(StepKernel kernel, int64_t bytes = 0) const {
    return observer == nullptr || observer->Admit(kernel, bytes);
  }

  template <typename Args>
  Status Run(StepKernel kernel, int64_t bytes, Status (*launch)(const Args&, Stream),
             const std::type_identity_t<Args>& args) const {
    if (!Admits(kernel, bytes)) return Status();
    return launch(args, stream);
  }
};

// Rows of activations as linears read them.
struct GpuInput {
  const float* x = nullptr;  // [m, width]
  int64_t width = 0;
  Int8Rows codes = {};  // the same in int8; codes null where no linear asks for them
};

// Which forms of their common input the linears read.
struct InputForms {
  bool floats = false;
  bool codes = false;
};
InputForms FormsFor(std::initializer_list<const Linear*> linears);

// y = input · weightᵀ for linears that read the same rows, in one launch for each weight format among them. Linears
// with an order of inputs of their own get it here.
struct GpuProduct {
  const Linear* weight = nullptr;
  float* y = nullptr;  // [m, out]
};
Status RunProducts(const GpuBlock& block, StepKernel kernel, const GpuInput& input,
                   std::initializer_list<GpuProduct> products);

// Bytes of a linear's weights.
int64_t WeightBytes(const Linear& linear);

// Row views of what a stage gives out: codes only where wanted.
inline Int8Rows CodesIf(bool wanted, const Int8Rows& rows) { return wanted ? rows : Int8Rows{}; }
inline float* FloatsIf(bool wanted, float* rows) { return wanted ? rows : nullptr; }

}  // namespace qnext::cuda
