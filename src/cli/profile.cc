// qnext profile: where the time of a decode step on a GPU goes, kernel by kernel. For developers; hidden from --help.
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "cli/command.h"
#include "cli/model_options.h"
#include "cli/option_errors.h"
#include "cli/output.h"
#include "cli/profile_table.h"
#include "cli/result_file.h"
#include "engine/model_files.h"
#include "engine/model_loader.h"

namespace qnext {
namespace {

constexpr int64_t kMostContext = 262000;
constexpr int64_t kStepsOfAMeasurement = 64;  // positions that replays move on by, with some to spare

struct ProfileOptions {
  ModelFlags model;
  int64_t context = 1024;
  std::string json_file;
};

Status WriteJson(const std::string& path, const nlohmann::json& json) {
  return WriteWholeFile(path, json.dump(1) + "\n");
}

class ProfileCommand : public Command {
 public:
  const char* name() const override { return "profile"; }
  const char* summary() const override { return "Show where the time of a decode step on a GPU goes."; }
  bool hidden() const override { return true; }

  void AddOptions(CLI::App& app) override {
    app.add_option("--context", options_.context, "tokens that the step looks back on")
        ->type_name("N")
        ->capture_default_str();
    app.add_option("--json", options_.json_file, "write the figures to this file as well")->type_name("FILE");
    AddModelOptions(app, options_.model);
  }

  Status Check() override {
    if (options_.context < 1 || options_.context > kMostContext) {
      return InvalidArgument(fmt::format("--context: must be from 1 to {}", kMostContext));
    }
    if (options_.model.device == "cpu") return InvalidArgument("--device: a profile is measured on a GPU");
    return CheckModelFlags(options_.model);
  }

  Status Run() override {
    QNEXT_ASSIGN_OR_RETURN(ModelLoadOptions load, ToLoadOptions(options_.model));
    load.device = Device::kCuda;  // nothing else can do it: say why instead of falling back
    QNEXT_ASSIGN_OR_RETURN(const ModelConfig config, LoadConfig(load));
    const Result<LoadedLanguageModel> loaded =
        LoadLanguageModel(load, config, {.context = options_.context + kStepsOfAMeasurement, .vocab_end = 0}, nullptr);
    if (!loaded.ok()) return InOptionTerms(loaded.status());
    QNEXT_ASSIGN_OR_RETURN(const StepTimes times, loaded->model->Profile(options_.context));
    TextOutput out(stdout);
    out.Write(FormatProfile(times, loaded->info.gpu));
    QNEXT_RETURN_IF_ERROR(out.status());
    return options_.json_file.empty() ? Status()
                                      : WriteJson(options_.json_file, ProfileToJson(times, loaded->info.gpu));
  }

 private:
  ProfileOptions options_;
};

}  // namespace

std::unique_ptr<Command> MakeProfileCommand() { return std::make_unique<ProfileCommand>(); }

}  // namespace qnext
