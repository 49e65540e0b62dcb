#include "cli/model_options.h"

#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <array>
#include <cstdio>
#include <utility>

#include "base/bytes.h"
#include "checkpoint/synthetic.h"
#include "cli/load_progress.h"
#include "cli/option_errors.h"
#include "cli/output.h"
#include "cli/plan_case.h"
#include "engine/device.h"
#include "hw/topology.h"

namespace qnext {
namespace {

constexpr std::array<std::pair<const char*, KvType>, 4> kKvTypes = {
    {{"bf16", KvType::kBF16}, {"f32", KvType::kF32}, {"fp8", KvType::kF8E4M3}, {"int8", KvType::kInt8}}};
constexpr std::array<std::pair<const char*, Activations>, 2> kActivations = {
    {{"int8", Activations::kInt8}, {"float32", Activations::kFloat32}}};
// docs/numerics.md, "What int8 dense weights cost".
constexpr char kInt8DenseCost[] =
    "dense weights int8: KL 4e-4 on the tiny references, arg-max 95-97% equal (docs/numerics.md)";
constexpr char kReferenceIsa[] = "reference";
constexpr int kMostThreads = 1024;
constexpr int64_t kMostFetchBlocks = 256;

// The value of `name` in a table of names; null if it has none.
template <typename Table>
auto Lookup(const Table& table, const std::string& name) -> decltype(&table[0].second) {
  for (const auto& entry : table) {
    if (name == entry.first) return &entry.second;
  }
  return nullptr;
}

}  // namespace

void AddModelFolderOption(CLI::App& app, std::string& folder) {
  app.add_option("--model", folder, "the checkpoint's folder, as downloaded (required)")->type_name("DIR");
}

void AddModelOptions(CLI::App& app, ModelFlags& flags) {
  app.add_option("--model", flags.model, "the checkpoint's folder, as downloaded")->type_name("DIR");
  app.add_option("--synthetic", flags.synthetic,
                 fmt::format("instead of --model: weights made in memory, for measuring speed; {}, or the path of a "
                             "config.json",
                             kSyntheticKinds))
      ->type_name("KIND");
  app.add_option("--routing", flags.routing,
                 "who chooses the experts of synthetic weights: real, their own routers, which repeat themselves; "
                 "uniform, seeded, all alike (default); recency, seeded, as skewed in time as real ones. With --model: "
                 "real only")
      ->type_name("real|uniform|recency");
  app.add_option("--device", flags.device,
                 HasCudaEngine()
                     ? "where the model runs; default: cuda where there is a GPU that can run it, otherwise cpu"
                     : "cpu; this build has no CUDA engine")
      ->type_name("cpu|cuda");
  app.add_option("--vram", flags.vram,
                 "the most GPU memory that this process may take, as 15GiB; default: what is free, less 256 MiB")
      ->type_name("SIZE");
  app.add_option(
         "--ram", flags.ram,
         "the most RAM that weights may take, as 120GiB; more is refused before loading. Default: what is there")
      ->type_name("SIZE");
  app.add_option(
         "--handshake", flags.handshake,
         "how GPU and CPU share a step whose experts are partly in RAM: graph, one launch a step; segments, one "
         "for each layer, for profilers and debuggers")
      ->type_name("graph|segments")
      ->capture_default_str();
  app.add_option("--cached-experts", flags.cached_experts, "experts in GPU memory, for measurements")->group("");
  app.add_option("--fetch", flags.fetch, "misses of a layer that a step fetches, for measurements")->group("");
  app.add_option("--fetch-blocks", flags.fetch_blocks,
                 "blocks of the kernel that fetches, for measurements of slow links")
      ->group("");
  app.add_option("--threads", flags.threads,
                 "CPU workers; default: physical cores less one (of the fast kind, within the container's quota)")
      ->type_name("N");
  app.add_option("--kv", flags.kv,
                 "KV cache: bf16; fp8 or int8, half the memory, slightly off; f32, twice the memory, for verification")
      ->type_name("bf16|fp8|int8|f32")
      ->capture_default_str();
  app.add_option("--activations", flags.activations,
                 "inputs of int4 products: int8, fast; float32, several times slower, for verification")
      ->type_name("int8|float32")
      ->capture_default_str();
  app.add_option("--dense-weights", flags.dense,
                 "16-bit linears outside the experts: stored, as they are; int8, half the memory, slightly off; auto, "
                 "int8 where the GPU reads under 1 TB/s, stored on the CPU")
      ->type_name("stored|int8|auto")
      ->capture_default_str();
  app.add_option("--cpu-isa", flags.cpu_isa, "CPU code path; auto: the best that passes its known-answer test")
      ->type_name("auto|generic|avx2|avx-vnni|avx512-vnni")
      ->capture_default_str();
}

void AddContextOption(CLI::App& app, ModelFlags& flags) {
  app.add_option("--ctx", flags.ctx,
                 "tokens of prompt and answer together; default 32768, or the model's positions if fewer. Memory for "
                 "them is taken as they fill")
      ->type_name("N");
}

void AddChatTemplateOption(CLI::App& app, ModelFlags& flags) {
  app.add_option("--chat-template", flags.chat_template, "a Jinja file used instead of the checkpoint's chat template")
      ->type_name("FILE");
}

Status CheckModelFolder(const std::string& folder) {
  if (folder.empty()) return InvalidArgument("--model: a checkpoint folder is needed");
  return {};
}

Status CheckThreads(int threads) {
  if (threads >= 0 && threads <= kMostThreads) return {};
  return InvalidArgument(
      fmt::format("--threads: must be in [1, {}], or 0 for the default, not {}", kMostThreads, threads));
}

Status CheckModelFlags(const ModelFlags& flags) {
  if (flags.model.empty() == flags.synthetic.empty()) {
    return InvalidArgument("--model or --synthetic: exactly one of them is needed");
  }
  if (!flags.routing.empty()) {
    const std::optional<Routing> routing = ParseRouting(flags.routing);
    if (!routing) {
      return InvalidArgument(fmt::format("--routing: real, uniform or recency, not \"{}\"", flags.routing));
    }
    if (*routing != Routing::kReal && flags.synthetic.empty()) {
      return InvalidArgument(fmt::format(
          "--routing: {} is for synthetic weights; with --model the checkpoint's own routers decide", flags.routing));
    }
  }
  if (!flags.device.empty() && !ParseDevice(flags.device)) {
    return InvalidArgument(fmt::format("--device: cpu or cuda, not \"{}\"", flags.device));
  }
  if (flags.device == "cuda" && !HasCudaEngine()) {
    return InvalidArgument("--device: this build has no CUDA engine; use cpu");
  }
  if (flags.device == "cuda" && flags.activations != "int8") {
    return InvalidArgument("--activations: the CUDA engine has int8 only");
  }
  if (flags.device == "cuda" && flags.cpu_isa == kReferenceIsa) {
    return InvalidArgument("--cpu-isa: reference only with --device cpu");
  }
  if (!flags.vram.empty()) {
    const Result<int64_t> bytes = ParseByteSize(flags.vram);
    if (!bytes.ok()) return bytes.status().WithContext("--vram");
    if (flags.device == "cpu") return InvalidArgument("--vram: not with --device cpu");
    if (!HasCudaEngine()) return InvalidArgument("--vram: this build has no CUDA engine");
  }
  if (!flags.ram.empty()) {
    const Result<int64_t> bytes = ParseByteSize(flags.ram);
    if (!bytes.ok()) return bytes.status().WithContext("--ram");
  }
  if (flags.handshake != "graph" && flags.handshake != "segments") {
    return InvalidArgument(fmt::format("--handshake: graph or segments, not \"{}\"", flags.handshake));
  }
  for (const auto& [name, value] : {std::pair{"--cached-experts", flags.cached_experts}, {"--fetch", flags.fetch}}) {
    if (value && *value < 0) return InvalidArgument(fmt::format("{}: must be at least 0, not {}", name, *value));
  }
  if (flags.fetch_blocks && (*flags.fetch_blocks < 1 || *flags.fetch_blocks > kMostFetchBlocks)) {
    return InvalidArgument(fmt::format("--fetch-blocks: 1 to {}, not {}", kMostFetchBlocks, *flags.fetch_blocks));
  }
  if (flags.ctx && *flags.ctx < 2) {
    return InvalidArgument(
        fmt::format("--ctx: must be at least 2, a token of prompt and one of answer, not {}", *flags.ctx));
  }
  QNEXT_RETURN_IF_ERROR(CheckThreads(flags.threads));
  if (Lookup(kKvTypes, flags.kv) == nullptr) {
    return InvalidArgument(fmt::format("--kv: bf16, fp8, int8 or f32, not \"{}\"", flags.kv));
  }
  if (Lookup(kActivations, flags.activations) == nullptr) {
    return InvalidArgument(fmt::format("--activations: int8 or float32, not \"{}\"", flags.activations));
  }
  QNEXT_RETURN_IF_ERROR(ParseDenseChoice(flags.dense).status());
  if (flags.dense == "int8" && flags.activations != "int8") {
    return InvalidArgument("--dense-weights: int8 multiplies int8 activations; not with --activations float32");
  }
  if (flags.cpu_isa != "auto" && flags.cpu_isa != kReferenceIsa && !ParseCpuIsa(flags.cpu_isa)) {
    return InvalidArgument(
        fmt::format("--cpu-isa: auto, generic, avx2, avx-vnni or avx512-vnni, not \"{}\"", flags.cpu_isa));
  }
  return {};
}

Result<ModelLoadOptions> ToLoadOptions(const ModelFlags& flags) {
  QNEXT_ASSIGN_OR_RETURN(const CpuTopology topology, DetectCpuTopology());
  ModelLoadOptions options;
  options.folder = flags.model;
  options.device = flags.device.empty() ? Device::kAuto : *ParseDevice(flags.device);
  if (!flags.vram.empty()) options.vram_bytes = *ParseByteSize(flags.vram);
  if (!flags.ram.empty()) options.ram_bytes = *ParseByteSize(flags.ram);
  options.handshake_segments = flags.handshake == "segments";
  options.cached_experts = flags.cached_experts;
  options.fixed_fetch = flags.fetch;
  options.fetch_blocks = flags.fetch_blocks;
  options.synthetic = flags.synthetic;
  if (!flags.routing.empty()) {
    options.routing = *ParseRouting(flags.routing);
  } else if (!flags.synthetic.empty()) {
    options.routing = Routing::kUniform;
  }
  options.threads.threads = flags.threads > 0 ? flags.threads : topology.DefaultThreads();
  options.threads.cpus = topology.PinnedCpus(options.threads.threads);
  options.threads.other_cpus = topology.OtherCpus(options.threads.threads);
  options.model.kv_type = *Lookup(kKvTypes, flags.kv);
  options.model.activations = *Lookup(kActivations, flags.activations);
  options.dense = *ParseDenseChoice(flags.dense);
  options.isa = ParseCpuIsa(flags.cpu_isa);
  options.reference_kernels = flags.cpu_isa == kReferenceIsa;
  return options;
}

Result<std::unique_ptr<Engine>> LoadEngine(const ModelFlags& flags, ChatUse chat) {
  QNEXT_ASSIGN_OR_RETURN(ModelLoadOptions load, ToLoadOptions(flags));
  LoadProgressPrinter progress(stderr, flags.synthetic.empty() ? "loading" : "generating weights");
  Result<std::unique_ptr<Engine>> loaded = Engine::Load(
      {.load = std::move(load), .context = flags.ctx, .chat_template_path = flags.chat_template, .chat = chat},
      [&](const LoadProgress& now) { progress.Update(now); });
  progress.Finish();
  if (!loaded.ok()) return InOptionTerms(loaded.status());
  std::unique_ptr<Engine> engine = *std::move(loaded);
  if (!engine->info().fallback.empty()) {
    Remark("qnext: running on the CPU: " + OneLine(engine->info().fallback));
  }
  if (engine->info().dense_weights == DenseWeights::kInt8) Remark(fmt::format("qnext: {}", kInt8DenseCost));
  for (const std::string& warning : engine->Warnings(chat)) Remark("qnext: warning: " + OneLine(warning));
  return engine;
}

KeptFiles FilesRead(const ModelFlags& flags) {
  return {.files = {{"--chat-template", flags.chat_template}, {"--synthetic", flags.synthetic}}, .folder = flags.model};
}

std::vector<std::string> Caveats(const Engine& engine) {
  const EngineInfo& info = engine.info();
  if (info.synthetic.empty()) return {};
  return {fmt::format("Synthetic weights ({}): what they answer means nothing.", info.synthetic),
          info.simulated_routing
              ? fmt::format("Routing is {}.", Describe(*info.simulated_routing))
              : "Routing is that of random weights: answers, and with them the experts, repeat themselves."};
}

std::vector<std::pair<std::string, std::string>> DescribeFlags(const ModelFlags& flags, const Engine& engine) {
  const EngineInfo& info = engine.info();
  std::vector<std::pair<std::string, std::string>> facts;
  if (!info.synthetic.empty()) facts.emplace_back("weights", "synthetic: " + info.synthetic);
  facts.emplace_back("routing", info.simulated_routing ? Describe(*info.simulated_routing) : "real");
  facts.insert(facts.end(), {{"device", info.device},
                             {"threads", std::to_string(info.threads)},
                             {"context", std::to_string(engine.context())},
                             {"KV cache", flags.kv},
                             {"activations", flags.activations},
                             {"dense weights", info.dense_weights == DenseWeights::kInt8 ? "int8" : "stored"}});
  if (info.gpu.empty()) {
    facts.emplace_back("CPU path", info.kernels);
  } else {
    facts.emplace_back("GPU", info.gpu);
    facts.emplace_back("GPU memory planned", FormatBytes(info.vram_bytes));
    if (info.cached_experts) {
      facts.emplace_back("experts", fmt::format("{} in GPU memory, all in RAM", *info.cached_experts));
      facts.emplace_back("kernels", info.kernels);
    }
  }
  return facts;
}

}  // namespace qnext
