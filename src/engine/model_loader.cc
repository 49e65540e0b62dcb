#include "engine/model_loader.h"

#include <cmath>
#include <utility>

#include "checkpoint/checkpoint.h"
#include "engine/device.h"
#include "hw/cpu_features.h"

namespace qnext {
namespace {

class CpuLanguageModel : public LanguageModel {
 public:
  CpuLanguageModel(LoadedModel model, int64_t context)
      : model_(std::move(model)), state_(model_.model().NewSequence(context)) {}

  int64_t vocab_size() const override { return config().vocab_size; }
  int64_t context() const override { return state_->max_tokens(); }
  void Reset() override { state_->Reset(); }

  Status Forward(std::span<const int32_t> ids, std::span<float> logits,
                 const std::function<bool()>& cancelled) override {
    QNEXT_CHECK(static_cast<int64_t>(logits.size()) == vocab_size(), "a logit for each token of the vocabulary");
    const ForwardOutputs outputs{.logits = logits.data(), .logit_rows = 1};
    return model_.model().Forward(ids, *state_, outputs, cancelled);
  }

  Status ForwardAll(std::span<const int32_t> ids, const ForwardOutputs& outputs) override {
    return model_.model().Forward(ids, *state_, outputs);
  }

 private:
  const ModelConfig& config() const { return model_.model().config(); }

  mutable LoadedModel model_;
  std::unique_ptr<SequenceState> state_;
};

// What a GPU cannot do, or not now; not what is wrong with the checkpoint.
bool MayFallBack(const Status& status) {
  return status.code() == StatusCode::kUnavailable || status.code() == StatusCode::kUnsupported ||
         status.code() == StatusCode::kResourceExhausted;
}

Result<const Kernels*> ChooseKernels(const ModelLoadOptions& options) {
  if (options.reference_kernels) return &ReferenceKernels();
  return SelectCpuKernels(DetectCpuFeatures(), options.isa);
}

}  // namespace

Result<LoadedModel> LoadedModel::Load(const ModelLoadOptions& options, const ModelConfig& config,
                                      const LoadProgressCallback& progress) {
  LoadedModel loaded;
  QNEXT_ASSIGN_OR_RETURN(loaded.kernels_, ChooseKernels(options));
  const bool synthetic = !options.synthetic.empty();
  ModelOptions model = options.model;
  if (options.routing != Routing::kReal) {
    if (!synthetic) return InvalidArgument("routing: with a checkpoint the real router decides");
    loaded.routing_ = std::make_unique<ForcedRouting>(options.routing, config, options.synthetic_seed);
    model.routing = loaded.routing_.get();
  }
  const auto start_pool = [&] {
    loaded.pool_ = std::make_unique<ThreadPool>(options.threads);
    loaded.pool_->PinCallingThread();
  };
  if (synthetic) {
    start_pool();
    const SyntheticCheckpoint source(config, options.synthetic_seed);
    QNEXT_ASSIGN_OR_RETURN(loaded.model_,
                           Model::LoadFrom(source, config, model, *loaded.kernels_, *loaded.pool_, progress));
    return loaded;
  }
  QNEXT_ASSIGN_OR_RETURN(const Checkpoint checkpoint, Checkpoint::Open(options.folder));
  start_pool();
  QNEXT_ASSIGN_OR_RETURN(loaded.model_,
                         Model::Load(checkpoint, config, model, *loaded.kernels_, *loaded.pool_, progress));
  return loaded;
}

std::optional<SimulatedRouting> DescribeRouting(const ForcedRouting* routing, const ModelConfig& config) {
  if (routing == nullptr) return std::nullopt;
  return SimulatedRouting{.kind = routing->kind(),
                          .entropy_bits = routing->EntropyBits(),
                          .most_bits = std::log2(static_cast<double>(config.num_experts))};
}

std::optional<Device> ParseDevice(std::string_view name) {
  if (name == "cpu") return Device::kCpu;
  if (name == "cuda") return Device::kCuda;
  return std::nullopt;
}

Result<LoadedLanguageModel> LoadLanguageModel(const ModelLoadOptions& options, const ModelConfig& config,
                                              const SequenceLimits& limits, const LoadProgressCallback& progress) {
  std::string fallback;
  if (options.device == Device::kCuda || (options.device == Device::kAuto && HasCudaEngine())) {
    Result<LoadedLanguageModel> loaded = LoadCudaLanguageModel(options, config, limits, progress);
    if (loaded.ok()) return loaded;
    if (options.device == Device::kCuda) return loaded.status().WithContext("device cuda");
    if (!MayFallBack(loaded.status())) return loaded.status();
    fallback = loaded.status().message();
  }
  QNEXT_ASSIGN_OR_RETURN(LoadedModel loaded, LoadedModel::Load(options, config, progress));
  DeviceInfo info{.device = "cpu",
                  .gpu = "",
                  .fallback = std::move(fallback),
                  .kernels = loaded.kernels().name,
                  .threads = loaded.threads(),
                  .weight_bytes = loaded.model().weight_bytes(),
                  .vram_bytes = 0,
                  .simulated_routing = DescribeRouting(loaded.routing(), config)};
  return LoadedLanguageModel{.model = std::make_unique<CpuLanguageModel>(std::move(loaded), limits.context),
                             .info = std::move(info)};
}

}  // namespace qnext
