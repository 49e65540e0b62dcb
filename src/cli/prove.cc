// qnext prove: whether a checkpoint runs on this machine, rightly and fast enough, with everything that shows it.
#include <CLI/CLI.hpp>

#include "cli/command.h"
#include "cli/prove_run.h"

namespace qnext {
namespace {

class ProveCommand : public Command {
 public:
  const char* name() const override { return "prove"; }
  const char* summary() const override {
    return "Prove a checkpoint on this machine: answers, perplexity, speed, memory; one folder to send.";
  }

  void AddOptions(CLI::App& app) override {
    app.add_option("--out", options_.out,
                   "the folder for everything: prove.md, prove.json, prove.log, inspect.*, plan.*, machine.*; default "
                   "./qnext-prove-<date>")
        ->type_name("DIR");
    app.add_option("--repetitions", options_.repetitions, "runs of each case of the quick benchmark; default 5")
        ->type_name("N");
    app.add_option("--seconds", options_.seconds,
                   "seconds of decoding to look at, at least: more runs follow the benchmark until there are as many. "
                   "With fewer than 10 nothing can pass")
        ->type_name("X")
        ->capture_default_str();
    app.add_flag(
        "--skip-rates", options_.skip_rates,
        "do not measure the machine's own rates first, which takes a minute; the plan then assumes a laptop's");
    AddModelOptions(app, options_.model);
    AddContextOption(app, options_.model);
    AddChatTemplateOption(app, options_.model);
  }

  Status Check() override { return CheckProveOptions(options_); }
  Status Run() override { return RunProof(options_); }

 private:
  ProveOptions options_;
};

}  // namespace

std::unique_ptr<Command> MakeProveCommand() { return std::make_unique<ProveCommand>(); }

}  // namespace qnext
