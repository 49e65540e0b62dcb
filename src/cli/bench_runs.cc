#include "cli/bench_runs.h"

#include <fmt/chrono.h>
#include <fmt/core.h>

#include <charconv>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <random>
#include <system_error>

#include "base/bytes.h"
#include "bench/http_target.h"
#include "bench/report.h"
#include "bench/runner.h"
#include "cli/in_process_target.h"
#include "cli/machine.h"
#include "cli/machine_probe.h"
#include "cli/output.h"
#include "cli/result_file.h"
#include "cli/version.h"
#include "server/auth.h"

namespace qnext {
namespace {

constexpr int kModelRepetitions = 5, kMachineRepetitions = 7;

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

RunnerOptions ToRunnerOptions(const BenchOptions& options) {
  RunnerOptions runner;
  runner.time_limit_seconds = options.time_limit;
  runner.progress = PrintStep;
  return runner;
}

// Writes the two forms and prints one.
Status Publish(const Report& report, const std::filesystem::path& folder) {
  const std::string markdown = FormatReportMarkdown(report);
  QNEXT_RETURN_IF_ERROR(WriteWholeFile((folder / "report.json").string(), FormatReportJson(report)));
  QNEXT_RETURN_IF_ERROR(WriteWholeFile((folder / "report.md").string(), markdown));
  fmt::print("{}\nThe report is in {}\n", markdown, folder.string());
  return {};
}

// The files of a report must not lie in a checkpoint, nor be what a command reads.
Status CheckOut(const BenchOptions& options) {
  if (options.out.empty()) return {};
  KeptFiles kept = FilesRead(options.model);
  if (!options.url.empty()) kept.folder.clear();  // --model is a name there
  kept.files.insert(kept.files.end(), {{"--api-key-file", options.api_key_file}, {"--path", options.path}});
  if (options.out.ends_with(".json")) return CheckApart("--out", options.out, kept);
  for (const char* name : {"report.json", "report.md", "machine.json", "machine.md"}) {
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
  if (!options.prompt_ids.empty()) QNEXT_RETURN_IF_ERROR(ParseIdRange(options.prompt_ids).status());
  if (!(options.timeout > 0) || options.timeout > 1e6) return InvalidArgument("--timeout: must be in (0, 1e6]");
  return {};
}

}  // namespace

Status CheckBenchOptions(const BenchOptions& options) {
  const bool machine = options.kind == "machine";
  if (options.kind != "quick" && !machine) {
    return InvalidArgument(fmt::format("bench: the kind must be quick or machine, not \"{}\"", options.kind));
  }
  if (options.repetitions && *options.repetitions < 1) return InvalidArgument("--repetitions: must be at least 1");
  if (!(options.time_limit >= 0)) return InvalidArgument("--time-limit: must not be negative");
  if (machine && !options.url.empty()) return InvalidArgument("--url: bench machine measures this machine");
  const std::string& device = options.model.device;
  if (machine && !device.empty() && device != "cpu" && device != "cuda") {
    return InvalidArgument(fmt::format("--device: cpu or cuda, not \"{}\"", device));
  }
  if (!machine && !options.path.empty()) return InvalidArgument("--path: only for bench machine");
  QNEXT_RETURN_IF_ERROR(CheckUrlOptions(options));
  QNEXT_RETURN_IF_ERROR(CheckOut(options));
  // A model in the configuration file is for other commands, not a mistake.
  if (machine || !options.url.empty()) return {};
  return CheckModelFlags(options.model);
}

Status RunModelBenchmark(const BenchOptions& options) {
  const Workload workload = QuickWorkload(options.repetitions.value_or(kModelRepetitions));
  QNEXT_ASSIGN_OR_RETURN(const std::filesystem::path folder, MakeFolder(options.out, "report"));
  const FactGroup machine = DescribeMachine();  // before the workers are pinned to a part of it
  QNEXT_ASSIGN_OR_RETURN(const std::unique_ptr<Engine> engine, LoadEngine(options.model, ChatUse::kNone));
  const ProcessMemory loaded = ReadProcessMemory();
  InProcessTarget target(*engine);
  QNEXT_ASSIGN_OR_RETURN(LoadResult result, RunWorkload(target, workload, ToRunnerOptions(options)));
  const Report report{
      .date = IsoNow(),
      .facts = {machine, DescribeBuild(), DescribeModel(*engine), DescribeOptions(options.model, *engine)},
      .workload = workload,
      .result = std::move(result),
      .notes = Caveats(*engine),
      .memory = {{.name = "weights", .bytes = engine->info().weight_bytes},
                 {.name = "process after loading", .bytes = loaded.resident_bytes},
                 {.name = "process, peak (VmHWM)", .bytes = ReadProcessMemory().peak_bytes}},
      .subject = engine->info().is_the_80b ? Subject::kThe80B : Subject::kAnother};
  return Publish(report, folder);
}

Status RunServerBenchmark(const BenchOptions& options) {
  const Workload workload = QuickWorkload(options.repetitions.value_or(kModelRepetitions));
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
  QNEXT_ASSIGN_OR_RETURN(LoadResult result, RunWorkload(*target, workload, ToRunnerOptions(options)));
  FactGroup client = DescribeMachine();
  client.title = "machine of the client";
  const FactGroup server{
      .title = "server",
      .facts = {{.name = "URL", .value = http.url.ToString()},
                {.name = "model", .value = target->model()},
                {.name = "prompts", .value = prompts},
                {.name = "prompt seed", .value = std::to_string(http.prompt_seed)},
                {.name = "sampling",
                 .value = options.standard_fields ? "temperature 0.7, top_p 0.8"
                                                  : "temperature 0.7, top_k 20, top_p 0.8, eos ignored"}}};
  Report report{
      .date = IsoNow(),
      .facts = {server, client, DescribeBuild()},
      .workload = workload,
      .result = std::move(result),
      .notes = {"Measured over HTTP: times are those at which the client saw the text, and tokens are those that "
                "the server counted."},
      .memory = {}};
  if (std::string caveat = BurstCaveat(report.result); !caveat.empty()) report.notes.push_back(std::move(caveat));
  // As this program names them; whether the routing is simulated as well is the server's secret.
  if (target->model().starts_with("synthetic-")) {
    report.notes.push_back("By its name the model's weights are synthetic: what it answers means nothing.");
  }
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
