// The model on a GPU as the engine sees it: one sequence, in slot 0.
#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/check.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/synthetic.h"
#include "checkpoint/tensor_list.h"
#include "engine/device.h"
#include "hw/cuda/read_probe.h"
#include "model/cuda/cuda_model.h"
#include "model/cuda/step_profile.h"

namespace qnext {
namespace {

constexpr int64_t kSlot = 0;
constexpr std::chrono::microseconds kSpin{2000};

cuda::SamplingRow ToRow(const SamplingParams& params, uint64_t seed, uint64_t stream) {
  const bool penalizes =
      params.presence_penalty != 0 || params.frequency_penalty != 0 || params.repetition_penalty != 1;
  // More than all tokens is no limit, as engine/candidates.h has it.
  constexpr int64_t kNoLimit = 1 << 30;
  return {.seed = seed,
          .stream = stream,
          .drawn = 0,
          .temperature = params.temperature,
          .top_p = params.top_p,
          .min_p = params.min_p,
          .presence_penalty = params.presence_penalty,
          .frequency_penalty = params.frequency_penalty,
          .repetition_penalty = params.repetition_penalty,
          .top_k = params.top_k > 0 && params.top_k < kNoLimit ? static_cast<int32_t>(params.top_k) : 0,
          .penalizes = penalizes ? 1 : 0,
          .biased = params.logit_bias.empty() ? 0 : 1};
}

class CudaLanguageModel final : public LanguageModel {
 public:
  CudaLanguageModel(std::unique_ptr<ThreadPool> pool, std::unique_ptr<cuda::CudaModel> model)
      : pool_(std::move(pool)), model_(std::move(model)) {}

  int64_t vocab_size() const override { return model_->config().vocab_size; }
  int64_t context() const override { return model_->options().context; }
  void Reset() override { reset_ = model_->Reset(kSlot); }

  Status Forward(std::span<const int32_t> ids, std::span<float> logits,
                 const std::function<bool()>& cancelled) override {
    QNEXT_CHECK(static_cast<int64_t>(logits.size()) == vocab_size(), "a logit for each token of the vocabulary");
    QNEXT_RETURN_IF_ERROR(reset_);
    if (ids.size() == 1 && model_->tokens(kSlot) > 0) return model_->Decode({{Row(ids)}}, logits);
    return model_->Forward(kSlot, ids, {.logits = logits.data(), .logit_rows = 1}, cancelled);
  }

  // Log-probabilities need all logits of a place, so these are taken to the host and the Sampler.
  bool CanSample(const SamplingParams& params) const override { return !params.logprobs; }

  Status StartSampling(const SamplingParams& params, uint64_t seed, uint64_t stream,
                       std::span<const int32_t> prompt) override {
    QNEXT_RETURN_IF_ERROR(reset_);
    const std::vector<std::pair<int32_t, float>> bias(params.logit_bias.begin(), params.logit_bias.end());
    return model_->SetChoice(kSlot, {.row = ToRow(params, seed, stream), .seen = prompt, .bias = bias});
  }

  Result<int32_t> ForwardAndSample(std::span<const int32_t> ids, const std::function<bool()>& cancelled) override {
    QNEXT_RETURN_IF_ERROR(reset_);
    if (ids.size() != 1 || model_->tokens(kSlot) == 0) return model_->Prefill(kSlot, ids, cancelled);
    int32_t token = 0;
    QNEXT_RETURN_IF_ERROR(model_->DecodeAndChoose({{Row(ids)}}, {&token, 1}));
    return token;
  }

  Status ForwardAll(std::span<const int32_t> ids, const ForwardOutputs& outputs) override {
    QNEXT_RETURN_IF_ERROR(reset_);
    return model_->Forward(kSlot, ids, outputs);
  }

  std::optional<ExpertStats> expert_stats() const override {
    const ExpertStats* stats = model_->expert_stats();
    return stats != nullptr ? std::optional(*stats) : std::nullopt;
  }

  std::optional<ExpertCacheMemory> expert_cache() const override { return model_->expert_cache(); }
  Status ResizeExpertCache(int64_t bytes) override { return model_->ResizeExpertCache(bytes); }

  Result<StepTimes> Profile(int64_t context) override {
    QNEXT_RETURN_IF_ERROR(reset_);
    QNEXT_CHECK(context >= 1 && context <= this->context(), "tokens that the sequence can hold");
    QNEXT_ASSIGN_OR_RETURN(const cuda::StepProfile profile, model_->Profile(1, context));
    StepTimes times{.layers = model_->config().num_layers,
                    .context = profile.context,
                    .step_us = profile.step_us,
                    .read_bytes_per_second = profile.read_bytes_per_second,
                    .kernels = {}};
    for (const cuda::KernelShare& share : profile.kernels) {
      times.kernels.push_back({.name = std::string(cuda::StepKernelName(share.kernel)),
                               .launches = share.launches,
                               .bytes = share.bytes,
                               .us = share.us});
    }
    return times;
  }

 private:
  static cuda::CudaModel::Row Row(std::span<const int32_t> ids) { return {.slot = kSlot, .id = ids.front()}; }

  std::unique_ptr<ThreadPool> pool_;  // the CPU's part of a step; outlives the model
  std::unique_ptr<cuda::CudaModel> model_;
  Status reset_;  // of the last Reset, which cannot say so itself
};

Result<cuda::GpuInfo> FindGpu() { return cuda::ChooseGpu(cuda::ProbeGpus()); }

Status CheckOptions(const ModelLoadOptions& options) {
  if (options.model.activations != Activations::kInt8) {
    return Unsupported("activations: the CUDA engine has int8 only");
  }
  // A path of the CPU asks for the CPU, unless the GPU has been asked for, whose missing experts then take that path.
  if (options.reference_kernels || (options.isa && options.device != Device::kCuda)) {
    return Unsupported("cpu-isa: a CPU path has been asked for");
  }
  return {};
}

Result<DenseWeights> Decide(DenseChoice choice, const cuda::GpuInfo& gpu) {
  if (choice != DenseChoice::kAuto) return choice == DenseChoice::kInt8 ? DenseWeights::kInt8 : DenseWeights::kStored;
  QNEXT_ASSIGN_OR_RETURN(const double rate, cuda::ProbeReadRate(gpu));
  return rate < kAutoInt8Below ? DenseWeights::kInt8 : DenseWeights::kStored;
}

}  // namespace

bool HasCudaEngine() { return true; }

Result<std::string> DescribeGpu() {
  QNEXT_ASSIGN_OR_RETURN(const cuda::GpuInfo gpu, FindGpu());
  return fmt::format("{}, compute capability {}.{}, {}, at {}", gpu.name, gpu.major, gpu.minor,
                     FormatBytes(gpu.total_bytes), gpu.pci_bus_id);
}

Result<DeviceMemory> ReadDeviceMemory() {
  QNEXT_ASSIGN_OR_RETURN(const cuda::GpuInfo gpu, FindGpu());
  QNEXT_RETURN_IF_ERROR(cuda::UseGpu(gpu));
  QNEXT_ASSIGN_OR_RETURN(const cuda::GpuMemory memory, cuda::ReadGpuMemory());
  return DeviceMemory{.used = memory.total_bytes - memory.free_bytes, .total = memory.total_bytes};
}

Result<LoadedLanguageModel> LoadCudaLanguageModel(const ModelLoadOptions& options, const ModelConfig& config,
                                                  const SequenceLimits& limits, const LoadProgressCallback& progress) {
  QNEXT_RETURN_IF_ERROR(CheckOptions(options));
  QNEXT_ASSIGN_OR_RETURN(const cuda::GpuInfo gpu, FindGpu());
  std::optional<ForcedRouting> routing;
  if (options.routing != Routing::kReal) {
    if (options.synthetic.empty()) return InvalidArgument("routing: with a checkpoint the real router decides");
    routing.emplace(options.routing, config, options.synthetic_seed);
  }
  std::vector<std::string> warnings;
  QNEXT_ASSIGN_OR_RETURN(const Kernels* kernels, SelectCpuKernels(DetectCpuFeatures(), options.isa, &warnings));
  // Between two layers whose experts the CPU helps with, the GPU works for less than this.
  ThreadPoolOptions threads = options.threads;
  threads.spin = kSpin;
  auto pool = std::make_unique<ThreadPool>(threads);
  pool->PinCallingThread();
  QNEXT_ASSIGN_OR_RETURN(const DenseWeights dense, Decide(options.dense, gpu));
  const cuda::CudaModelOptions cuda_options{
      .kv_type = options.model.kv_type,
      .dense_weights = dense,
      .slots = 1,
      .context = limits.context,
      .max_block_tokens = options.block_tokens.value_or(kPromptBlock),
      .vocab_end = limits.vocab_end,
      .routing = routing ? &*routing : nullptr,
      .vram_bytes = options.vram_bytes,
      .cached_experts = options.cached_experts,
      .kernels = kernels,
      .fixed_fetch = options.fixed_fetch,
      .fetch_blocks = options.fetch_blocks,
      .handshake = options.handshake_segments ? cuda::Handshake::kSegments : cuda::Handshake::kGraph,
      .ram_bytes = options.ram_bytes};
  std::unique_ptr<cuda::CudaModel> model;
  if (!options.synthetic.empty()) {
    const SyntheticCheckpoint source(config, options.synthetic_seed);
    QNEXT_ASSIGN_OR_RETURN(model, cuda::CudaModel::Load(source, config, cuda_options, gpu, *pool, progress));
  } else {
    QNEXT_ASSIGN_OR_RETURN(const Checkpoint checkpoint, Checkpoint::Open(options.folder));
    QNEXT_RETURN_IF_ERROR(CheckTensors(checkpoint, config));
    QNEXT_ASSIGN_OR_RETURN(
        model, cuda::CudaModel::Load(CheckpointSource(checkpoint), config, cuda_options, gpu, *pool, progress));
    AddWeightWarnings(model->disputed_zeros(), options.folder, warnings);
  }
  for (std::string& warning : model->warnings()) warnings.push_back(std::move(warning));
  QNEXT_ASSIGN_OR_RETURN(std::string description, DescribeGpu());
  std::string used = fmt::format("cuda-{}.{}", gpu.major, gpu.minor);
  std::optional<int64_t> cached = model->memory().cached_experts;
  if (cached) used += fmt::format(", {}", kernels->name);
  std::vector<MemoryRow> rows;
  for (const ArenaRow& row : model->memory().vram) rows.push_back({row.name, row.bytes, Place::kVram});
  for (const ArenaRow& row : model->memory().host) rows.push_back({row.name, row.bytes, Place::kRam});
  DeviceInfo info{.device = "cuda",
                  .gpu = std::move(description),
                  .fallback = "",
                  .kernels = std::move(used),
                  .threads = pool->threads(),
                  .dense_weights = dense,
                  .weight_bytes = model->weight_bytes(),
                  .vram_bytes = model->memory().vram_bytes(),
                  .memory = std::move(rows),
                  .cached_experts = cached,
                  .warnings = std::move(warnings),
                  .simulated_routing = DescribeRouting(routing ? &*routing : nullptr, config)};
  return LoadedLanguageModel{.model = std::make_unique<CudaLanguageModel>(std::move(pool), std::move(model)),
                             .info = std::move(info)};
}

}  // namespace qnext
