#include "model/cuda/cuda_model.h"

#include <cuda_runtime_api.h>
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/bytes.h"
#include "base/check.h"
#include "hw/available_memory.h"
#include "hw/cuda/buffers.h"
#include "hw/cuda/chunked_range.h"
#include "hw/cuda/cuda_status.h"
#include "hw/cuda/wait.h"
#include "model/cuda/decoder.h"
#include "model/cuda/gpu_context.h"
#include "model/cuda/gpu_weights.h"
#include "model/cuda/hybrid_experts.h"
#include "model/cuda/prefill.h"
#include "model/cuda/prompt_experts.h"
#include "model/cuda/step_profile.h"
#include "model/rope.h"

namespace qnext::cuda {
namespace {

// Left to the driver and to others on the same card, where no budget says how much is ours.
constexpr int64_t kVramMargin = int64_t{256} << 20;

// In order with the stream; `values` may go as soon as this returns.
template <typename T>
Status Upload(T* to, const std::vector<T>& values, CUstream_st* stream, const char* what) {
  if (values.empty()) return Status();
  return ToStatus(cudaMemcpyAsync(to, values.data(), values.size() * sizeof(T), cudaMemcpyHostToDevice, stream), what);
}

// Refuses before anything is read what would not fit the bound, or end in swapping.
Status CheckRam(int64_t bytes, std::optional<int64_t> bound) {
  const AvailableMemory available = GetAvailableMemory();
  if (bound && bytes > *bound) {
    return ResourceExhausted(
        fmt::format("--ram: routed experts, buffers and the program need {}, which is {} more than the {} given",
                    FormatBytes(bytes), FormatBytes(bytes - *bound), FormatBytes(*bound)));
  }
  if (bytes <= available.bytes) return Status();
  return ResourceExhausted(fmt::format("RAM: routed experts, buffers and the program need {}, and {} has {} left",
                                       FormatBytes(bytes), available.limit, FormatBytes(available.bytes)));
}

}  // namespace

struct CudaModel::Impl {
  Impl(GpuContext c, CudaMemoryPlan m, const GpuInfo& g)
      : context(std::move(c)), memory(std::move(m)), gpu(g), tokens(static_cast<size_t>(context.options.slots)) {}

  Status TakeMemory();
  Status TakeSlots();
  Status LoadAll(const TensorSource& source, ThreadPool& pool,
                 const std::function<void(const LoadProgress&)>& progress);
  Status FillTables();
  Status WarmUp();
  Status ClearState(int64_t slot);
  Status Run(PrefillArgs args);
  // Every call goes through this: a GPU that has failed stays failed.
  template <typename Body>
  Status Call(const Body& body);

  GpuContext context;  // first made, last gone
  CudaMemoryPlan memory;
  GpuInfo gpu;
  DeviceBuffer vram;
  ChunkedRange slots;              // of experts, where not all are in GPU memory: what stays, then the cache's chunks
  int64_t first_cache_bytes = -1;  // of the cache that the GPU seems to have room for now; -1: all
  PinnedBuffer embedding, host;
  OwnedStream stream;
  std::unique_ptr<HybridExperts> hybrid;
  std::unique_ptr<PromptExperts> prompt;
  std::unique_ptr<Decoder> decoder;
  std::vector<int32_t> used;    // [layers, E] scratch: how often a prompt chose each expert
  std::vector<int64_t> tokens;  // [slots] in each sequence
  Status broken;
};

CudaModel::CudaModel(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
CudaModel::~CudaModel() {
  if (impl_->stream == nullptr) return;
  // Nothing may be freed while it is in use; a GPU that has failed or hangs is not waited for.
  (void)UseGpu(impl_->gpu);
  if (impl_->broken.ok()) (void)Synchronize(impl_->stream.get(), kStepLimit, "shutdown");
}

const ModelConfig& CudaModel::config() const { return impl_->context.config; }
const CudaModelOptions& CudaModel::options() const { return impl_->context.options; }
const CudaMemoryPlan& CudaModel::memory() const { return impl_->memory; }
const GpuInfo& CudaModel::gpu() const { return impl_->gpu; }
int64_t CudaModel::disputed_zeros() const { return impl_->context.weights.disputed_zeros; }

const ExpertStats* CudaModel::expert_stats() const {
  return impl_->hybrid != nullptr ? &impl_->hybrid->stats() : nullptr;
}

std::optional<ExpertCacheMemory> CudaModel::expert_cache() const {
  if (impl_->hybrid == nullptr) return std::nullopt;
  const GpuWeightPlan& plan = impl_->context.plan;
  return ExpertCacheMemory{.planned_bytes = plan.geometry().BytesFor(plan.cache_slots()),
                           .bytes = impl_->hybrid->cache_bytes(),
                           .planned_experts = plan.cache_slots(),
                           .experts = impl_->hybrid->cache().slots().mapped_slots(),
                           .chunk_bytes = plan.geometry().chunk_bytes()};
}

Status CudaModel::ResizeExpertCache(int64_t bytes) {
  if (impl_->hybrid == nullptr) return Unsupported("all experts are in GPU memory: there is no cache to resize");
  return impl_->Call([&] { return impl_->hybrid->ResizeCache(bytes); });
}

std::vector<std::string> CudaModel::warnings() const {
  std::vector<std::string> warnings;
  if (impl_->hybrid == nullptr) return warnings;
  if (const ExpertCacheMemory cache = *expert_cache(); cache.bytes < cache.planned_bytes) {
    warnings.push_back(
        fmt::format("GPU memory is short: the expert cache was planned with {} ({} experts) and has got {} ({}); "
                    "/admin/vram takes more once it is free",
                    FormatBytes(cache.planned_bytes), cache.planned_experts, FormatBytes(cache.bytes), cache.experts));
  }
  if (!impl_->hybrid->pinned()) {
    warnings.push_back(
        "the system does not let the routed experts be pinned (see ulimit -l): nothing is fetched within a step, and "
        "prompts are slower");
  }
  if (!impl_->hybrid->store().huge_pages()) {
    warnings.push_back("the system has no huge pages for the routed experts: the CPU reads them more slowly");
  }
  return warnings;
}

int64_t CudaModel::weight_bytes() const {
  const GpuWeightPlan& plan = impl_->context.plan;
  int64_t bytes = plan.layers() * plan.slots_per_layer() * plan.slot_stride();
  for (const PlannedWeight& weight : plan.weights()) bytes += weight.bytes;
  return bytes;
}
int64_t CudaModel::tokens(int64_t slot) const { return impl_->tokens[static_cast<size_t>(slot)]; }

Result<std::unique_ptr<CudaModel>> CudaModel::Load(const TensorSource& source, const ModelConfig& config,
                                                   const CudaModelOptions& options, const GpuInfo& gpu,
                                                   ThreadPool& pool,
                                                   const std::function<void(const LoadProgress&)>& progress) {
  QNEXT_RETURN_IF_ERROR(CheckOptions(options));
  QNEXT_ASSIGN_OR_RETURN(GpuWeightPlan weights, GpuWeightPlan::Make(source, config, options.dense_weights));
  const CudaModelOptions complete = Complete(options, config);
  QNEXT_ASSIGN_OR_RETURN(CudaMemoryPlan memory, PlanMemory(config, complete, weights, options.vram_bytes, "--vram"));
  QNEXT_RETURN_IF_ERROR(OpenGpu(gpu));
  QNEXT_ASSIGN_OR_RETURN(const GpuMemory now, ReadGpuMemory());
  // The context is there already; its row in the plan stands for code and graphs to come, too.
  const int64_t free = now.free_bytes - (options.vram_bytes ? 0 : kVramMargin) + kContextBytes;
  int64_t first_cache_bytes = -1;
  if (memory.vram_bytes() > free) {
    QNEXT_ASSIGN_OR_RETURN(GpuWeightPlan fitting, GpuWeightPlan::Make(source, config, options.dense_weights));
    CudaModelOptions any_cache = complete;
    any_cache.cached_experts.reset();
    QNEXT_ASSIGN_OR_RETURN(CudaMemoryPlan fits, PlanMemory(config, any_cache, fitting, free, "GPU memory"));
    if (memory.cached_experts) {
      // Others hold what was meant for the cache: its addresses stay as planned, and their memory can come later.
      first_cache_bytes = fitting.all_resident() ? 0 : fitting.geometry().BytesFor(fitting.cache_slots());
    } else {
      weights = std::move(fitting);
      memory = std::move(fits);
    }
  }
  if (memory.cached_experts) {
    if (options.kernels == nullptr) return InvalidArgument("kernels: experts in RAM need those of a CPU");
    QNEXT_RETURN_IF_ERROR(CheckRam(memory.host_bytes(), options.ram_bytes));
  }
  GpuContext context{.config = config, .options = complete, .plan = std::move(weights)};
  auto impl = std::make_unique<Impl>(std::move(context), std::move(memory), gpu);
  impl->first_cache_bytes = first_cache_bytes;
  QNEXT_RETURN_IF_ERROR(impl->TakeMemory());
  QNEXT_RETURN_IF_ERROR(impl->LoadAll(source, pool, progress));
  QNEXT_RETURN_IF_ERROR(impl->FillTables());
  QNEXT_RETURN_IF_ERROR(impl->WarmUp());
  impl->context.options.routing = nullptr;  // the caller's; its list has been copied
  return std::unique_ptr<CudaModel>(new CudaModel(std::move(impl)));
}

Status CudaModel::Impl::TakeMemory() {
  const ModelConfig& config = context.config;
  Arena count_vram, count_embedding, count_host;
  LayOutModel(config, context.options, context.plan, memory.embedding, count_vram, count_embedding);
  LayOutHost(config, context.options, context.plan, count_host);
  QNEXT_ASSIGN_OR_RETURN(stream, MakeStream());
  context.stream = stream.get();
  QNEXT_ASSIGN_OR_RETURN(vram, DeviceBuffer::Allocate(count_vram.used(), "the model"));
  QNEXT_ASSIGN_OR_RETURN(embedding, PinnedBuffer::Allocate(count_embedding.used(), "the embedding"));
  QNEXT_ASSIGN_OR_RETURN(host, PinnedBuffer::Allocate(count_host.used(), "transfer buffers"));

  Arena vram_arena(vram.data(), vram.bytes()), embedding_arena(embedding.data(), embedding.bytes()),
      host_arena(host.data(), host.bytes());
  context.places = LayOutModel(config, context.options, context.plan, memory.embedding, vram_arena, embedding_arena);
  context.host = LayOutHost(config, context.options, context.plan, host_arena);
  QNEXT_RETURN_IF_ERROR(
      ToStatus(cudaMemsetAsync(vram.data(), 0, static_cast<size_t>(vram.bytes()), context.stream), "GPU memory"));
  if (!context.plan.all_resident()) QNEXT_RETURN_IF_ERROR(TakeSlots());
  return Synchronize(context.stream, kBlockLimit, "GPU memory");  // the loader has streams of its own
}

Status CudaModel::Impl::TakeSlots() {
  const GpuWeightPlan& plan = context.plan;
  std::vector<int64_t> pieces = {plan.fixed_slot_bytes()};
  for (int64_t chunk = 0; chunk < plan.cache_chunks(); ++chunk) {
    pieces.push_back(plan.geometry().BytesFor(plan.chunk_slots(chunk)));
  }
  QNEXT_ASSIGN_OR_RETURN(slots, ChunkedRange::Reserve(gpu, pieces, "slots for experts"));
  QNEXT_RETURN_IF_ERROR(slots.Map(0));
  QNEXT_RETURN_IF_ERROR(ToStatus(
      cudaMemsetAsync(slots.data(), 0, static_cast<size_t>(plan.fixed_slot_bytes()), context.stream), "GPU memory"));
  // The cache begins on a page; what lies before it is numbered back from there.
  context.places.weights.expert_slots =
      slots.data() + plan.fixed_slot_bytes() - plan.first_cache_slot() * plan.slot_stride();
  int64_t mapped = 0;
  for (int64_t piece = 1; piece < slots.chunks(); ++piece) {
    mapped += slots.chunk_bytes(piece);
    if (first_cache_bytes >= 0 && mapped > first_cache_bytes) break;
    const Status status = slots.Map(piece);
    if (status.ok()) continue;
    if (status.code() != StatusCode::kResourceExhausted) return status;
    // Somebody has just taken what was free. The code of kernels and graphs, still to come, needs room, too.
    int64_t left = 0;
    while (--piece > 0 && left < kContextBytes) {
      left += slots.chunk_bytes(piece);
      QNEXT_RETURN_IF_ERROR(slots.Unmap(piece));
    }
    break;
  }
  return Status();
}

Status CudaModel::Impl::LoadAll(const TensorSource& source, ThreadPool& pool,
                                const std::function<void(const LoadProgress&)>& progress) {
  ExpertStore store;
  const GpuWeightPlan& plan = context.plan;
  if (!plan.all_resident()) {
    QNEXT_ASSIGN_OR_RETURN(store, ExpertStore::Make(plan.layers(), plan.num_experts(), plan.slot_stride()));
  }
  GpuWeightMemory target(gpu, plan, context.places.weights, memory.embedding, plan.all_resident() ? nullptr : &store);
  QNEXT_RETURN_IF_ERROR(target.FillOrders());
  QNEXT_RETURN_IF_ERROR(
      LoadWeights(source, context.config, context.options.dense_weights, target, pool, progress, context.weights));
  QNEXT_RETURN_IF_ERROR(target.Finish());
  if (plan.all_resident()) return Status();

  const CudaModelOptions& options = context.options;
  QNEXT_ASSIGN_OR_RETURN(hybrid, HybridExperts::Make(gpu, context.config, plan,
                                                     {.kernels = options.kernels,
                                                      .pool = &pool,
                                                      .rows = options.slots,
                                                      .fixed_fetch = options.fixed_fetch,
                                                      .fetch_blocks = options.fetch_blocks.value_or(kFetchBlocks),
                                                      .pin = options.pin_experts,
                                                      .promotions = options.promotions,
                                                      .wait_limit = options.wait_limit,
                                                      .before_serving = options.before_serving},
                                                     context.places.weights, context.places.hybrid, context.host.mail,
                                                     std::move(store), slots, context.stream));
  QNEXT_ASSIGN_OR_RETURN(prompt, PromptExperts::Make(plan, context.places.weights, context.places.hybrid,
                                                     context.host.mail, *hybrid, context.stream));
  context.hybrid = hybrid.get();
  context.prompt = prompt.get();
  used.resize(static_cast<size_t>(plan.layers() * plan.num_experts()));
  return Status();
}

Status CudaModel::Impl::FillTables() {
  if (context.plan.all_resident())
    QNEXT_RETURN_IF_ERROR(FillResidentSlotMap(context.plan, context.places.weights, context.stream));
  const RopeFrequencies rope(context.config);
  std::vector<double> frequencies;
  for (int64_t i = 0; i < rope.count(); ++i) frequencies.push_back(rope.At(i));
  QNEXT_RETURN_IF_ERROR(Upload(context.places.ws.rope_frequencies, frequencies, context.stream, "rope frequencies"));

  const GpuState& state = context.places.state;
  std::vector<int32_t> pages;
  for (int64_t slot = 0; slot < state.slots; ++slot) {
    for (int64_t page = 0; page < state.max_pages; ++page) pages.push_back(state.OwnPage(slot, page));
  }
  QNEXT_RETURN_IF_ERROR(Upload(state.page_table, pages, context.stream, "page table"));

  const ForcedRouting* routing = context.options.routing;
  if (routing == nullptr) return Status();
  std::vector<uint16_t> choices;
  for (int64_t layer = 0; layer < routing->layers(); ++layer) {
    for (int64_t position = 0; position < routing->positions(); ++position) {
      const auto* chosen = routing->At(layer, position);
      for (int64_t i = 0; i < routing->top(); ++i) choices.push_back(static_cast<uint16_t>(chosen[i]));
    }
  }
  return Upload(context.places.routing, choices, context.stream, "simulated routing");
}

Status CudaModel::Impl::WarmUp() {
  // Kernels are loaded when they are launched first: a block too large for the decode kernels, then the steps.
  const int64_t block = std::min({context.options.context, context.options.max_block_tokens, 2 * kMaxDecodeRows});
  const std::vector<int32_t> ids(static_cast<size_t>(block));
  QNEXT_RETURN_IF_ERROR(RunPrefill(context, {.ids = ids, .outputs = {}, .want_last = true}));
  decoder = std::make_unique<Decoder>(context);
  QNEXT_RETURN_IF_ERROR(decoder->Prepare());
  for (int64_t slot = 0; slot < context.options.slots; ++slot) QNEXT_RETURN_IF_ERROR(ClearState(slot));
  return Synchronize(context.stream, kBlockLimit, "the first decode steps");
}

Status CudaModel::Impl::ClearState(int64_t slot) {
  const GpuState& state = context.places.state;
  const auto clear = [&](float* from, int64_t floats) {
    return ToStatus(
        cudaMemsetAsync(from + slot * floats, 0, static_cast<size_t>(floats) * sizeof(float), context.stream),
        "state of a sequence");
  };
  if (state.layout.linear_layers == 0) return Status();
  QNEXT_RETURN_IF_ERROR(clear(state.matrices, state.matrices_stride()));
  return clear(state.history, state.history_stride());
}

template <typename Body>
Status CudaModel::Impl::Call(const Body& body) {
  if (!broken.ok()) return broken;
  QNEXT_RETURN_IF_ERROR(UseGpu(gpu));
  const Status status = body();
  if (status.ok() || status.code() == StatusCode::kCancelled) return status;
  // Whether the GPU is at fault: then its stream says so, or does not end.
  if (const Status after = Synchronize(context.stream, kStepLimit, "GPU"); !after.ok()) broken = status;
  decoder->ForgetRows();
  return status;
}

Status CudaModel::Reset(int64_t slot) {
  return impl_->Call([&] {
    impl_->tokens[static_cast<size_t>(slot)] = 0;
    return impl_->ClearState(slot);
  });
}

Status CudaModel::Impl::Run(PrefillArgs args) {
  const int64_t total = static_cast<int64_t>(args.ids.size());
  int64_t& held = tokens[static_cast<size_t>(args.slot)];
  for (const int32_t id : args.ids) {
    QNEXT_CHECK(id >= 0 && id < context.config.vocab_size, "a token id outside the vocabulary");
  }
  if (held + total > context.options.context) {
    return ResourceExhausted(
        fmt::format("{} tokens do not fit into the context of {}", held + total, context.options.context));
  }
  args.start = held;
  std::ranges::fill(used, 0);
  args.used = used;
  QNEXT_RETURN_IF_ERROR(RunPrefill(context, args));
  held += total;
  return hybrid != nullptr && total > 1 && context.options.promotions ? hybrid->Seed(used, total) : Status();
}

Status CudaModel::Forward(int64_t slot, std::span<const int32_t> ids, const ForwardOutputs& outputs,
                          const std::function<bool()>& cancelled) {
  return impl_->Call([&] {
    return impl_->Run({.slot = static_cast<int32_t>(slot), .ids = ids, .outputs = outputs, .cancelled = &cancelled});
  });
}

Result<int32_t> CudaModel::Prefill(int64_t slot, std::span<const int32_t> ids, const std::function<bool()>& cancelled) {
  int32_t token = 0;
  const Status status = impl_->Call([&] {
    QNEXT_RETURN_IF_ERROR(impl_->Run(
        {.slot = static_cast<int32_t>(slot), .ids = ids, .outputs = {}, .want_last = true, .cancelled = &cancelled}));
    QNEXT_ASSIGN_OR_RETURN(token, impl_->decoder->ChooseFirst(static_cast<int32_t>(slot)));
    return Status();
  });
  QNEXT_RETURN_IF_ERROR(status);
  return token;
}

namespace {

// Where each row goes; an error if a sequence is full.
Status ToDecoderRows(std::span<const CudaModel::Row> rows, std::span<const int64_t> tokens, int64_t context,
                     std::span<Decoder::Row> out) {
  QNEXT_CHECK(!rows.empty() && rows.size() <= tokens.size(), "a row for each of some slots");
  for (size_t r = 0; r < rows.size(); ++r) {
    const int64_t held = tokens[static_cast<size_t>(rows[r].slot)];
    if (held + 1 > context) {
      return ResourceExhausted(fmt::format("{} tokens do not fit into the context of {}", held + 1, context));
    }
    out[r] = {.slot = static_cast<int32_t>(rows[r].slot), .id = rows[r].id, .position = static_cast<int32_t>(held)};
  }
  return Status();
}

}  // namespace

Status CudaModel::Decode(std::span<const Row> rows, std::span<float> logits) {
  const size_t vocab = static_cast<size_t>(impl_->context.config.vocab_size);
  QNEXT_CHECK(logits.size() == rows.size() * vocab, "logits for each row");
  return impl_->Call([&] {
    std::array<Decoder::Row, kMaxDecodeRows> placed;
    QNEXT_RETURN_IF_ERROR(ToDecoderRows(rows, impl_->tokens, impl_->context.options.context, placed));
    QNEXT_RETURN_IF_ERROR(impl_->decoder->Step({placed.data(), rows.size()}, StepTail::kLogits, {}));
    for (const Row& row : rows) ++impl_->tokens[static_cast<size_t>(row.slot)];
    std::copy_n(impl_->context.host.logits, logits.size(), logits.begin());
    return Status();
  });
}

Status CudaModel::DecodeAndChoose(std::span<const Row> rows, std::span<int32_t> chosen) {
  return impl_->Call([&] {
    std::array<Decoder::Row, kMaxDecodeRows> placed;
    QNEXT_RETURN_IF_ERROR(ToDecoderRows(rows, impl_->tokens, impl_->context.options.context, placed));
    QNEXT_RETURN_IF_ERROR(impl_->decoder->Step({placed.data(), rows.size()}, StepTail::kChoose, chosen));
    for (const Row& row : rows) ++impl_->tokens[static_cast<size_t>(row.slot)];
    return Status();
  });
}

Status CudaModel::SetChoice(int64_t slot, const TokenChoice& choice) {
  return impl_->Call([&] {
    const GpuContext& context = impl_->context;
    const GpuWorkspace& ws = context.places.ws;
    const int64_t vocab = context.options.vocab_end, at = slot * vocab;
    QNEXT_RETURN_IF_ERROR(Upload(ws.sampling + slot, std::vector{choice.row}, context.stream, "sampling"));
    if (choice.row.penalizes != 0) {
      std::vector<uint8_t> seen(static_cast<size_t>(vocab));
      for (const int32_t id : choice.seen) {
        if (id >= 0 && id < vocab) seen[static_cast<size_t>(id)] = 1;
      }
      QNEXT_RETURN_IF_ERROR(Upload(ws.seen + at, seen, context.stream, "sampling"));
      QNEXT_RETURN_IF_ERROR(ToStatus(
          cudaMemsetAsync(ws.answer_counts + at, 0, static_cast<size_t>(vocab) * 4, context.stream), "sampling"));
    }
    if (choice.row.biased == 0) return Status();
    std::vector<float> bias(static_cast<size_t>(vocab));
    for (const auto& [id, value] : choice.bias) {
      if (id >= 0 && id < vocab) bias[static_cast<size_t>(id)] = value;
    }
    return Upload(ws.bias + at, bias, context.stream, "sampling");
  });
}

Result<StepProfile> CudaModel::Profile(int64_t m, int64_t context) {
  QNEXT_CHECK(m >= 1 && m <= options().slots && context >= 1 && context <= options().context, "rows that there are");
  StepProfile profile;
  const Status status = impl_->Call([&] {
    std::ranges::fill(impl_->tokens, 0);
    QNEXT_ASSIGN_OR_RETURN(profile, MeasureStep(impl_->context, *impl_->decoder, m, context));
    return Status();
  });
  QNEXT_RETURN_IF_ERROR(status);
  return profile;
}

}  // namespace qnext::cuda
