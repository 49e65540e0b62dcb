// qnext profile: where the time of a decode step on a GPU goes, kernel by kernel. For developers; hidden from --help.
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <nlohmann/json.hpp>

#include "cli/command.h"
#include "cli/model_options.h"
#include "cli/option_errors.h"
#include "cli/output.h"
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

double Sum(const StepTimes& times) {
  double sum = 0;
  for (const KernelTime& kernel : times.kernels) sum += kernel.us;
  return sum;
}

double ReadShare(const KernelTime& kernel, const StepTimes& times) {
  return kernel.us > 0 ? static_cast<double>(kernel.bytes) / (kernel.us * 1e-6) / times.read_bytes_per_second : 0;
}

std::string FormatTable(const StepTimes& times, const std::string& device) {
  std::string text = fmt::format("{}: {:.1f} us a step at {} tokens of context, {:.1f} GB/s read rate\n", device,
                                 times.step_us, times.context, times.read_bytes_per_second / 1e9);
  text += fmt::format("{:<18}{:>9}{:>11}{:>10}{:>10}{:>11}{:>8}\n", "kernel", "launches", "us/launch", "us/layer",
                      "us/step", "MB/step", "read");
  for (const KernelTime& kernel : times.kernels) {
    text += fmt::format("{:<18}{:>9}{:>11.2f}{:>10.2f}{:>10.1f}{:>11.2f}{:>7.0f}%\n", kernel.name, kernel.launches,
                        kernel.us / static_cast<double>(kernel.launches), kernel.us / static_cast<double>(times.layers),
                        kernel.us, static_cast<double>(kernel.bytes) / 1e6, 100 * ReadShare(kernel, times));
  }
  const double sum = Sum(times);
  text += fmt::format("{:<18}{:>40.1f}\n{:<18}{:>40.1f}\n", "sum", sum, "rest", times.step_us - sum);
  return text;
}

nlohmann::json ToJson(const StepTimes& times, const DeviceInfo& info) {
  nlohmann::json kernels = nlohmann::json::array();
  for (const KernelTime& kernel : times.kernels) {
    kernels.push_back({{"name", kernel.name},
                       {"launches", kernel.launches},
                       {"us", kernel.us},
                       {"bytes", kernel.bytes},
                       {"read_share", ReadShare(kernel, times)}});
  }
  return {{"device", info.gpu},       {"layers", times.layers}, {"context", times.context},
          {"step_us", times.step_us}, {"sum_us", Sum(times)},   {"read_bytes_per_second", times.read_bytes_per_second},
          {"kernels", kernels}};
}

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
    out.Write(FormatTable(times, loaded->info.gpu));
    QNEXT_RETURN_IF_ERROR(out.status());
    return options_.json_file.empty() ? Status() : WriteJson(options_.json_file, ToJson(times, loaded->info));
  }

 private:
  ProfileOptions options_;
};

}  // namespace

std::unique_ptr<Command> MakeProfileCommand() { return std::make_unique<ProfileCommand>(); }

}  // namespace qnext
