#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <unordered_set>
#include <utility>

#include "base/range.h"
#include "checkpoint/tensor_list.h"

namespace qnext {
namespace {

constexpr size_t kListed = 20;

// One walk over the list of expected tensors, collecting what is wrong and which tensors the list accounts for.
class TensorChecker {
 public:
  TensorChecker(const Checkpoint& checkpoint, const ModelConfig& config) : checkpoint_(checkpoint), config_(config) {}

  std::vector<std::string> Run() {
    for (const ExpectedTensor& expected : ExpectedTensors(config_)) {
      if (expected.role == TensorRole::kLinear) {
        CheckLinear(expected);
      } else {
        CheckFloat(expected.name, expected.shape);
      }
    }
    CheckMixedClasses();
    CheckExtra();
    return std::move(problems_);
  }

 private:
  // What the modules of one class turned out to be.
  struct ClassTally {
    int64_t quantized = 0;
    std::vector<std::string> left_dense;  // stored unquantized although the configuration covers them
  };

  const TensorInfo* Take(const std::string& name) {
    const Checkpoint::Entry* entry = checkpoint_.Find(name);
    if (entry == nullptr) return nullptr;
    taken_.insert(entry);
    return &entry->info;
  }

  void CheckShape(const TensorInfo& tensor, const Shape& shape) {
    if (tensor.shape == shape) return;
    problems_.push_back(
        fmt::format("{}: expected shape {}, found {}", tensor.name, shape.ToString(), tensor.shape.ToString()));
  }

  void CheckFloat(const std::string& name, const Shape& shape) {
    const TensorInfo* tensor = Take(name);
    if (tensor == nullptr) {
      problems_.push_back(fmt::format("{}: missing, expected {}", name, shape.ToString()));
      return;
    }
    if (!IsFloat16Or32(tensor->dtype)) {
      problems_.push_back(fmt::format("{}: expected BF16, F16 or F32, found {}", name, DTypeName(tensor->dtype)));
    }
    CheckShape(*tensor, shape);
  }

  void CheckLinear(const ExpectedTensor& expected) {
    const std::string& module = expected.name;
    const bool dense = checkpoint_.Find(module + ".weight") != nullptr;
    const bool gptq = std::any_of(kGptqParts.begin(), kGptqParts.end(), [&](std::string_view part) {
      return checkpoint_.Find(fmt::format("{}.{}", module, part)) != nullptr;
    });
    if (gptq) {
      CheckQuantized(expected, dense);
    } else if (!dense && expected.may_be_quantized && config_.quantization.has_value()) {
      problems_.push_back(
          fmt::format("{}: missing, expected {} as .weight or as GPTQ tensors", module, expected.shape.ToString()));
    } else {
      CheckFloat(module + ".weight", expected.shape);
      if (dense && expected.may_be_quantized) NoteDense(module);
    }
  }

  void CheckQuantized(const ExpectedTensor& expected, bool dense) {
    const std::string& module = expected.name;
    if (dense) {
      TakeAll(module);
      Take(module + ".weight");
      problems_.push_back(fmt::format("{}: stored twice, as .weight and as GPTQ tensors", module));
      return;
    }
    if (!expected.may_be_quantized) {
      TakeAll(module);
      problems_.push_back(fmt::format(
          "{}: expected .weight {}, found GPTQ tensors, though {}", module, expected.shape.ToString(),
          module == "lm_head" ? "quantization_config does not say lm_head: true" : "it is never quantized"));
      return;
    }
    if (!config_.quantization.has_value()) {
      TakeAll(module);
      problems_.push_back(fmt::format(
          "{}: found GPTQ tensors, but neither config.json nor quantize_config.json has a quantization", module));
      return;
    }
    const std::optional<GptqParams> params = Evaluate(module);
    if (!params.has_value()) {
      TakeAll(module);
      if (rules_failed_) return;
      problems_.push_back(
          fmt::format("{}: found GPTQ tensors, but the quantization configuration leaves it unquantized", module));
      return;
    }
    ++classes_[ModuleClass(module)].quantized;
    CheckFourTuple(module, expected.shape[0], expected.shape[1], *params);
  }

  void CheckFourTuple(const std::string& module, int64_t out, int64_t in, const GptqParams& params) {
    if (in % 8 != 0 || out % 8 != 0) {
      TakeAll(module);
      problems_.push_back(
          fmt::format("{}: [{}, {}] cannot be packed eight to a word, yet GPTQ tensors are stored", module, out, in));
      return;
    }
    const int64_t groups = params.group_size < 0 ? 1 : CeilDiv(in, params.group_size);
    CheckPart(module + ".qweight", {in / 8, out}, /*scales=*/false);
    CheckPart(module + ".qzeros", {groups, out / 8}, /*scales=*/false);
    CheckPart(module + ".scales", {groups, out}, /*scales=*/true);
    const std::string g_idx = module + ".g_idx";
    if (checkpoint_.Find(g_idx) != nullptr) {
      CheckPart(g_idx, {in}, /*scales=*/false);
    } else if (params.desc_act && groups > 1) {
      problems_.push_back(fmt::format("{}: missing, expected I32 [{}] since desc_act is true", g_idx, in));
    }
  }

  void CheckPart(const std::string& name, const Shape& shape, bool scales) {
    const std::string_view wanted = scales ? "F16 or BF16" : "I32";
    const TensorInfo* tensor = Take(name);
    if (tensor == nullptr) {
      problems_.push_back(fmt::format("{}: missing, expected {} {}", name, wanted, shape.ToString()));
      return;
    }
    const bool fits =
        scales ? tensor->dtype == DType::kF16 || tensor->dtype == DType::kBF16 : tensor->dtype == DType::kI32;
    if (!fits) problems_.push_back(fmt::format("{}: expected {}, found {}", name, wanted, DTypeName(tensor->dtype)));
    CheckShape(*tensor, shape);
  }

  void TakeAll(const std::string& module) {
    for (std::string_view part : kGptqParts) Take(fmt::format("{}.{}", module, part));
  }

  // A dense module that the configuration says is quantized. Tools leave out whole classes without saying so, which is
  // harmless; one that the configuration names, or whose siblings are quantized, has lost its tensors.
  void NoteDense(const std::string& module) {
    if (!config_.quantization.has_value() || !Evaluate(module).has_value()) return;
    if (config_.quantization->Names(module)) {
      problems_.push_back(
          fmt::format("{}: stored unquantized, but the quantization configuration names it as quantized", module));
      return;
    }
    classes_[ModuleClass(module)].left_dense.push_back(module);
  }

  // Nothing, after one problem for the whole checkpoint, when a rule cannot be evaluated.
  std::optional<GptqParams> Evaluate(const std::string& module) {
    if (rules_failed_) return std::nullopt;
    Result<std::optional<GptqParams>> params = config_.quantization->Evaluate(module);
    if (params.ok()) return *params;
    rules_failed_ = true;
    problems_.push_back(fmt::format("quantization configuration: {}", params.status().message()));
    return std::nullopt;
  }

  void CheckMixedClasses() {
    for (const auto& [name, tally] : classes_) {
      if (tally.quantized == 0) continue;
      for (const std::string& module : tally.left_dense) {
        problems_.push_back(
            fmt::format("{}: stored unquantized, while {} others of {} are quantized and no rule of the "
                        "configuration sets it apart",
                        module, tally.quantized, name));
      }
    }
  }

  void CheckExtra() {
    for (const auto& [name, entry] : checkpoint_.tensors()) {
      if (IsMtpTensor(name) || taken_.contains(&entry)) continue;
      const std::string_view reason = name.ends_with(".bias") ? "; this architecture has no biases" : "";
      problems_.push_back(fmt::format("{}: unexpected tensor {} {}{}", name, DTypeName(entry.info.dtype),
                                      entry.info.shape.ToString(), reason));
    }
  }

  static constexpr std::array<std::string_view, 4> kGptqParts = {"qweight", "qzeros", "scales", "g_idx"};

  const Checkpoint& checkpoint_;
  const ModelConfig& config_;
  bool rules_failed_ = false;
  std::unordered_set<const Checkpoint::Entry*> taken_;
  std::map<std::string, ClassTally> classes_;
  std::vector<std::string> problems_;
};

}  // namespace

std::vector<std::string> FindTensorProblems(const Checkpoint& checkpoint, const ModelConfig& config) {
  return TensorChecker(checkpoint, config).Run();
}

Status CheckTensors(const Checkpoint& checkpoint, const ModelConfig& config) {
  const std::vector<std::string> problems = FindTensorProblems(checkpoint, config);
  if (problems.empty()) return Status();
  std::string message = fmt::format("{}: {} problem{} with the tensors:", checkpoint.folder(), problems.size(),
                                    problems.size() == 1 ? "" : "s");
  for (size_t i = 0; i < std::min(problems.size(), kListed); ++i) message += "\n  " + problems[i];
  if (problems.size() > kListed)
    message += fmt::format("\n  and {} more (qnext inspect lists all of them)", problems.size() - kListed);
  return Corrupt(std::move(message));
}

}  // namespace qnext
