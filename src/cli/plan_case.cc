#include "cli/plan_case.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "base/bytes.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/synthetic.h"
#include "checkpoint/tensor_list.h"
#include "model/device_sizes.h"

namespace qnext {
namespace {

constexpr std::array<std::pair<const char*, KvType>, 4> kKvNames = {
    {{"bf16", KvType::kBF16}, {"fp8", KvType::kF8E4M3}, {"int8", KvType::kInt8}, {"f32", KvType::kF32}}};
constexpr std::array<std::pair<const char*, DenseChoice>, 3> kDenseNames = {
    {{"stored", DenseChoice::kStored}, {"int8", DenseChoice::kInt8}, {"auto", DenseChoice::kAuto}}};

// Where the GPU reads slower than this, int8 pays.
constexpr int64_t kFetchSlots = 2;  // of each MoE layer, where anything is fetched at all
constexpr std::array<int64_t, 4> kPromptTokens = {512, 2048, 8192, 32768};

// "15 GiB" for whole units, bytes for everything else: what --vram and its like would take.
std::string SizeOption(int64_t bytes) {
  constexpr int64_t kGiB = int64_t{1} << 30, kMiB = int64_t{1} << 20;
  if (bytes == 0) return "0";
  if (bytes % kGiB == 0) return fmt::format("{}GiB", bytes / kGiB);
  if (bytes % kMiB == 0) return fmt::format("{}MiB", bytes / kMiB);
  return std::to_string(bytes);
}

}  // namespace

std::string KvName(KvType type) {
  for (const auto& [name, value] : kKvNames) {
    if (value == type) return name;
  }
  return "";
}

Result<KvType> ParseKv(const std::string& name) {
  for (const auto& [known, value] : kKvNames) {
    if (name == known) return value;
  }
  return InvalidArgument(fmt::format("--kv: bf16, fp8, int8 or f32, not \"{}\"", name));
}

std::string DenseName(DenseChoice choice) {
  for (const auto& [name, value] : kDenseNames) {
    if (value == choice) return name;
  }
  return "";
}

Result<DenseChoice> ParseDenseChoice(const std::string& name) {
  for (const auto& [known, value] : kDenseNames) {
    if (name == known) return value;
  }
  return InvalidArgument(fmt::format("--dense-weights: stored, int8 or auto, not \"{}\"", name));
}

Result<PlanModel> PlanModel::Make(std::string name, ModelConfig config, const TensorSource& source) {
  PlanModel model;
  QNEXT_ASSIGN_OR_RETURN(model.stored_, WeightSizesOf(source, config, DenseWeights::kStored));
  QNEXT_ASSIGN_OR_RETURN(model.int8_, WeightSizesOf(source, config, DenseWeights::kInt8));
  model.name_ = std::move(name);
  model.config_ = std::move(config);
  return model;
}

Result<PlanModel> PlanModel::FromFolder(const std::string& folder) {
  QNEXT_ASSIGN_OR_RETURN(ModelConfig config, LoadModelConfig(folder));
  QNEXT_ASSIGN_OR_RETURN(const Checkpoint checkpoint, Checkpoint::Open(folder));
  if (const Status status = CheckTensors(checkpoint, config); !status.ok()) return status.WithContext(folder);
  return Make(folder, std::move(config), CheckpointSource(checkpoint));
}

Result<PlanModel> PlanModel::FromKind(const std::string& name) {
  QNEXT_ASSIGN_OR_RETURN(const SyntheticKind kind, FindSyntheticKind(name));
  QNEXT_ASSIGN_OR_RETURN(ModelConfig config, ParseModelConfig(kind.config_json, name));
  const SyntheticCheckpoint source(config, /*seed=*/0);
  return Make(name, std::move(config), source);
}

PlanRequest PlanModel::Request(const PlanCase& options, const MachineRates& machine) const {
  const bool int8 =
      options.dense == DenseChoice::kInt8 || (options.dense == DenseChoice::kAuto && machine.gpu_read < kAutoInt8Below);
  return {.weights = int8 ? int8_ : stored_,
          .sizes = DeviceSizesFor(config_, {.kv_type = options.kv, .parallel = options.parallel, .ctx = options.ctx}),
          .vram = options.vram,
          .ram = options.ram,
          .ctx = options.ctx,
          .max_ctx = config_.max_position_embeddings,
          .parallel = options.parallel,
          .prefix_store = options.prefix_store,
          .fetch_per_layer = kFetchSlots};
}

std::vector<PlanAlternative> PlanModel::Alternatives(const PlanCase& options, const MachineRates& machine,
                                                     const MemoryPlan& plan) const {
  std::vector<PlanAlternative> alternatives;
  const auto add = [&](std::string option, const PlanCase& changed) {
    alternatives.push_back({.option = std::move(option), .request = Request(changed, machine)});
  };
  PlanCase all = options;
  std::string all_options;
  const auto change = [&](const std::string& option, auto set) {
    PlanCase changed = options;
    set(changed);
    set(all);
    add(option, changed);
    all_options += (all_options.empty() ? "" : " ") + option;
  };
  if (options.kv == KvType::kBF16 || options.kv == KvType::kF32) {
    change("--kv int8", [](PlanCase& c) { c.kv = KvType::kInt8; });
  }
  if (options.dense == DenseChoice::kStored && int8_.dense_bytes() < stored_.dense_bytes()) {
    change("--dense-weights int8", [](PlanCase& c) { c.dense = DenseChoice::kInt8; });
  }
  if (options.parallel > 1) change("--parallel 1", [](PlanCase& c) { c.parallel = 1; });
  if (plan.ram_missing > 0 && options.prefix_store > 0) {
    const int64_t left = std::max<int64_t>(0, options.prefix_store - plan.ram_missing);
    change(fmt::format("--prefix-store {}", left), [left](PlanCase& c) { c.prefix_store = left; });
  }
  // Together only where none does alone.
  const bool alone = std::ranges::any_of(
      alternatives, [](const PlanAlternative& alternative) { return ComputePlan(alternative.request).fits(); });
  if (!alone && alternatives.size() > 1) add(all_options, all);
  return alternatives;
}

PlanReport PlanModel::Plan(const PlanCase& options, const MachineRates& machine, int64_t threads,
                           const std::optional<MeasuredTraffic>& measured) const {
  const PlanRequest request = Request(options, machine);
  PlanReport report{.model = name_,
                    .options = {{"--vram", SizeOption(options.vram)},
                                {"--ram", SizeOption(options.ram)},
                                {"--ctx", std::to_string(options.ctx)},
                                {"--kv", KvName(options.kv)},
                                {"--dense-weights", DenseName(options.dense)},
                                {"--parallel", std::to_string(options.parallel)},
                                {"--prefix-store", SizeOption(options.prefix_store)}},
                    .plan = ComputePlan(request),
                    .fits = Status(),
                    .machine = machine.name,
                    .threads = threads,
                    .decode = {},
                    .prefill = {}};
  if (!report.plan.fits()) {
    report.fits = CheckFits(request, report.plan, Alternatives(options, machine, report.plan));
    return report;
  }
  const int64_t kv_bytes = request.sizes.kv_page_bytes / request.sizes.kv_page_tokens;
  const auto decode = [&](const char* name, RoutingModel routing, int64_t context) {
    const DecodeTraffic traffic = {
        .experts_per_token = config_.num_experts_per_token, .kv_bytes_per_token = kv_bytes, .context = context};
    report.decode.push_back({.name = name,
                             .context = context,
                             .estimate = EstimateDecode(request, report.plan, machine, traffic, routing, threads)});
  };
  const int64_t little = std::min<int64_t>(options.ctx, 512);
  decode("uniform routing", RoutingModel::kUniform, little);
  decode("recency routing", RoutingModel::kRecency, little);
  if (options.ctx > little) decode("recency routing", RoutingModel::kRecency, options.ctx);
  if (measured) {
    report.decode.push_back(
        {.name = fmt::format("as measured, {:g} promoted", measured->promotions),
         .context = 0,
         .estimate = BoundOfRun(request, machine, config_.num_experts_per_token, *measured, threads)});
  }
  for (const int64_t tokens : kPromptTokens) {
    if (tokens > options.ctx && tokens != kPromptTokens.front()) continue;
    const PrefillTraffic traffic = {.experts_per_token = config_.num_experts_per_token,
                                    .flops_per_token = PrefillFlopsPerToken(config_),
                                    .super_block = DeviceSizeOptions().super_block};
    report.prefill.push_back(
        EstimatePrefill(request, report.plan, machine, traffic, std::min(tokens, options.ctx), threads));
  }
  return report;
}

}  // namespace qnext
