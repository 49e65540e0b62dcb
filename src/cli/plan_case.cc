#include "cli/plan_case.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "base/bytes.h"
#include "base/file.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/synthetic.h"
#include "checkpoint/synthetic_files.h"
#include "checkpoint/tensor_list.h"
#include "model/device_sizes.h"
#include "text/tokenizer.h"

namespace qnext {
namespace {

constexpr std::array<std::pair<const char*, KvType>, 4> kKvNames = {
    {{"bf16", KvType::kBF16}, {"fp8", KvType::kF8E4M3}, {"int8", KvType::kInt8}, {"f32", KvType::kF32}}};
constexpr std::array<std::pair<const char*, DenseChoice>, 3> kDenseNames = {
    {{"stored", DenseChoice::kStored}, {"int8", DenseChoice::kInt8}, {"auto", DenseChoice::kAuto}}};

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
  QNEXT_ASSIGN_OR_RETURN(model.stored_plan_, GpuWeightPlan::Make(source, config, DenseWeights::kStored));
  QNEXT_ASSIGN_OR_RETURN(model.int8_plan_, GpuWeightPlan::Make(source, config, DenseWeights::kInt8));
  model.name_ = std::move(name);
  model.config_ = std::move(config);
  return model;
}

Result<PlanModel> PlanModel::FromFolder(const std::string& folder) {
  QNEXT_ASSIGN_OR_RETURN(ModelConfig config, LoadModelConfig(folder));
  QNEXT_ASSIGN_OR_RETURN(const Checkpoint checkpoint, Checkpoint::Open(folder));
  if (const Status status = CheckTensors(checkpoint, config); !status.ok()) return status.WithContext(folder);
  QNEXT_ASSIGN_OR_RETURN(PlanModel model, Make(folder, std::move(config), CheckpointSource(checkpoint)));
  // A folder without its tokenizer can be planned, but for some rows of a few bytes per token.
  const Result<Tokenizer> tokenizer = Tokenizer::Load(folder + "/tokenizer.json");
  if (tokenizer.ok()) model.vocab_end_ = tokenizer->vocab_end();
  return model;
}

Result<MachineRates> LoadMachineRates(const std::string& name) {
  if (std::optional<MachineRates> built_in = BuiltInMachine(name)) return *std::move(built_in);
  Result<std::string> text = ReadFileToString(name, int64_t{16} << 20);
  if (!text.ok()) return text.status().WithContext("--machine: laptop, reference or a file");
  return ParseMachineRates(*text, name);
}

Result<PlanModel> PlanModel::FromKind(const std::string& name) {
  QNEXT_ASSIGN_OR_RETURN(const SyntheticKind kind, FindSyntheticKind(name));
  QNEXT_ASSIGN_OR_RETURN(ModelConfig config, SyntheticConfig(kind));
  QNEXT_ASSIGN_OR_RETURN(const Tokenizer tokenizer, Tokenizer::Parse(SyntheticTokenizerJson(), name));
  const SyntheticCheckpoint source(config, /*seed=*/0);
  QNEXT_ASSIGN_OR_RETURN(PlanModel model, Make(name, config, source));
  model.vocab_end_ = tokenizer.vocab_end();
  model.routing_ = std::make_shared<const ForcedRouting>(Routing::kUniform, config, /*seed=*/1);
  return model;
}

bool PlanModel::Int8(const PlanCase& options, const MachineRates& machine) const {
  return options.dense == DenseChoice::kInt8 ||
         (options.dense == DenseChoice::kAuto && machine.gpu_read < kAutoInt8Below);
}

Result<MemoryPlan> PlanModel::Layout(const PlanCase& options, const MachineRates& machine) const {
  const bool int8 = Int8(options, machine);
  return PlanDevice(config_,
                    {.kv_type = options.kv,
                     .dense_weights = int8 ? DenseWeights::kInt8 : DenseWeights::kStored,
                     .slots = options.parallel,
                     .context = options.ctx,
                     .vocab_end = vocab_end_,
                     .routing = routing_.get()},
                    int8 ? *int8_plan_ : *stored_plan_, options.vram, options.ram);
}

Result<std::vector<PlanAlternative>> PlanModel::Alternatives(const PlanCase& options,
                                                             const MachineRates& machine) const {
  std::vector<PlanAlternative> alternatives;
  PlanCase all = options;
  std::string all_options;
  const auto change = [&](const std::string& option, auto set) -> Status {
    PlanCase changed = options;
    set(changed);
    set(all);
    all_options += (all_options.empty() ? "" : " ") + option;
    QNEXT_ASSIGN_OR_RETURN(MemoryPlan plan, Layout(changed, machine));
    alternatives.push_back({.option = option, .plan = std::move(plan)});
    return Status();
  };
  if (options.kv == KvType::kBF16 || options.kv == KvType::kF32) {
    QNEXT_RETURN_IF_ERROR(change("--kv int8", [](PlanCase& c) { c.kv = KvType::kInt8; }));
  }
  if (options.dense == DenseChoice::kStored && int8_.dense_bytes() < stored_.dense_bytes()) {
    QNEXT_RETURN_IF_ERROR(change("--dense-weights int8", [](PlanCase& c) { c.dense = DenseChoice::kInt8; }));
  }
  if (options.parallel > 1) QNEXT_RETURN_IF_ERROR(change("--parallel 1", [](PlanCase& c) { c.parallel = 1; }));
  // Together only where none does alone.
  const bool alone =
      std::ranges::any_of(alternatives, [](const PlanAlternative& alternative) { return alternative.plan.fits(); });
  if (!alone && alternatives.size() > 1) {
    QNEXT_ASSIGN_OR_RETURN(MemoryPlan plan, Layout(all, machine));
    alternatives.push_back({.option = all_options, .plan = std::move(plan)});
  }
  return alternatives;
}

Result<PlanReport> PlanModel::Plan(const PlanCase& options, const MachineRates& machine, int64_t threads,
                                   const std::optional<MeasuredTraffic>& measured) const {
  const PlanRequest request = {.weights = Int8(options, machine) ? int8_ : stored_,
                               .sizes = DeviceSizesFor(config_, options.kv)};
  QNEXT_ASSIGN_OR_RETURN(MemoryPlan plan, Layout(options, machine));
  PlanReport report{.model = name_,
                    .options = {{"--vram", SizeOption(options.vram)},
                                {"--ram", SizeOption(options.ram)},
                                {"--ctx", std::to_string(options.ctx)},
                                {"--kv", KvName(options.kv)},
                                {"--dense-weights", DenseName(options.dense)},
                                {"--parallel", std::to_string(options.parallel)}},
                    .plan = std::move(plan),
                    .fits = Status(),
                    .machine = machine.name,
                    .threads = threads,
                    .decode = {},
                    .prefill = {}};
  if (!report.plan.fits()) {
    QNEXT_ASSIGN_OR_RETURN(const std::vector<PlanAlternative> alternatives, Alternatives(options, machine));
    report.fits = CheckFits(report.plan, options.ctx, alternatives);
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
                                    .block = cuda::CudaModelOptions().max_block_tokens};
    report.prefill.push_back(EstimatePrefill(request, report.plan, machine, traffic, std::min(tokens, options.ctx)));
  }
  return report;
}

}  // namespace qnext
