#include "plan/weight_sizes.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string>
#include <string_view>

#include "base/range.h"
#include "checkpoint/tensor_list.h"
#include "quant/int4_matrix.h"
#include "quant/int8_matrix.h"

namespace qnext {
namespace {

constexpr int64_t kPieceAlign = 64;

struct Linear {
  int64_t bytes = 0;
  int64_t order_bytes = 0;  // of the order of its inputs
  bool int4 = false;
};

Component ComponentFor(const ExpectedTensor& expected) {
  return ComponentOf(expected.role == TensorRole::kLinear ? expected.name + ".weight" : expected.name);
}

class Sizer {
 public:
  Sizer(const TensorSource& source, const ModelConfig& config, DenseWeights dense)
      : source_(source), config_(config), dense_(dense) {}

  Result<WeightSizes> Run() {
    sizes_.tied = config_.tie_word_embeddings;
    sizes_.moe_layers = std::ranges::count(config_.layer_is_moe, true);
    sizes_.experts = config_.num_experts;
    const std::vector<ExpectedTensor> list = ExpectedTensors(config_);
    for (size_t i = 0; i < list.size();) {
      const bool routed = ComponentFor(list[i]) == Component::kRoutedExperts;
      QNEXT_RETURN_IF_ERROR(routed ? AddExpert(&list[i]) : AddDense(list[i]));
      i += routed ? 3 : 1;
    }
    for (size_t component = 0; component < bytes_.size(); ++component) {
      if (bytes_[component] > 0) sizes_.dense.push_back({static_cast<Component>(component), bytes_[component]});
    }
    return std::move(sizes_);
  }

 private:
  Result<const TensorInfo*> Get(const std::string& name) const {
    const TensorInfo* info = source_.Find(name);
    if (info == nullptr) return Corrupt(name + ": missing");
    return info;
  }

  Status AddDense(const ExpectedTensor& expected) {
    if (expected.role == TensorRole::kLinear) {
      QNEXT_ASSIGN_OR_RETURN(const Linear linear, SizeOf(expected));
      Add(ComponentFor(expected), RoundUp(linear.bytes, kPieceAlign) + RoundUp(linear.order_bytes, kPieceAlign));
      return Status();
    }
    QNEXT_ASSIGN_OR_RETURN(const TensorInfo* info, Get(expected.name));
    if (expected.role == TensorRole::kEmbedding) {
      sizes_.embedding_bytes = RoundUp(info->bytes, kPieceAlign);
    } else {
      // Kept as float32.
      Add(ComponentFor(expected), RoundUp(info->shape.Elements().value_or(0) * 4, kPieceAlign));
    }
    return Status();
  }

  // gate, up and down of one expert.
  Status AddExpert(const ExpectedTensor* gate_up_down) {
    int64_t bytes = 0;
    for (int i = 0; i < 3; ++i) {
      QNEXT_ASSIGN_OR_RETURN(const Linear linear, SizeOf(gate_up_down[i]));
      if (!linear.int4) {
        return Unsupported(gate_up_down[i].name + ": routed experts must be int4 to be planned for");
      }
      bytes += linear.bytes;
      // down's order is folded into the rows of gate and up (docs/int4-layout.md).
      if (i < 2) sizes_.order_bytes += RoundUp(linear.order_bytes, kPieceAlign);
    }
    if (sizes_.expert_bytes == 0) sizes_.expert_bytes = bytes;
    if (bytes != sizes_.expert_bytes) {
      return Unsupported(fmt::format("{}: its expert takes {} bytes, others take {}: all must be quantized alike",
                                     gate_up_down[0].name, bytes, sizes_.expert_bytes));
    }
    return Status();
  }

  Result<Linear> SizeOf(const ExpectedTensor& expected) const {
    const int64_t out = expected.shape[0], in = expected.shape[1];
    const TensorInfo* scales = source_.Find(expected.name + ".scales");
    if (scales == nullptr) {
      QNEXT_ASSIGN_OR_RETURN(const TensorInfo* weight, Get(expected.name + ".weight"));
      const bool int8 = BecomesInt8(expected, weight->dtype, dense_);
      return Linear{.bytes = int8 ? Int8LinearBytes(out, in) : weight->bytes, .order_bytes = 0, .int4 = false};
    }
    const std::optional<GptqParams> params =
        config_.quantization ? config_.quantization->ForModule(expected.name) : std::nullopt;
    if (!params) return Corrupt(expected.name + ".scales: the configuration does not have this module quantized");
    Int4Layout layout = {.out = out,
                         .in = in,
                         .group_size = params->group_size,
                         .has_zeros = !params->symmetric,
                         .scale_dtype = scales->dtype};
    if (layout.group_size < 0 || layout.group_size >= in) layout.group_size = layout.in_padded();
    if (scales->shape.rank() != 2 || layout.groups() != scales->shape[0]) {
      return Corrupt(fmt::format("{}.scales: has shape {}, but the configuration says groups of {}", expected.name,
                                 scales->shape.ToString(), params->group_size));
    }
    const bool ordered = params->desc_act && source_.Find(expected.name + ".g_idx") != nullptr;
    return Linear{.bytes = layout.bytes(), .order_bytes = ordered ? in * 4 : 0, .int4 = true};
  }

  void Add(Component component, int64_t bytes) { bytes_[static_cast<size_t>(component)] += bytes; }

  const TensorSource& source_;
  const ModelConfig& config_;
  DenseWeights dense_;
  WeightSizes sizes_;
  std::array<int64_t, kComponents> bytes_ = {};
};

}  // namespace

int64_t WeightSizes::dense_bytes() const {
  int64_t sum = 0;
  for (const ComponentBytes& component : dense) sum += component.bytes;
  return sum;
}

bool BecomesInt8(const ExpectedTensor& expected, DType stored, DenseWeights dense) {
  if (dense != DenseWeights::kInt8 || expected.role != TensorRole::kLinear) return false;
  if (stored != DType::kBF16 && stored != DType::kF16) return false;
  const Component component = ComponentFor(expected);
  return component != Component::kRouters && component != Component::kRoutedExperts;
}

int64_t LoadingBytes(const TensorSource& source, const ModelConfig& config, DenseWeights dense) {
  int64_t bytes = source.total_bytes(), largest = 0;
  for (const ExpectedTensor& expected : ExpectedTensors(config)) {
    const TensorInfo* weight = source.Find(expected.name + ".weight");
    if (weight == nullptr || !BecomesInt8(expected, weight->dtype, dense)) continue;
    bytes += Int8LinearBytes(expected.shape[0], expected.shape[1]) - weight->bytes;
    largest = std::max(largest, weight->bytes);
  }
  return bytes + largest;
}

int64_t Int8LinearBytes(int64_t out, int64_t in) { return Int8Layout{.out = out, .in = in}.bytes(); }

Result<WeightSizes> WeightSizesOf(const TensorSource& source, const ModelConfig& config, DenseWeights dense) {
  return Sizer(source, config, dense).Run();
}

}  // namespace qnext
