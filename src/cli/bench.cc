// qnext bench: measures speed and memory, and writes a report folder.
#include <fmt/chrono.h>
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <system_error>

#include "base/bytes.h"
#include "bench/report.h"
#include "bench/runner.h"
#include "cli/command.h"
#include "cli/in_process_target.h"
#include "cli/machine.h"
#include "cli/model_options.h"
#include "cli/version.h"

namespace qnext {
namespace {

struct BenchOptions {
  std::string kind;
  ModelFlags model;
  int repetitions = 5;
  double time_limit = 0;
  std::string out;
};

std::string UtcNow(const char* format) {
  return fmt::format(fmt::runtime(format),
                     fmt::gmtime(std::chrono::system_clock::to_time_t(std::chrono::system_clock::now())));
}

Status WriteFile(const std::filesystem::path& path, const std::string& text) {
  std::ofstream file(path, std::ios::binary);
  file << text;
  file.close();
  if (!file) return Unavailable(path.string() + ": cannot be written");
  return {};
}

class BenchCommand : public Command {
 public:
  const char* name() const override { return "bench"; }
  const char* summary() const override { return "Measure speed and memory; writes a folder with the report."; }

  void AddOptions(CLI::App& app) override {
    app.add_option("kind", options_.kind,
                   "quick: prompts of 50 and 200 tokens, 100 tokens of output each, after a warm-up")
        ->type_name("quick");
    app.add_option("--repetitions", options_.repetitions, "runs of each case")->type_name("N")->capture_default_str();
    app.add_option("--time-limit", options_.time_limit,
                   "seconds after which no repetition begins (each case is run once all the same); 0: none")
        ->type_name("S")
        ->capture_default_str();
    app.add_option("--out", options_.out, "the folder for report.json and report.md; default ./qnext-report-<date>")
        ->type_name("DIR");
    AddModelOptions(app, options_.model);
    AddContextOption(app, options_.model);
  }

  Status Check() override {
    if (options_.kind != "quick") {
      return InvalidArgument(fmt::format("bench: the kind must be quick, not \"{}\"", options_.kind));
    }
    if (options_.repetitions < 1) return InvalidArgument("--repetitions: must be at least 1");
    if (!(options_.time_limit >= 0)) return InvalidArgument("--time-limit: must not be negative");
    return CheckModelFlags(options_.model);
  }

  Status Run() override {
    const Workload workload = QuickWorkload(options_.repetitions);
    QNEXT_ASSIGN_OR_RETURN(const std::filesystem::path folder, MakeFolder());
    const FactGroup machine = DescribeMachine();  // before the workers are pinned to a part of it
    QNEXT_ASSIGN_OR_RETURN(const std::unique_ptr<Engine> engine, LoadEngine(options_.model));
    const ProcessMemory loaded = ReadProcessMemory();

    InProcessTarget target(*engine);
    RunnerOptions runner;
    runner.time_limit_seconds = options_.time_limit;
    runner.progress = [](int64_t step, int64_t steps, const std::string& what) {
      fmt::print(stderr, "qnext: step {} of {}: {}\n", step, steps, what);
    };
    QNEXT_ASSIGN_OR_RETURN(LoadResult result, RunWorkload(target, workload, runner));

    Report report{.date = UtcNow("{:%Y-%m-%dT%H:%M:%SZ}"),
                  .facts = {machine, DescribeBuild(), DescribeModel(*engine), DescribeOptions(*engine)},
                  .workload = workload,
                  .result = std::move(result),
                  .memory = {{.name = "weights", .bytes = engine->info().weight_bytes},
                             {.name = "process after loading", .bytes = loaded.resident_bytes},
                             {.name = "process, peak (VmHWM)", .bytes = ReadProcessMemory().peak_bytes}}};
    const std::string markdown = FormatReportMarkdown(report);
    QNEXT_RETURN_IF_ERROR(WriteFile(folder / "report.json", FormatReportJson(report)));
    QNEXT_RETURN_IF_ERROR(WriteFile(folder / "report.md", markdown));
    fmt::print("{}\nThe report is in {}\n", markdown, folder.string());
    return {};
  }

 private:
  // Before the model is loaded: a folder that cannot be made should not cost an hour.
  Result<std::filesystem::path> MakeFolder() const {
    const std::filesystem::path folder =
        options_.out.empty() ? "qnext-report-" + UtcNow("{:%Y%m%d-%H%M%S}") : options_.out;
    std::error_code error;
    std::filesystem::create_directories(folder, error);
    if (error) return Unavailable(folder.string() + ": " + error.message());
    return folder;
  }

  static FactGroup DescribeBuild() {
    return {.title = "build",
            .facts = {{.name = "version", .value = Version()},
                      {.name = "commit", .value = GitCommit()},
                      {.name = "build type", .value = BuildType()}}};
  }

  static FactGroup DescribeModel(const Engine& engine) {
    return {.title = "model",
            .facts = {{.name = "name", .value = engine.info().model_name},
                      {.name = "weights", .value = FormatBytes(engine.info().weight_bytes)},
                      {.name = "loaded in", .value = fmt::format("{:.3g} s", engine.info().load_seconds)}}};
  }

  FactGroup DescribeOptions(const Engine& engine) const {
    FactGroup group{.title = "options", .facts = {}};
    for (auto& [name, value] : DescribeFlags(options_.model, engine)) {
      group.facts.push_back({.name = name, .value = value});
    }
    group.facts.push_back({.name = "sampling", .value = "temperature 0.7, top_k 20, top_p 0.8, eos ignored"});
    return group;
  }

  BenchOptions options_;
};

}  // namespace

std::unique_ptr<Command> MakeBenchCommand() { return std::make_unique<BenchCommand>(); }

}  // namespace qnext
