// What a checkpoint folder holds, gathered from its configuration and the headers of its shards; no weights are read.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "checkpoint/checkpoint.h"
#include "config/model_config.h"

namespace qnext {

// The part of the model that a tensor belongs to.
enum class Component : uint8_t {
  kEmbedding,
  kLinearAttention,
  kFullAttention,
  kRoutedExperts,
  kSharedExperts,
  kRouters,   // mlp.gate and shared_expert_gate
  kDenseMlp,  // layers without experts
  kNorms,     // of layers and of the model; those inside attention count there
  kLmHead,
  kMtp,  // multi-token prediction head: present in some checkpoints, not run
  kOther,
};
constexpr int kComponents = 11;
std::string_view ComponentName(Component component);
Component ComponentOf(std::string_view tensor_name);

struct InspectReport {
  struct Shard {
    std::string name;
    int64_t bytes = 0;  // of the file
    int64_t tensors = 0;
  };
  struct ComponentSize {
    Component component = Component::kOther;
    int64_t tensors = 0;
    int64_t parameters = 0;  // of the model: a quantized weight counts once, its scales, zeros and g_idx do not
    int64_t bytes = 0;       // of all its tensors
  };
  // One way in which modules of a class are stored, for example "int4 group 128 symmetric, F16 scales" or "BF16".
  struct Storage {
    std::string format;
    int64_t modules = 0;
    int64_t bytes = 0;
  };
  struct ModuleClassInfo {
    std::string name;  // "mlp.experts.*.up_proj"
    int64_t modules = 0;
    int64_t quantized = 0;
    bool covered = false;  // the quantization configuration would have some of its modules quantized
    std::vector<Storage> storage;
  };

  // Tokenizer and chat template, which this room cannot judge: filled in by whoever can, absent otherwise.
  struct Text {
    int64_t tokens = 0;         // one past the highest id of the tokenizer
    std::string chat_template;  // where the template comes from; empty: none that can be used
  };

  std::string folder;
  ModelConfig config;
  std::optional<Text> text;
  std::vector<Shard> shards;
  std::vector<ComponentSize> components;  // those present, in the order of the enum
  std::vector<ModuleClassInfo> classes;   // linear layers, by name; without the mtp head
  int64_t tensors = 0;
  int64_t parameters = 0;
  int64_t tensor_bytes = 0;
  std::vector<std::string> problems;  // the checkpoint cannot be loaded
  std::vector<std::string> warnings;  // it can, but this is worth knowing

  bool loadable() const { return problems.empty(); }
};

// Fails only when config.json itself cannot be read, for then nothing can be judged; every problem with the tensors
// (a missing shard, a bad header, the findings of CheckTensors) is in the report.
Result<InspectReport> Inspect(const std::string& folder);

// The part of Inspect that looks at an opened checkpoint.
InspectReport InspectCheckpoint(const Checkpoint& checkpoint, const ModelConfig& config);

std::string FormatInspectText(const InspectReport& report);  // for people; ends with a line break
std::string FormatInspectJson(const InspectReport& report);  // one object, indented

}  // namespace qnext
