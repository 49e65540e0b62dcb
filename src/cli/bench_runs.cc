#include "cli/bench_runs.h"

#include <fmt/chrono.h>
#include <fmt/core.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <optional>
#include <random>
#include <string_view>
#include <system_error>

#include "base/bytes.h"
#include "bench/benchmark_json.h"
#include "bench/benchmark_markdown.h"
#include "bench/benchmark_runner.h"
#include "bench/http_target.h"
#include "cli/bench_memory.h"
#include "cli/in_process_target.h"
#include "cli/machine.h"
#include "cli/machine_probe.h"
#include "cli/output.h"
#include "cli/plan_case.h"
#include "cli/result_file.h"
#include "cli/sample_log.h"
#include "cli/step_progress.h"
#include "cli/version.h"
#include "server/auth.h"

namespace qnext {
namespace {

constexpr int kModelRepetitions = 5, kMemoryRepetitions = 3, kMachineRepetitions = 7;
constexpr double kStressSeconds = 600;     // without --time-limit and --repetitions
constexpr int64_t kAssumedContext = 8192;  // of a server that does not say

std::string UtcNow(const char* format) {
  return fmt::format(fmt::runtime(format),
                     fmt::gmtime(std::chrono::system_clock::to_time_t(std::chrono::system_clock::now())));
}
std::string IsoNow() { return UtcNow("{:%Y-%m-%dT%H:%M:%SZ}"); }

void PrintStep(int64_t step, int64_t steps, const std::string& what) {
  Remark(fmt::format("qnext: step {} of {}: {}", step, steps, what));
}

// Before anything is measured: a folder that cannot be made should not cost an hour.
Result<std::filesystem::path> MakeFolder(const std::string& wanted, const char* name) {
  const std::filesystem::path folder =
      wanted.empty() ? fmt::format("qnext-{}-{}", name, UtcNow("{:%Y%m%d-%H%M%S}")) : wanted;
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) return Unavailable(folder.string() + ": " + error.message());
  return folder;
}

FactGroup DescribeBuild() {
  return {.title = "build",
          .facts = {{.name = "version", .value = Version()},
                    {.name = "commit", .value = GitCommit()},
                    {.name = "build type", .value = BuildType()}}};
}

FactGroup DescribeModel(const Engine& engine) {
  return {.title = "model",
          .facts = {{.name = "name", .value = engine.info().model_name},
                    {.name = "weights", .value = FormatBytes(engine.info().weight_bytes)},
                    {.name = "loaded in", .value = fmt::format("{:.3g} s", engine.info().load_seconds)}}};
}

FactGroup DescribeOptions(const ModelFlags& flags, const Engine& engine) {
  FactGroup group{.title = "options", .facts = {}};
  for (auto& [name, value] : DescribeFlags(flags, engine)) group.facts.push_back({.name = name, .value = value});
  group.facts.push_back({.name = "sampling", .value = "temperature 0.7, top_k 20, top_p 0.8, eos ignored"});
  return group;
}

Workload WorkloadFor(const BenchOptions& options) {
  if (options.kind == "standard") return StandardWorkload(options.repetitions.value_or(kModelRepetitions));
  if (options.kind == "stress") return StressWorkload(options.repetitions.value_or(0));
  if (options.kind == "memory") return MemoryWorkload(options.repetitions.value_or(kMemoryRepetitions));
  return QuickWorkload(options.repetitions.value_or(kModelRepetitions));
}

// The settings of every benchmark: what is asked, and by which program. How often and how long may differ.
BenchmarkSettings SettingsOf(const BenchOptions& options) {
  return {{"benchmark", options.kind}, {"program", fmt::format("{} {} {}", Version(), GitCommit(), BuildType())}};
}

void AddFacts(BenchmarkSettings& settings, const FactGroup& group, std::initializer_list<std::string_view> but = {}) {
  for (const Fact& fact : group.facts) {
    if (std::ranges::find(but, fact.name) == but.end())
      settings.emplace_back(group.title + ": " + fact.name, fact.value);
  }
}

// Runs the benchmark, with every sample kept in the folder at once where it may take long.
Result<BenchmarkRun> Measure(Target& target, const BenchOptions& options, const std::filesystem::path& folder,
                             const BenchmarkSettings& settings, BenchmarkRunOptions run) {
  const Workload workload = WorkloadFor(options);
  run.time_limit_seconds = options.time_limit > 0 || !workload.endless ? options.time_limit : kStressSeconds;
  StepProgressPrinter progress(stderr);
  run.progress = [&](const RunProgress& now) { progress.Update(now); };
  if (options.kind == "quick") return RunBenchmark(target, workload, run);
  QNEXT_ASSIGN_OR_RETURN(SampleLog log, SampleLog::Open(folder.string(), settings));
  run.before = log.before();
  if (!run.before.empty()) Remark(fmt::format("qnext: goes on after {} samples of before", run.before.size()));
  auto kept = static_cast<int64_t>(run.before.size());
  run.keep = [&](const LoggedSample& sample) {
    ++kept;
    return log.Append(sample);
  };
  Result<BenchmarkRun> result = RunBenchmark(target, workload, run);
  if (result.ok() || kept == 0) return result;
  return Status(result.status().code(),
                fmt::format("{}; {} samples are kept, and the same options with --out {} go on from there",
                            result.status().message(), kept, folder.string()));
}

// What a run adds to a report.
void Fill(BenchmarkReport& report, const BenchOptions& options, BenchmarkRun run) {
  report.benchmark = options.kind;
  report.date = IsoNow();
  report.time_limit = options.time_limit;
  report.warm_ups = std::move(run.warm_ups);
  report.cells = std::move(run.cells);
  report.left_out = std::move(run.left_out);
  report.seconds = run.seconds;
  int64_t sessions = 1;
  for (const BenchmarkCell& cell : report.cells) {
    for (const BenchmarkSample& sample : cell.samples) sessions = std::max(sessions, sample.session + 1);
  }
  if (sessions > 1)
    report.caveats.push_back(fmt::format("Measured in {} sessions, each after warm-ups of its own.", sessions));
  if (!report.left_out.empty()) {
    report.caveats.push_back(fmt::format(
        "{} of the benchmark's cells were run less often than wanted, or not at all; they are listed below.",
        report.left_out.size()));
  }
  if (std::string caveat = BurstCaveat(report); !caveat.empty()) report.caveats.push_back(std::move(caveat));
}

// Writes the two forms and prints one.
Status Publish(const BenchmarkReport& report, const std::filesystem::path& folder) {
  const std::string markdown = FormatBenchmarkMarkdown(report);
  QNEXT_RETURN_IF_ERROR(WriteWholeFile((folder / "report.json").string(), FormatBenchmarkJson(report)));
  QNEXT_RETURN_IF_ERROR(WriteWholeFile((folder / "report.md").string(), markdown));
  fmt::print("{}\nThe report is in {}\n", markdown, folder.string());
  return {};
}

// The files of a report must not lie in a checkpoint, nor be what a command reads.
Status CheckOut(const BenchOptions& options) {
  if (options.out.empty()) return {};
  KeptFiles kept = FilesRead(options.model);
  if (!options.url.empty()) kept.folder.clear();  // --model is a name there
  kept.files.insert(kept.files.end(),
                    {{"--api-key-file", options.api_key_file}, {"--path", options.path}, {"--machine", options.rates}});
  if (options.out.ends_with(".json")) return CheckApart("--out", options.out, kept);
  for (const char* name : {"report.json", "report.md", "samples.jsonl", "machine.json", "machine.md"}) {
    QNEXT_RETURN_IF_ERROR(CheckApart("--out", (std::filesystem::path(options.out) / name).string(), kept));
  }
  return {};
}

Status CheckUrlOptions(const BenchOptions& options) {
  const std::pair<const char*, bool> only_with_url[] = {{"--api-key-file", !options.api_key_file.empty()},
                                                        {"--prompt-ids", !options.prompt_ids.empty()},
                                                        {"--standard-fields", options.standard_fields}};
  for (const auto& [name, given] : only_with_url) {
    if (given && options.url.empty()) return InvalidArgument(fmt::format("{}: only with --url", name));
  }
  if (options.url.empty()) return {};
  if (const Status status = ParseHttpUrl(options.url).status(); !status.ok()) return status.WithContext("--url");
  if (!options.model.synthetic.empty()) return InvalidArgument("--synthetic: not with --url, which loads nothing");
  if (options.model.ctx && *options.model.ctx < 2) return InvalidArgument("--ctx: must be at least 2");
  if (!options.prompt_ids.empty()) QNEXT_RETURN_IF_ERROR(ParseIdRange(options.prompt_ids).status());
  if (!(options.timeout > 0) || options.timeout > 1e6) return InvalidArgument("--timeout: must be in (0, 1e6]");
  return {};
}

}  // namespace

Status CheckBenchOptions(const BenchOptions& options) {
  const bool machine = options.kind == "machine";
  constexpr std::string_view kKinds[] = {"quick", "standard", "stress", "memory", "machine"};
  if (std::ranges::find(kKinds, options.kind) == std::end(kKinds)) {
    return InvalidArgument(
        fmt::format("bench: the kind must be quick, standard, stress, memory or machine, not \"{}\"", options.kind));
  }
  if (options.repetitions && *options.repetitions < 1) return InvalidArgument("--repetitions: must be at least 1");
  if (!(options.time_limit >= 0)) return InvalidArgument("--time-limit: must not be negative");
  if (machine && !options.url.empty()) return InvalidArgument("--url: bench machine measures this machine");
  const std::string& device = options.model.device;
  if (machine && !device.empty() && device != "cpu" && device != "cuda") {
    return InvalidArgument(fmt::format("--device: cpu or cuda, not \"{}\"", device));
  }
  if (!options.rates.empty() && (options.kind != "memory" || !options.url.empty())) {
    return InvalidArgument("--machine: only for bench memory of a model; it predicts what other budgets would give");
  }
  if (!machine && !options.path.empty()) return InvalidArgument("--path: only for bench machine");
  QNEXT_RETURN_IF_ERROR(CheckUrlOptions(options));
  QNEXT_RETURN_IF_ERROR(CheckOut(options));
  // A model in the configuration file is for other commands, not a mistake.
  if (machine || !options.url.empty()) return {};
  return CheckModelFlags(options.model);
}

Status RunModelBenchmark(const BenchOptions& options) {
  QNEXT_ASSIGN_OR_RETURN(const std::filesystem::path folder, MakeFolder(options.out, "report"));
  const std::string rates = options.rates.empty() ? "laptop" : options.rates;
  QNEXT_RETURN_IF_ERROR(LoadMachineRates(rates).status());
  const FactGroup machine = DescribeMachine();  // before the workers are pinned to a part of it
  // What --ram would be, in whole GiB: a plan's table is easier read so.
  const int64_t available = AvailableMemory() / 10 * 9 >> 30 << 30;
  const ProcessMemory before = ReadProcessMemory();
  QNEXT_ASSIGN_OR_RETURN(const std::unique_ptr<Engine> engine, LoadEngine(options.model, ChatUse::kNone));
  const EngineInfo& info = engine->info();
  const ProcessMemory loaded = ReadProcessMemory();
  const FactGroup model = DescribeModel(*engine), flags = DescribeOptions(options.model, *engine);
  BenchmarkSettings settings = SettingsOf(options);
  AddFacts(settings, machine, {"memory available"});
  AddFacts(settings, model, {"loaded in"});
  AddFacts(settings, flags, {"GPU memory planned", "experts"});  // which follow from these:
  settings.insert(
      settings.end(),
      {{"--vram", options.model.vram}, {"--ram", options.model.ram}, {"--handshake", options.model.handshake}});
  InProcessTarget target(*engine, std::random_device()());
  QNEXT_ASSIGN_OR_RETURN(BenchmarkRun run, Measure(target, options, folder, settings,
                                                   {.context = engine->context(), .starts_cold = true}));
  BenchmarkReport report{.subject = info.is_the_80b ? Subject::kThe80B : Subject::kAnother,
                         .caveats = Caveats(*engine),
                         .budgets = BudgetsOf(options.model),
                         .memory = MemoryComponents(*engine, before, loaded),
                         .facts = {machine, DescribeBuild(), model, flags}};
  if (info.simulated_routing) report.simulated_routing = Describe(*info.simulated_routing);
  Fill(report, options, std::move(run));
  if (options.kind == "memory") {
    Result<Sweep> sweep = SweepBudgets(options.model, rates, engine->context(), available);
    if (sweep.ok()) {
      report.sweep = *std::move(sweep);
    } else {
      report.caveats.push_back("What other budgets would give is not told: " + sweep.status().message());
    }
  }
  return Publish(report, folder);
}

Status RunServerBenchmark(const BenchOptions& options) {
  HttpTargetOptions http{.url = ParseHttpUrl(options.url).value(),
                         .model = options.model.model,
                         .standard_fields = options.standard_fields,
                         .prompt_seed = std::random_device()(),
                         .timeout_seconds = options.timeout};
  if (!options.api_key_file.empty()) {
    QNEXT_ASSIGN_OR_RETURN(const std::vector<std::string> keys, server::ReadApiKeys(options.api_key_file));
    http.api_key = keys.front();
  }
  std::string prompts = "random words, counted by the server";
  if (!options.prompt_ids.empty()) {
    http.prompt_ids = ParseIdRange(options.prompt_ids).value();
    prompts = "random token ids " + options.prompt_ids;
  }
  QNEXT_ASSIGN_OR_RETURN(const std::filesystem::path folder, MakeFolder(options.out, "report"));
  QNEXT_ASSIGN_OR_RETURN(const std::unique_ptr<HttpTarget> target, HttpTarget::Connect(http));
  const FactGroup server{
      .title = "server",
      .facts = {{.name = "URL", .value = http.url.ToString()},
                {.name = "model", .value = target->model()},
                {.name = "prompts", .value = prompts},
                {.name = "sampling",
                 .value = options.standard_fields ? "temperature 0.7, top_p 0.8"
                                                  : "temperature 0.7, top_k 20, top_p 0.8, eos ignored"}}};
  BenchmarkSettings settings = SettingsOf(options);
  AddFacts(settings, server);
  const bool knows_context = options.model.ctx || target->context();
  const int64_t context = options.model.ctx.value_or(target->context().value_or(kAssumedContext));
  QNEXT_ASSIGN_OR_RETURN(BenchmarkRun run, Measure(*target, options, folder, settings, {.context = context}));
  FactGroup client = DescribeMachine();
  client.title = "machine of the client";
  BenchmarkReport report{
      .over_http = true,
      .caveats = {"Measured over HTTP: times are those at which the client saw the text, and tokens are those that the "
                  "server counted."},
      .facts = {server, client, DescribeBuild()}};
  report.facts[0].facts.push_back({.name = "prompt seed", .value = std::to_string(http.prompt_seed)});
  // As this program names them; whether the routing is simulated as well is the server's secret.
  if (target->model().starts_with("synthetic-")) {
    report.caveats.push_back("By its name the model's weights are synthetic: what it answers means nothing.");
  }
  if (!knows_context && options.kind != "quick") {
    report.caveats.push_back(fmt::format(
        "The server does not say how much context it has; {} tokens were taken for it (--ctx).", kAssumedContext));
  }
  Fill(report, options, std::move(run));
  return Publish(report, folder);
}

Status RunMachineBenchmark(const BenchOptions& options) {
  // A .json file by name, or a folder for both forms.
  const bool file = options.out.ends_with(".json");
  std::filesystem::path folder;
  if (!file) {
    QNEXT_ASSIGN_OR_RETURN(folder, MakeFolder(options.out, "machine"));
  }
  QNEXT_ASSIGN_OR_RETURN(MachineReport report,
                         MeasureMachine({.repeats = options.repetitions.value_or(kMachineRepetitions),
                                         .disk_path = options.path,
                                         .device = options.model.device,
                                         .progress = PrintStep}));
  report.date = IsoNow();
  const std::filesystem::path json = file ? std::filesystem::path(options.out) : folder / "machine.json";
  const std::string markdown = FormatMachineMarkdown(report);
  QNEXT_RETURN_IF_ERROR(WriteWholeFile(json.string(), FormatMachineJson(report)));
  if (!file) QNEXT_RETURN_IF_ERROR(WriteWholeFile((folder / "machine.md").string(), markdown));
  fmt::print("{}\nThe figures are in {}\n", markdown, json.string());
  return {};
}

Result<std::pair<int32_t, int32_t>> ParseIdRange(const std::string& text) {
  int32_t first = 0, last = 0;
  const char* end = text.data() + text.size();
  const auto begin = std::from_chars(text.data(), end, first);
  if (begin.ec == std::errc() && begin.ptr != end && *begin.ptr == '-') {
    const auto rest = std::from_chars(begin.ptr + 1, end, last);
    if (rest.ec == std::errc() && rest.ptr == end && first >= 0 && last > first) return std::pair(first, last);
  }
  return InvalidArgument(fmt::format("--prompt-ids: two token ids, the smaller first, as 1000-5000, not \"{}\"", text));
}

}  // namespace qnext
