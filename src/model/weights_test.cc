// What is wrong with the contents of tensors, found while they are loaded.
#include "model/weights.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "checkpoint/synthetic_testing.h"
#include "checkpoint/tensor_list.h"
#include "kernels/cpu/cpu_kernels.h"
#include "model/model.h"

namespace qnext {
namespace {

// A synthetic checkpoint with a NaN or an infinity at the given element of the given tensors.
class SpoiledSource final : public TensorSource {
 public:
  SpoiledSource(const ModelConfig& config, std::map<std::string, int64_t> spoiled)
      : good_(config, 5), spoiled_(std::move(spoiled)) {}

  const TensorInfo* Find(std::string_view name) const override { return good_.Find(name); }
  void ForEach(FunctionRef<void(const TensorInfo&)> visit) const override { good_.ForEach(visit); }
  int64_t total_bytes() const override { return good_.total_bytes(); }
  Status Read(const TensorInfo& tensor, std::span<std::byte> out) const override {
    QNEXT_RETURN_IF_ERROR(good_.Read(tensor, out));
    const auto found = spoiled_.find(tensor.name);
    if (found == spoiled_.end()) return Status();
    const uint16_t bad = tensor.dtype == DType::kF16 ? 0x7e00 : 0xff80;  // NaN, negative infinity
    const size_t size = static_cast<size_t>(DTypeSize(tensor.dtype));
    std::memcpy(out.data() + static_cast<size_t>(found->second + 1) * size - 2, &bad, 2);  // the upper half of an F32
    return Status();
  }

 private:
  SyntheticCheckpoint good_;
  std::map<std::string, int64_t> spoiled_;
};

std::string ErrorOfLoading(const ModelConfig& config, const std::map<std::string, int64_t>& spoiled,
                           DenseWeights dense = DenseWeights::kStored) {
  ThreadPool pool(2);
  const Result<const Kernels*> kernels = SelectCpuKernels(DetectCpuFeatures(), std::nullopt);
  const Result<std::unique_ptr<Model>> model =
      Model::LoadFrom(SpoiledSource(config, spoiled), config, {.dense_weights = dense}, **kernels, pool);
  return model.ok() ? "" : model.status().message();
}

TEST(LoadWeights, NamesEveryTensorWithSomethingNotFinite) {
  const ModelConfig config = SyntheticConfig(ReducedKind("80b-a-4layers")).value();
  EXPECT_EQ(ErrorOfLoading(config, {}), "");
  for (const DenseWeights dense : {DenseWeights::kStored, DenseWeights::kInt8}) {
    EXPECT_EQ(ErrorOfLoading(config,
                             {{"lm_head.weight", 512 * 256 - 1},
                              {"model.embed_tokens.weight", 0},
                              {"model.norm.weight", 255},
                              {"model.layers.0.linear_attn.A_log", 3},
                              {"model.layers.0.linear_attn.conv1d.weight", 4},
                              {"model.layers.0.linear_attn.in_proj_ba.weight", 257},
                              {"model.layers.2.mlp.experts.31.gate_proj.scales", 128},
                              {"model.layers.2.mlp.experts.31.down_proj.scales", 1},
                              {"model.layers.2.mlp.gate.weight", 256 * 31}},
                             dense),
              "9 problems with the contents of tensors:\n"
              "  model.embed_tokens.weight: the element at [0, 0] is not finite\n"
              "  model.layers.0.linear_attn.in_proj_ba.weight: the element at [1, 1] is not finite\n"
              "  model.layers.0.linear_attn.conv1d.weight: the element at [1, 0, 0] is not finite\n"
              "  model.layers.0.linear_attn.A_log: the element at [3] is not finite\n"
              "  model.layers.2.mlp.gate.weight: the element at [31, 0] is not finite\n"
              "  model.layers.2.mlp.experts.31.gate_proj.scales: the element at [1, 0] is not finite\n"
              "  model.layers.2.mlp.experts.31.down_proj.scales: the element at [0, 1] is not finite\n"
              "  model.norm.weight: the element at [255] is not finite\n"
              "  lm_head.weight: the element at [511, 255] is not finite");
  }
}

// One by one, so that none hides behind another; and more of them than are listed.
TEST(LoadWeights, LooksAtEveryFloatTensor) {
  const nlohmann::json half = {
      {"quantization_config", {{"dynamic", {{"-:.*layers\\.[01]\\..*", nlohmann::json::object()}}}}},
      {"num_experts", 4}};
  const ModelConfig config = SyntheticConfig(ReducedKind("80b-a-4layers", half)).value();
  std::map<std::string, int64_t> all;
  SyntheticCheckpoint(config, 5).ForEach([&](const TensorInfo& tensor) {
    if (IsFloat16Or32(tensor.dtype)) all[tensor.name] = *tensor.shape.Elements() - 1;
  });
  ASSERT_GT(all.size(), 100u);
  for (const auto& one : all) {
    const std::string error = ErrorOfLoading(config, {one});
    EXPECT_EQ(error.rfind("1 problem with the contents of tensors:\n  " + one.first + ": the element at [", 0), 0u)
        << one.first << " | " << error;
  }
  const std::string error = ErrorOfLoading(config, all);
  EXPECT_EQ(error.rfind(fmt::format("{} problems with the contents of tensors:\n", all.size()), 0), 0u) << error;
  EXPECT_EQ(std::count(error.begin(), error.end(), '\n'), 21);
  EXPECT_NE(error.find(fmt::format("\n  and {} more", all.size() - 20)), std::string::npos) << error;
}

}  // namespace
}  // namespace qnext
