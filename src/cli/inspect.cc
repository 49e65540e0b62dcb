// qnext inspect: what a checkpoint folder holds, and what is wrong with it.
#include "checkpoint/inspect.h"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include "cli/command.h"
#include "cli/inspect_text.h"
#include "cli/model_options.h"
#include "cli/output.h"

namespace qnext {
namespace {

class InspectCommand : public Command {
 public:
  const char* name() const override { return "inspect"; }
  const char* summary() const override {
    return "Say what a checkpoint holds: tensors, quantization, sizes, tokenizer, problems.";
  }

  void AddOptions(CLI::App& app) override {
    AddModelFolderOption(app, folder_);
    app.add_flag("--json", json_, "print one JSON object");
  }

  Status Check() override { return CheckModelFolder(folder_); }

  Status Run() override {
    QNEXT_ASSIGN_OR_RETURN(InspectReport report, Inspect(folder_));
    InspectText(folder_, report);
    // What templates and files say reaches a terminal; JSON escapes by itself.
    for (std::vector<std::string>* list : {&report.problems, &report.warnings}) {
      for (std::string& line : *list) line = json_ ? std::move(line) : OneLine(line);
    }
    TextOutput out(stdout);
    out.Write(json_ ? FormatInspectJson(report) : FormatInspectText(report));
    QNEXT_RETURN_IF_ERROR(out.status());
    if (!report.loadable()) {
      const size_t more = report.problems.size() - 1;
      return Corrupt(folder_ + ": cannot be loaded: " + report.problems.front() +
                     (more > 0 ? " (and " + std::to_string(more) + " more)" : ""));
    }
    return {};
  }

 private:
  std::string folder_;
  bool json_ = false;
};

}  // namespace

std::unique_ptr<Command> MakeInspectCommand() { return std::make_unique<InspectCommand>(); }

}  // namespace qnext
