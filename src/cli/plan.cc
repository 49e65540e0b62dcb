// qnext plan: what a model would take of VRAM and RAM under given budgets, and how fast it could be. No GPU, no
// weights.
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <cstdio>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "cli/command.h"
#include "cli/machine.h"
#include "cli/output.h"
#include "cli/plan_case.h"
#include "kernels/cuda/launch.h"

namespace qnext {
namespace {

constexpr int64_t kAssumedVram = int64_t{15} << 30;  // a 16 GB card whose driver and display have their part
constexpr int64_t kVramMargin = int64_t{256} << 20;
constexpr int64_t kDefaultContext = 32768;
constexpr size_t kMostCases = 1000;

// Values as typed; empty: the default.
struct PlanFlags {
  std::string model, config, vram, ram, ctx, kv, dense, parallel, prefix_store, machine;
  int threads = 0;
  std::optional<double> hits, promotions;
  bool sweep = false, json = false;
};

std::vector<std::string> SplitList(const std::string& text) {
  std::vector<std::string> parts;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(',', begin), text.size());
    parts.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

// A comma-separated list through `parse`, errors behind the option's name.
template <typename T>
Result<std::vector<T>> ParseList(const char* option, const std::string& text,
                                 const std::function<Result<T>(const std::string&)>& parse) {
  std::vector<T> values;
  for (const std::string& part : SplitList(text)) {
    Result<T> value = parse(part);
    if (!value.ok()) {
      const bool named = value.status().message().starts_with("--");
      return named ? value.status() : value.status().WithContext(option);
    }
    values.push_back(*std::move(value));
  }
  return values;
}

Result<int64_t> ParseSize(const std::string& text) { return ParseByteSize(text); }

std::function<Result<int64_t>(const std::string&)> NumberParser(int64_t min, int64_t max) {
  return [min, max](const std::string& text) -> Result<int64_t> {
    int64_t value = 0;
    const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || rest != text.data() + text.size() || value < min || value > max) {
      return InvalidArgument(fmt::format("\"{}\" is not a whole number of {} to {}", text, min, max));
    }
    return value;
  };
}

// The lists that the options came to; those not given are empty.
struct PlanLists {
  std::vector<int64_t> vram, ram, ctx, parallel;
  std::vector<KvType> kv;
  std::vector<DenseChoice> dense;
};

Result<PlanLists> ParseLists(const PlanFlags& flags) {
  PlanLists lists;
  const auto fill = [](const char* option, const std::string& text, auto parse, auto& list) -> Status {
    using T = typename std::decay_t<decltype(list)>::value_type;
    if (text.empty()) return Status();
    QNEXT_ASSIGN_OR_RETURN(list, ParseList<T>(option, text, parse));
    return Status();
  };
  QNEXT_RETURN_IF_ERROR(fill("--vram", flags.vram, ParseSize, lists.vram));
  QNEXT_RETURN_IF_ERROR(fill("--ram", flags.ram, ParseSize, lists.ram));
  QNEXT_RETURN_IF_ERROR(fill("--ctx", flags.ctx, NumberParser(1, int64_t{1} << 24), lists.ctx));
  QNEXT_RETURN_IF_ERROR(fill("--parallel", flags.parallel, NumberParser(1, cuda::kMaxDecodeRows), lists.parallel));
  QNEXT_RETURN_IF_ERROR(fill("--kv", flags.kv, ParseKv, lists.kv));
  QNEXT_RETURN_IF_ERROR(fill("--dense-weights", flags.dense, ParseDenseChoice, lists.dense));
  return lists;
}

// Every combination of the lists, in the order of the options.
std::vector<PlanCase> Combine(const PlanLists& lists) {
  std::vector<PlanCase> cases = {PlanCase()};
  const auto expand = [&cases](const auto& values, auto member) {
    std::vector<PlanCase> expanded;
    for (const PlanCase& one : cases) {
      for (const auto& value : values) {
        expanded.push_back(one);
        expanded.back().*member = value;
      }
    }
    cases = std::move(expanded);
  };
  expand(lists.vram, &PlanCase::vram);
  expand(lists.ram, &PlanCase::ram);
  expand(lists.ctx, &PlanCase::ctx);
  expand(lists.kv, &PlanCase::kv);
  expand(lists.dense, &PlanCase::dense);
  expand(lists.parallel, &PlanCase::parallel);
  return cases;
}

template <typename T>
void Default(std::vector<T>& list, std::vector<T> values) {
  if (list.empty()) list = std::move(values);
}

class PlanCommand : public Command {
 public:
  const char* name() const override { return "plan"; }
  const char* summary() const override {
    return "Say what a model takes of VRAM and RAM, and how fast it could be; needs no GPU.";
  }

  void AddOptions(CLI::App& app) override {
    app.add_option("--model", flags_.model, "the checkpoint's folder; only headers are read (this or --config)")
        ->type_name("DIR");
    app.add_option("--config", flags_.config, "80b-a, 80b-b or the path of a config.json: no checkpoint is needed")
        ->type_name("KIND|FILE");
    app.add_option(
           "--vram", flags_.vram,
           "hard budget of GPU memory; default: what --machine has less 256 MiB, else 15GiB. This and the options "
           "below take several values, separated by commas: a line for every combination")
        ->type_name("SIZE,...");
    app.add_option("--ram", flags_.ram,
                   "hard budget of memory; default: 90% of what --machine has, else of what is free here")
        ->type_name("SIZE,...");
    app.add_option("--ctx", flags_.ctx, "tokens of each sequence; default 32768, or the model's positions if fewer")
        ->type_name("N,...");
    app.add_option("--kv", flags_.kv, "KV cache; default bf16; fp8 and int8 take half the memory")
        ->type_name("bf16|fp8|int8|f32,...");
    app.add_option(
           "--dense-weights", flags_.dense,
           "16-bit weights outside the experts: stored (default), int8, or auto: int8 where the GPU reads under "
           "1 TB/s")
        ->type_name("stored|int8|auto,...");
    app.add_option("--parallel", flags_.parallel, "sequences that decode together; default 1")->type_name("N,...");
    app.add_option("--prefix-store", flags_.prefix_store, "refused: there is none yet")->group("");
    app.add_option("--threads", flags_.threads, "CPU workers; default: the most that --machine was measured with")
        ->type_name("N");
    app.add_option(
           "--machine", flags_.machine,
           "whose rates predict the speed: laptop (assumed figures of a 16 GB Ada laptop; default), reference (the "
           "machine that figures are measured on), or a machine.json")
        ->type_name("NAME|FILE");
    app.add_option("--hits", flags_.hits,
                   "also the bound of a run in which so many percent of the chosen experts were in VRAM, to hold its "
                   "speed against")
        ->type_name("PERCENT");
    app.add_option("--promotions", flags_.promotions,
                   "with --hits: experts that were copied into the cache per token, beside those fetched in the step")
        ->type_name("N");
    app.add_flag("--sweep", flags_.sweep, "also vary --ctx, --kv and --dense-weights where they are not given");
    app.add_flag("--json", flags_.json, "print JSON");
  }

  Status Check() override {
    if (flags_.model.empty() == flags_.config.empty()) {
      return InvalidArgument("plan: exactly one of --model and --config is needed");
    }
    if (!flags_.prefix_store.empty()) {
      return InvalidArgument(
          "--prefix-store: the program has no prefix store yet, and a plan has only what it allocates");
    }
    if (flags_.threads < 0 || flags_.threads > 4096) {
      return InvalidArgument(fmt::format("--threads: must be in [1, 4096], not {}", flags_.threads));
    }
    if (flags_.hits && !(*flags_.hits >= 0 && *flags_.hits <= 100)) {
      return InvalidArgument(fmt::format("--hits: must be in [0, 100], not {}", *flags_.hits));
    }
    if (flags_.promotions && !flags_.hits) return InvalidArgument("--promotions: only with --hits");
    if (flags_.promotions && !(*flags_.promotions >= 0 && *flags_.promotions <= 1e6)) {
      return InvalidArgument(fmt::format("--promotions: must be in [0, 1e6], not {}", *flags_.promotions));
    }
    QNEXT_ASSIGN_OR_RETURN(lists_, ParseLists(flags_));
    return Status();
  }

  Status Run() override {
    QNEXT_ASSIGN_OR_RETURN(const MachineRates machine,
                           LoadMachineRates(flags_.machine.empty() ? "laptop" : flags_.machine));
    QNEXT_ASSIGN_OR_RETURN(const PlanModel model, flags_.model.empty() ? PlanModel::FromKind(flags_.config)
                                                                       : PlanModel::FromFolder(flags_.model));
    QNEXT_RETURN_IF_ERROR(FillDefaults(machine, model.config()));
    const int64_t threads = flags_.threads > 0 ? flags_.threads : machine.memory_read.back().threads;
    const std::vector<PlanCase> cases = Combine(lists_);
    if (cases.size() > kMostCases) {
      return InvalidArgument(fmt::format("plan: {} combinations; at most {} are printed", cases.size(), kMostCases));
    }
    std::vector<PlanReport> reports;
    reports.reserve(cases.size());
    std::optional<MeasuredTraffic> measured;
    if (flags_.hits) measured = {.hit_share = *flags_.hits / 100, .promotions = flags_.promotions.value_or(0)};
    for (const PlanCase& one : cases) {
      QNEXT_ASSIGN_OR_RETURN(PlanReport report, model.Plan(one, machine, threads, measured));
      reports.push_back(std::move(report));
    }

    TextOutput out(stdout);
    const bool single = reports.size() == 1;
    if (single) {
      out.Write(flags_.json ? FormatPlanJson(reports[0]) : FormatPlanText(reports[0]));
    } else {
      out.Write(flags_.json ? FormatSweepJson(reports) : FormatSweepText(reports));
    }
    QNEXT_RETURN_IF_ERROR(out.status());
    if (single) return reports[0].fits;
    return FastestThatFits(reports) >= 0 ? Status() : reports.back().fits;
  }

 private:
  Status FillDefaults(const MachineRates& machine, const ModelConfig& config) {
    Default(lists_.vram, {machine.vram_bytes ? std::max<int64_t>(0, *machine.vram_bytes - kVramMargin) : kAssumedVram});
    if (lists_.ram.empty()) {
      const int64_t available = machine.ram_bytes ? *machine.ram_bytes : AvailableMemory();
      if (available <= 0) return InvalidArgument("--ram: this system does not say how much is free; give the budget");
      lists_.ram = {available / 10 * 9};
    }
    const int64_t most = config.max_position_embeddings;
    if (lists_.ctx.empty() && flags_.sweep) {
      for (const int64_t ctx : {8192, 32768, 131072, 262144}) {
        if (ctx <= most) lists_.ctx.push_back(ctx);
      }
    }
    Default(lists_.ctx, {std::min(kDefaultContext, most)});
    for (const int64_t ctx : lists_.ctx) {
      if (ctx > most) return InvalidArgument(fmt::format("--ctx: {} is more than the model's {} positions", ctx, most));
    }
    if (flags_.sweep) {
      Default(lists_.kv, {KvType::kBF16, KvType::kInt8});
      Default(lists_.dense, {DenseChoice::kStored, DenseChoice::kInt8});
    }
    Default(lists_.kv, {KvType::kBF16});
    Default(lists_.dense, {DenseChoice::kStored});
    Default(lists_.parallel, {int64_t{1}});
    return Status();
  }

  PlanFlags flags_;
  PlanLists lists_;
};

}  // namespace

std::unique_ptr<Command> MakePlanCommand() { return std::make_unique<PlanCommand>(); }

}  // namespace qnext
