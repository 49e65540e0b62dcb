// The options of every command that runs a model, and the engine made of them.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"
#include "cli/result_file.h"
#include "engine/engine.h"

namespace CLI {
class App;
}

namespace qnext {

struct ModelFlags {
  std::string model;
  std::string synthetic;  // a kind instead of a folder
  std::string routing;    // empty: real with a checkpoint, uniform with synthetic weights
  std::string device;     // "cpu", "cuda"; empty: a GPU that can run the model, otherwise the CPU
  std::string vram;       // a size; empty: what the GPU has free
  std::string ram;        // a size; empty: what the system has
  std::string handshake = "graph";
  int threads = 0;                                             // 0: chosen by the machine
  std::optional<int64_t> cached_experts, fetch, fetch_blocks;  // for measurements, not shown by --help
  std::optional<int64_t> ctx;
  std::string kv = "bf16";
  std::string activations = "int8";
  std::string dense = "stored";
  std::string cpu_isa = "auto";
  std::string chat_template;
};

// --model alone, for commands that only look.
void AddModelFolderOption(CLI::App& app, std::string& folder);
// --model, --synthetic, --routing, --device, --vram, --threads, --kv, --activations,
// --dense-weights, --cpu-isa.
void AddModelOptions(CLI::App& app, ModelFlags& flags);
// --ctx, for commands that generate.
void AddContextOption(CLI::App& app, ModelFlags& flags);
// --chat-template, for commands that converse.
void AddChatTemplateOption(CLI::App& app, ModelFlags& flags);

Status CheckModelFolder(const std::string& folder);
Status CheckThreads(int threads);  // 0: chosen by the machine
Status CheckModelFlags(const ModelFlags& flags);

// The flags have passed CheckModelFlags.
Result<ModelLoadOptions> ToLoadOptions(const ModelFlags& flags);

// Loads with progress on stderr, and prints the engine's warnings there.
Result<std::unique_ptr<Engine>> LoadEngine(const ModelFlags& flags, ChatUse chat);

// What a command that runs a model reads, and so must not write.
KeptFiles FilesRead(const ModelFlags& flags);

// What a reader of figures must know before all else: whether weights and routing are made up. Nothing for a
// checkpoint.
std::vector<std::string> Caveats(const Engine& engine);

// What the flags came to, for reports: "activations: int8" and so on.
std::vector<std::pair<std::string, std::string>> DescribeFlags(const ModelFlags& flags, const Engine& engine);

}  // namespace qnext
