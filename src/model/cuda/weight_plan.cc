#include "model/cuda/weight_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "base/check.h"
#include "checkpoint/tensor_list.h"

namespace qnext {
namespace {

// The projections of an MLP in the order of the tensor list.
constexpr int kGate = 0, kUp = 1, kDown = 2;

std::string Prefix(const ExpectedTensor& module) { return module.name.substr(0, module.name.rfind('.')); }

// The layout that an int4 module will have, zero points included wherever the configuration allows them. Nothing if it
// is stored dense.
std::optional<Int4Layout> PackedLayout(const TensorSource& source, const ModelConfig& config,
                                       const ExpectedTensor& module) {
  const TensorInfo* scales = source.Find(module.name + ".scales");
  if (scales == nullptr || source.Find(module.name + ".qweight") == nullptr) return std::nullopt;
  const std::optional<GptqParams> params = config.quantization->ForModule(module.name);
  QNEXT_CHECK(params.has_value(), "CheckTensors has compared storage and configuration");
  const int64_t out = module.shape[0], in = module.shape[1], groups = scales->shape[0];
  Int4Layout layout{.out = out, .in = in, .has_zeros = !params->symmetric, .scale_dtype = scales->dtype};
  layout.group_size = groups == 1 ? layout.in_padded() : params->group_size;
  return layout;
}

bool ActOrder(const TensorSource& source, const ModelConfig& config, const ExpectedTensor& module) {
  const std::optional<GptqParams> params = config.quantization->ForModule(module.name);
  return params && params->desc_act && source.Find(module.name + ".g_idx") != nullptr;
}

}  // namespace

class WeightPlanner {
 public:
  WeightPlanner(const TensorSource& source, const ModelConfig& config, DenseWeights dense)
      : source_(source), config_(config), dense_(dense) {}

  Result<GpuWeightPlan> Run() {
    plan_.num_experts_ = config_.num_experts;
    plan_.hidden_size_ = config_.hidden_size;
    int64_t moe_layers = 0;
    for (const bool moe : config_.layer_is_moe) plan_.moe_layers_.push_back(moe ? moe_layers++ : -1);
    plan_.experts_.resize(static_cast<size_t>(moe_layers));

    const std::vector<ExpectedTensor> list = ExpectedTensors(config_);
    for (size_t i = 0; i < list.size(); ++i) {
      if (list[i].role == TensorRole::kLinear && list[i].name.ends_with(".gate_proj")) {
        QNEXT_CHECK(i + kDown < list.size(), "an MLP is listed as gate, up, down");
        QNEXT_RETURN_IF_ERROR(AddMlp(&list[i]));
        i += kDown;
      } else {
        AddTensor(list[i]);
      }
    }
    QNEXT_RETURN_IF_ERROR(PlaceSharedExperts());
    for (const ExpertLayout& layer : plan_.experts_) {
      plan_.slot_stride_ = std::max(plan_.slot_stride_, RoundUp(layer.bytes(), Arena::kAlignment));
    }
    return std::move(plan_);
  }

 private:
  // A shared expert that would fit a slot of its layer.
  struct Shared {
    std::string prefix;
    int64_t moe_layer;
    int64_t bytes;
    bool fits;
    std::vector<PlannedWeight> orders;
  };

  void Add(std::string name, WeightRole role, int64_t bytes) {
    plan_.weights_.push_back({.name = std::move(name), .role = role, .bytes = bytes});
  }

  void AddTensor(const ExpectedTensor& expected) {
    if (expected.role == TensorRole::kVector) {
      return Add(expected.name, WeightRole::kVector, expected.shape.Elements().value() * 4);
    }
    if (expected.role == TensorRole::kEmbedding) {
      return Add(expected.name, WeightRole::kEmbedding, source_.Find(expected.name)->bytes);
    }
    AddLinear(expected);
  }

  void AddLinear(const ExpectedTensor& module) {
    if (const std::optional<Int4Layout> packed = PackedLayout(source_, config_, module)) {
      Add(module.name, WeightRole::kLinear, packed->bytes());
      AddOrder(module);
      return;
    }
    const TensorInfo* weight = source_.Find(module.name + ".weight");
    const bool int8 = BecomesInt8(module, weight->dtype, dense_);
    Add(module.name, WeightRole::kLinear, int8 ? Int8LinearBytes(module.shape[0], module.shape[1]) : weight->bytes);
  }

  void AddOrder(const ExpectedTensor& module) {
    if (ActOrder(source_, config_, module)) Add(module.name + ".g_idx", WeightRole::kVector, module.shape[1] * 4);
  }

  int64_t LayerOf(const std::string& prefix) const {
    constexpr std::string_view kLayers = "model.layers.";
    return std::stoll(prefix.substr(kLayers.size()));
  }

  Status AddMlp(const ExpectedTensor* mlp) {
    const std::string prefix = Prefix(mlp[kGate]);
    std::optional<Int4Layout> layouts[3];
    for (int i = 0; i < 3; ++i) layouts[i] = PackedLayout(source_, config_, mlp[i]);
    const bool all_int4 = layouts[kGate] && layouts[kUp] && layouts[kDown];
    const int64_t moe_layer = plan_.moe_layers_[static_cast<size_t>(LayerOf(prefix))];
    if (prefix.find(".mlp.experts.") != std::string::npos) {
      for (int i = 0; i < 3; ++i) {
        if (!layouts[i]) {
          return Unsupported(
              fmt::format("{}: the CUDA engine runs int4 experts only; this one is not quantized", mlp[i].name));
        }
      }
      return AddExpert(mlp, *layouts[kGate], *layouts[kUp], *layouts[kDown], moe_layer);
    }
    if (!all_int4) {
      for (int i = 0; i < 3; ++i) AddLinear(mlp[i]);
      return Status();
    }
    const int64_t bytes = layouts[kGate]->bytes() + layouts[kUp]->bytes() + layouts[kDown]->bytes();
    std::vector<PlannedWeight> orders;
    for (const int i : {kGate, kUp}) {
      if (!ActOrder(source_, config_, mlp[i])) continue;
      orders.push_back({.name = mlp[i].name + ".g_idx", .role = WeightRole::kVector, .bytes = mlp[i].shape[1] * 4});
    }
    if (moe_layer < 0) {
      Add(prefix, WeightRole::kSharedExpert, bytes);
      plan_.weights_.insert(plan_.weights_.end(), orders.begin(), orders.end());
      return Status();
    }
    shared_.push_back({.prefix = prefix, .moe_layer = moe_layer, .bytes = bytes, .fits = false, .orders = orders});
    shared_layouts_.push_back({.gate_up = *layouts[kGate], .down = *layouts[kDown], .ordered = !orders.empty()});
    if (*layouts[kGate] != *layouts[kUp]) shared_layouts_.back().gate_up.out = 0;  // like no expert's
    return Status();
  }

  Status AddExpert(const ExpectedTensor* mlp, const Int4Layout& gate, const Int4Layout& up, const Int4Layout& down,
                   int64_t moe_layer) {
    if (gate != up) {
      return Unsupported(
          fmt::format("{}: the CUDA engine wants the format of gate_proj, with its groups and scales", mlp[kUp].name));
    }
    ExpertLayout& layer = plan_.experts_[static_cast<size_t>(moe_layer)];
    if (layer.gate_up.out == 0) layer = {.gate_up = gate, .down = down};
    for (const int i : {kGate, kDown}) {
      if ((i == kGate ? gate == layer.gate_up : down == layer.down)) continue;
      return Unsupported(fmt::format(
          "{}: the CUDA engine wants one format, with one size of groups, for all experts of a layer", mlp[i].name));
    }
    if (ActOrder(source_, config_, mlp[kGate]) || ActOrder(source_, config_, mlp[kUp])) {
      layer.ordered = true;
      plan_.ordered_experts_ = true;
    }
    return Status();
  }

  // All shared experts have slots, or none has: slots are numbered by layer.
  Status PlaceSharedExperts() {
    bool all = !shared_.empty() && shared_.size() == plan_.experts_.size();
    for (size_t i = 0; i < shared_.size(); ++i) {
      const ExpertLayout& layer = plan_.experts_[static_cast<size_t>(shared_[i].moe_layer)];
      all = all && shared_layouts_[i].gate_up == layer.gate_up && shared_layouts_[i].down == layer.down &&
            (!shared_layouts_[i].ordered || layer.ordered);
    }
    plan_.shared_in_slots_ = all;
    if (all) return Status();
    for (const Shared& shared : shared_) {
      Add(shared.prefix, WeightRole::kSharedExpert, shared.bytes);
      plan_.weights_.insert(plan_.weights_.end(), shared.orders.begin(), shared.orders.end());
    }
    return Status();
  }

  const TensorSource& source_;
  const ModelConfig& config_;
  const DenseWeights dense_;
  GpuWeightPlan plan_;
  std::vector<Shared> shared_;
  std::vector<ExpertLayout> shared_layouts_;
};

Result<GpuWeightPlan> GpuWeightPlan::Make(const TensorSource& source, const ModelConfig& config, DenseWeights dense) {
  return WeightPlanner(source, config, dense).Run();
}

GpuWeightPlaces GpuWeightPlaces::LayOut(const GpuWeightPlan& plan, EmbeddingPlace embedding, Arena& vram, Arena& host) {
  GpuWeightPlaces places;
  host.Begin("embedding");
  for (const PlannedWeight& weight : plan.weights()) {
    const bool is_embedding = weight.role == WeightRole::kEmbedding;
    Arena& arena = is_embedding && embedding == EmbeddingPlace::kHostMemory ? host : vram;
    arena.Begin(is_embedding ? "embedding" : weight.name == "lm_head" ? "output matrix" : "dense weights");
    places.weights[weight.name] = arena.TakeBytes(weight.bytes);
  }
  const int64_t moe_layers = static_cast<int64_t>(plan.experts().size());
  if (plan.all_resident()) {
    vram.Begin("experts");
    places.expert_slots = vram.TakeBytes(plan.slots() * plan.slot_stride());
  }
  vram.Begin("workspace");
  places.slot_map = vram.Take<int32_t>(moe_layers * plan.num_experts());
  if (plan.ordered_experts()) {
    const int64_t rows = moe_layers * (plan.num_experts() + 1);
    places.gate_orders = vram.Take<int32_t>(rows * plan.hidden_size());
    places.up_orders = vram.Take<int32_t>(rows * plan.hidden_size());
  }
  return places;
}

}  // namespace qnext
