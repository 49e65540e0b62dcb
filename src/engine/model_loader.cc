#include "engine/model_loader.h"

#include <fmt/format.h>

#include <cmath>
#include <new>
#include <system_error>
#include <utility>

#include "checkpoint/checkpoint.h"
#include "engine/device.h"
#include "hw/available_memory.h"
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

Result<const Kernels*> ChooseKernels(const ModelLoadOptions& options, std::vector<std::string>& warnings) {
  if (options.reference_kernels) return &ReferenceKernels();
  return SelectCpuKernels(DetectCpuFeatures(), options.isa, &warnings);
}

// What is wrong with a tensor names its module; with a shard, the shard's path, which the folder's path begins.
Status BeginWith(const std::string& folder, const Status& status) {
  return status.message().starts_with(folder) ? status : status.WithContext(folder);
}

// Refuses before anything is read what would end in swapping, or in the kernel's choice of a victim. Packed int4
// weights take as many bytes as stored ones, within a percent.
Status CheckMemory(int64_t weight_bytes, std::optional<int64_t> bound) {
  if (bound && weight_bytes > *bound) {
    return ResourceExhausted(fmt::format("--ram: the weights need {} bytes, which is {} more than the {} given",
                                         weight_bytes, weight_bytes - *bound, *bound));
  }
  const AvailableMemory available = GetAvailableMemory();
  if (weight_bytes <= available.bytes) return {};
  return ResourceExhausted(fmt::format("the weights need {} bytes of RAM ({:.2f} GiB), and {} has {} ({:.2f} GiB) left",
                                       weight_bytes, static_cast<double>(weight_bytes) / (1 << 30), available.limit,
                                       available.bytes, static_cast<double>(available.bytes) / (1 << 30)));
}

}  // namespace

Result<LoadedModel> LoadedModel::Load(const ModelLoadOptions& options, const ModelConfig& config,
                                      const LoadProgressCallback& progress) {
  LoadedModel loaded;
  QNEXT_ASSIGN_OR_RETURN(loaded.kernels_, ChooseKernels(options, loaded.warnings_));
  const bool synthetic = !options.synthetic.empty();
  ModelOptions model = options.model;
  model.max_block_tokens = options.block_tokens.value_or(model.max_block_tokens);
  model.dense_weights = options.dense == DenseChoice::kInt8 ? DenseWeights::kInt8 : DenseWeights::kStored;
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
    const SyntheticCheckpoint source(config, options.synthetic_seed);
    QNEXT_RETURN_IF_ERROR(CheckMemory(LoadingBytes(source, config, model.dense_weights), options.ram_bytes));
    start_pool();
    QNEXT_ASSIGN_OR_RETURN(loaded.model_,
                           Model::LoadFrom(source, config, model, *loaded.kernels_, *loaded.pool_, progress));
    return loaded;
  }
  QNEXT_ASSIGN_OR_RETURN(const Checkpoint checkpoint, Checkpoint::Open(options.folder));
  const int64_t bytes = LoadingBytes(CheckpointSource(checkpoint), config, model.dense_weights);
  QNEXT_RETURN_IF_ERROR(CheckMemory(bytes, options.ram_bytes).WithContext(options.folder));
  start_pool();
  Result<std::unique_ptr<Model>> made =
      Model::Load(checkpoint, config, model, *loaded.kernels_, *loaded.pool_, progress);
  if (!made.ok()) return BeginWith(options.folder, made.status());
  loaded.model_ = std::move(made).value();
  AddWeightWarnings(loaded.model_->disputed_zeros(), options.folder, loaded.warnings_);
  return loaded;
}

void AddWeightWarnings(int64_t disputed_zeros, const std::string& folder, std::vector<std::string>& warnings) {
  if (disputed_zeros == 0) return;
  warnings.push_back(
      fmt::format("{}: {} zero points are stored as 15 in checkpoint_format \"gptq\", about which writers disagree; "
                  "they are read as 0",
                  folder, disputed_zeros));
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

namespace {

Result<LoadedLanguageModel> LoadOnADevice(const ModelLoadOptions& options, const ModelConfig& config,
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
                  .dense_weights = options.dense == DenseChoice::kInt8 ? DenseWeights::kInt8 : DenseWeights::kStored,
                  .weight_bytes = loaded.model().weight_bytes(),
                  .vram_bytes = 0,
                  .memory = {},
                  .cached_experts = std::nullopt,
                  .warnings = loaded.warnings(),
                  .simulated_routing = DescribeRouting(loaded.routing(), config)};
  return LoadedLanguageModel{.model = std::make_unique<CpuLanguageModel>(std::move(loaded), limits.context),
                             .info = std::move(info)};
}

// The weights had room when loading began: buffers and the stacks of threads took it, or another program did.
Status OutOfMemory(const ModelLoadOptions& options, const ModelConfig& config) {
  const AvailableMemory available = GetAvailableMemory();
  const bool synthetic = !options.synthetic.empty();
  int64_t bytes = 0;
  if (synthetic) {
    bytes = SyntheticCheckpoint(config, options.synthetic_seed).total_bytes();
  } else if (const Result<Checkpoint> checkpoint = Checkpoint::Open(options.folder); checkpoint.ok()) {
    bytes = CheckpointSource(*checkpoint).total_bytes();
  }
  return ResourceExhausted(fmt::format(
      "{}: no memory for weights of {} bytes, the buffers and {} threads (--threads); without them {} has {} bytes",
      synthetic ? options.synthetic : options.folder, bytes, options.threads.threads, available.limit,
      available.bytes));
}

}  // namespace

Result<LoadedLanguageModel> LoadLanguageModel(const ModelLoadOptions& options, const ModelConfig& config,
                                              const SequenceLimits& limits, const LoadProgressCallback& progress) {
  try {
    return LoadOnADevice(options, config, limits, progress);
  } catch (const std::bad_alloc&) {
    return OutOfMemory(options, config);
  } catch (const std::system_error& error) {
    return ResourceExhausted(fmt::format("threads: the system does not start {} threads: {}", options.threads.threads,
                                         error.code().message()));
  }
}

}  // namespace qnext
