#include "checkpoint/inspect.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <map>
#include <utility>

#include "checkpoint/tensor_list.h"

namespace qnext {
namespace {

bool HasPart(std::string_view name, std::string_view part) { return name.find(part) != std::string_view::npos; }

// "a.b.qweight" is module "a.b", part "qweight".
std::pair<std::string_view, std::string_view> SplitPart(std::string_view name) {
  const size_t dot = name.rfind('.');
  if (dot == std::string_view::npos) return {"", name};
  return {name.substr(0, dot), name.substr(dot + 1)};
}

int64_t ElementsOf(const TensorInfo& tensor) { return tensor.shape.Elements().value_or(0); }

// How many weights of the model a tensor stands for.
int64_t ParametersOf(const TensorInfo& tensor) {
  const std::string_view part = SplitPart(tensor.name).second;
  if (part == "qweight") return ElementsOf(tensor) * 8;
  if (part == "qzeros" || part == "scales" || part == "g_idx") return 0;
  return ElementsOf(tensor);
}

std::string DescribeGptq(const Checkpoint& checkpoint, const ModelConfig& config, const std::string& module) {
  std::string text = "int4";
  if (config.quantization.has_value()) {
    const std::optional<GptqParams> params = config.quantization->ForModule(module);
    if (params.has_value()) {
      text += params->group_size < 0 ? " one group" : fmt::format(" group {}", params->group_size);
      text += params->symmetric ? " symmetric" : " asymmetric";
      if (params->desc_act) text += " desc_act";
    }
  }
  const Checkpoint::Entry* scales = checkpoint.Find(module + ".scales");
  if (scales != nullptr) text += fmt::format(", {} scales", DTypeName(scales->info.dtype));
  return text;
}

int64_t ModuleBytes(const Checkpoint& checkpoint, const std::string& module) {
  int64_t bytes = 0;
  for (std::string_view part : {"weight", "qweight", "qzeros", "scales", "g_idx"}) {
    const Checkpoint::Entry* entry = checkpoint.Find(fmt::format("{}.{}", module, part));
    if (entry != nullptr) bytes += entry->info.bytes;
  }
  return bytes;
}

void AddStorage(InspectReport::ModuleClassInfo* info, std::string format, int64_t bytes) {
  for (InspectReport::Storage& storage : info->storage) {
    if (storage.format != format) continue;
    ++storage.modules;
    storage.bytes += bytes;
    return;
  }
  info->storage.push_back({std::move(format), 1, bytes});
}

std::vector<InspectReport::ModuleClassInfo> GatherClasses(const Checkpoint& checkpoint, const ModelConfig& config) {
  std::map<std::string, InspectReport::ModuleClassInfo> classes;
  for (const ExpectedTensor& expected : ExpectedTensors(config)) {
    if (expected.role != TensorRole::kLinear) continue;
    const Checkpoint::Entry* dense = checkpoint.Find(expected.name + ".weight");
    const bool quantized = StoredFormat(checkpoint, expected.name) == LinearFormat::kGptq;
    if (dense == nullptr && !quantized) continue;
    InspectReport::ModuleClassInfo& info = classes[ModuleClass(expected.name)];
    ++info.modules;
    if (quantized) ++info.quantized;
    info.covered = info.covered || (expected.may_be_quantized && config.quantization.has_value() &&
                                    config.quantization->ForModule(expected.name).has_value());
    AddStorage(&info,
               quantized ? DescribeGptq(checkpoint, config, expected.name) : std::string(DTypeName(dense->info.dtype)),
               ModuleBytes(checkpoint, expected.name));
  }
  std::vector<InspectReport::ModuleClassInfo> list;
  for (auto& [name, info] : classes) {
    info.name = name;
    list.push_back(std::move(info));
  }
  return list;
}

std::vector<std::string> GatherWarnings(const InspectReport& report, const Checkpoint& checkpoint) {
  std::vector<std::string> warnings;
  const ModelConfig& config = report.config;
  if (config.quantization.has_value()) {
    const QuantizationConfig& quantization = *config.quantization;
    if (!quantization.defaults().symmetric && quantization.format() == GptqFormat::kV1) {
      warnings.push_back(
          "asymmetric quantization in checkpoint_format \"gptq\": writers disagree about a stored zero point of 15; "
          "where there is one (loading counts them), it is read as 0");
    }
    for (const InspectReport::ModuleClassInfo& info : report.classes) {
      if (info.quantized > 0 || !info.covered) continue;
      warnings.push_back(fmt::format(
          "{}: no module is quantized although no rule of the quantization configuration leaves them out", info.name));
    }
  }
  if (const std::vector<std::string>& unlisted = checkpoint.unlisted(); !unlisted.empty()) {
    warnings.push_back(
        fmt::format("model.safetensors.index.json: does not name {} tensors that its shards hold, {} among them",
                    unlisted.size(), unlisted.front()));
  }
  const bool has_mtp = std::any_of(checkpoint.tensors().begin(), checkpoint.tensors().end(),
                                   [](const auto& tensor) { return IsMtpTensor(tensor.first); });
  if (has_mtp) warnings.push_back("the multi-token prediction head (mtp.*) is present and will not be loaded");
  return warnings;
}

}  // namespace

std::string_view ComponentName(Component component) {
  constexpr std::array<std::string_view, kComponents> kNames = {
      "embedding", "linear attention", "full attention", "routed experts", "shared experts",
      "routers",   "dense mlps",       "norms",          "lm_head",        "multi-token prediction head",
      "other"};
  return kNames[static_cast<size_t>(component)];
}

Component ComponentOf(std::string_view name) {
  if (IsMtpTensor(name)) return Component::kMtp;
  if (name.starts_with("lm_head.")) return Component::kLmHead;
  if (name.starts_with("model.embed_tokens.")) return Component::kEmbedding;
  if (name.starts_with("model.norm.")) return Component::kNorms;
  if (!name.starts_with("model.layers.")) return Component::kOther;
  if (HasPart(name, ".linear_attn.")) return Component::kLinearAttention;
  if (HasPart(name, ".self_attn.")) return Component::kFullAttention;
  if (HasPart(name, ".mlp.experts.")) return Component::kRoutedExperts;
  if (HasPart(name, ".mlp.shared_expert.")) return Component::kSharedExperts;
  if (HasPart(name, ".mlp.gate.") || HasPart(name, ".mlp.shared_expert_gate.")) return Component::kRouters;
  if (HasPart(name, ".mlp.")) return Component::kDenseMlp;
  if (HasPart(name, "layernorm.")) return Component::kNorms;
  return Component::kOther;
}

InspectReport InspectCheckpoint(const Checkpoint& checkpoint, const ModelConfig& config) {
  InspectReport report;
  report.folder = checkpoint.folder();
  report.config = config;
  for (const SafetensorsFile& shard : checkpoint.shards()) {
    report.shards.push_back({std::filesystem::path(shard.path()).filename().string(), shard.file_bytes(),
                             static_cast<int64_t>(shard.tensors().size())});
  }
  std::array<InspectReport::ComponentSize, kComponents> sizes;
  for (const auto& [name, entry] : checkpoint.tensors()) {
    const Component component = ComponentOf(name);
    InspectReport::ComponentSize& size = sizes[static_cast<size_t>(component)];
    size.component = component;
    ++size.tensors;
    size.parameters += ParametersOf(entry.info);
    size.bytes += entry.info.bytes;
  }
  for (const InspectReport::ComponentSize& size : sizes) {
    if (size.tensors == 0) continue;
    report.components.push_back(size);
    report.tensors += size.tensors;
    report.parameters += size.parameters;
    report.tensor_bytes += size.bytes;
  }
  report.classes = GatherClasses(checkpoint, config);
  report.problems = FindTensorProblems(checkpoint, config);
  report.warnings = GatherWarnings(report, checkpoint);
  return report;
}

Result<InspectReport> Inspect(const std::string& folder) {
  QNEXT_ASSIGN_OR_RETURN(const ModelConfig config, LoadModelConfig(folder));
  const Result<Checkpoint> checkpoint = Checkpoint::Open(folder);
  if (checkpoint.ok()) return InspectCheckpoint(*checkpoint, config);
  InspectReport report;
  report.folder = folder;
  report.config = config;
  report.problems.push_back(checkpoint.status().message());
  return report;
}

}  // namespace qnext
