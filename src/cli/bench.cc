// qnext bench: measures a model's speed and memory, a server's speed, or the machine, and writes a report.
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <string>

#include "cli/bench_runs.h"
#include "cli/command.h"

namespace qnext {
namespace {

class BenchCommand : public Command {
 public:
  const char* name() const override { return "bench"; }
  const char* summary() const override { return "Measure a model, a server or the machine; writes a report."; }

  void AddOptions(CLI::App& app) override {
    app.add_option(
           "kind", options_.kind,
           "quick: prompts of 50 and 200 tokens, 100 tokens of output each, some minutes; standard: prompts of 50 "
           "to 1000 tokens, 100 to 1000 of output, contexts of 2048 and more as far as --ctx goes, an hour or "
           "more; stress: requests back to back, drift and growth of memory; memory: what prompts of all sizes "
           "take, and what other budgets would give; machine: memory, products, parallel loops, GPU and link, "
           "disk, without a model")
        ->type_name("quick|standard|stress|memory|machine");
    app.add_option(
           "--repetitions", options_.repetitions,
           "runs of each cell, or samples of each rate; default 5, with memory 3, with machine 7, with stress as "
           "many as there is time for")
        ->type_name("N");
    app.add_option(
           "--time-limit", options_.time_limit,
           "seconds, from the first run on; what would not end by then is left out and listed, the most important "
           "runs come first (quick runs each cell once all the same); 0: none, with stress 600")
        ->type_name("S")
        ->capture_default_str();
    app.add_option(
           "--out", options_.out,
           "the folder for report.json, report.md and samples.jsonl, with machine machine.json and machine.md or a "
           ".json file; default ./qnext-report-<date>, ./qnext-machine-<date>. standard, stress and memory go on with "
           "the samples that are there, if the settings are the same")
        ->type_name("DIR");
    app.add_option("--path", options_.path,
                   "machine: a file, or a folder with a large one, to read the disk's rate from")
        ->type_name("PATH");
    app.add_option("--machine", options_.rates,
                   "memory: whose rates predict what other budgets would give: laptop (default), reference, or a "
                   "machine.json")
        ->type_name("NAME|FILE");
    app.add_option("--url", options_.url,
                   "measure the OpenAI-compatible server there, http://HOST:PORT, instead of a model; --model is "
                   "then the name of its model, by default the first it lists")
        ->type_name("URL");
    app.add_option("--api-key-file", options_.api_key_file, "with --url: a file whose first line is the key")
        ->type_name("FILE");
    app.add_option("--prompt-ids", options_.prompt_ids,
                   "with --url: prompts of random token ids from A to B instead of words")
        ->type_name("A-B");
    app.add_flag("--standard-fields", options_.standard_fields,
                 "with --url: send only fields that OpenAI has; without ignore_eos answers may end early");
    app.add_option("--timeout", options_.timeout, "with --url: seconds to wait for the next byte")
        ->type_name("S")
        ->capture_default_str();
    AddModelOptions(app, options_.model);
    AddContextOption(app, options_.model);
  }

  Status Check() override { return CheckBenchOptions(options_); }

  Status Run() override {
    if (options_.kind == "machine") return RunMachineBenchmark(options_);
    return options_.url.empty() ? RunModelBenchmark(options_) : RunServerBenchmark(options_);
  }

 private:
  BenchOptions options_;
};

}  // namespace

std::unique_ptr<Command> MakeBenchCommand() { return std::make_unique<BenchCommand>(); }

}  // namespace qnext
