#include "engine/model_loader.h"

#include <utility>

#include "checkpoint/checkpoint.h"
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

 private:
  const ModelConfig& config() const { return model_.model().config(); }

  mutable LoadedModel model_;
  std::unique_ptr<SequenceState> state_;
};

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

std::unique_ptr<LanguageModel> MakeLanguageModel(LoadedModel model, int64_t context) {
  return std::make_unique<CpuLanguageModel>(std::move(model), context);
}

}  // namespace qnext
