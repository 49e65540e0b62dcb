#include "cli/prove_run.h"

#include <fmt/chrono.h>
#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <new>
#include <sstream>
#include <utility>

#include "base/bytes.h"
#include "base/file.h"
#include "bench/workload.h"
#include "checkpoint/inspect.h"
#include "cli/in_process_target.h"
#include "cli/inspect_text.h"
#include "cli/interrupt.h"
#include "cli/machine.h"
#include "cli/machine_probe.h"
#include "cli/output.h"
#include "cli/own_thread.h"
#include "cli/plan_case.h"
#include "cli/prove_report.h"
#include "cli/version.h"
#include "engine/chat_session.h"
#include "engine/device.h"
#include "engine/model_files.h"
#include "hw/disk_probe.h"
#include "text/utf8.h"

namespace qnext {
namespace {

constexpr const char* kRates = "machine rates";
constexpr const char* kInspect = "inspect";
constexpr const char* kPlan = "plan";
constexpr const char* kLoad = "load";
constexpr const char* kAnswers = "answers";
constexpr const char* kPerplexity = "perplexity";
constexpr const char* kBenchmark = "benchmark";
constexpr const char* kMemory = "memory";

constexpr const char* kFiles[] = {"prove.md", "prove.json", "prove.log",    "inspect.txt", "inspect.json",
                                  "plan.txt", "plan.json",  "machine.json", "machine.md"};

constexpr int kRepetitions = 5, kRateRepeats = 3;
constexpr int64_t kAnswerTokens = 48, kThinkingTokens = 1024;
constexpr int64_t kWindow = 2048;
constexpr int64_t kAssumedVram = int64_t{15} << 30, kVramMargin = int64_t{256} << 20;  // as qnext plan has them
constexpr WorkloadCase kSustained{.prompt_tokens = 200, .output_tokens = 500};
constexpr int64_t kMostSustainedRuns = 1000;
constexpr uint64_t kRunSeed = 1;  // of prompts and draws, the same for every proof

// What a step has to say, and whether it was left out.
struct Outcome {
  StepState state = StepState::kOk;
  std::string says;
};
Outcome Done(std::string says) { return {.state = StepState::kOk, .says = std::move(says)}; }
Outcome Skip(std::string why) { return {.state = StepState::kSkipped, .says = std::move(why)}; }

std::string UtcNow(const char* format) {
  return fmt::format(fmt::runtime(format),
                     fmt::gmtime(std::chrono::system_clock::to_time_t(std::chrono::system_clock::now())));
}

// Ends with the flag, between runs: a run of the benchmark itself cannot be interrupted.
class InterruptibleTarget : public Target {
 public:
  InterruptibleTarget(Engine& engine, const InterruptFlag& interrupt)
      : target_(engine, kRunSeed), interrupt_(interrupt) {}
  Result<RunSample> Run(const WorkloadCase& work, int64_t run) override {
    if (interrupt_.raised()) return Cancelled("interrupted");
    return target_.Run(work, run);
  }

 private:
  InProcessTarget target_;
  const InterruptFlag& interrupt_;
};

class Proof {
 public:
  Proof(const ProveOptions& options, std::filesystem::path folder) : options_(options), folder_(std::move(folder)) {
    const ModelFlags& flags = options_.model;
    report_.date = UtcNow("{:%Y-%m-%dT%H:%M:%SZ}");
    report_.build = VersionText();
    report_.synthetic = !flags.synthetic.empty();
    report_.model = report_.synthetic ? "synthetic weights " + flags.synthetic : flags.model;
    for (const char* name : {kRates, kInspect, kPlan, kLoad, kAnswers, kPerplexity, kBenchmark, kMemory}) {
      ProveStep step;
      step.name = name;
      // What is assumed and predicted decides nothing; what was not given away here will show in loading.
      step.decides = name != kRates && name != kPlan;
      report_.steps.push_back(std::move(step));
    }
    report_.facts.push_back(DescribeMachine());  // before the workers are pinned to a part of it
  }

  Status Run() {
    log_.open(folder_ / "prove.log", std::ios::trunc);
    if (!log_) return Unavailable((folder_ / "prove.log").string() + ": cannot be written");
    Log("qnext prove: " + report_.model + ", " + report_.build);
    Step(kRates, [&] { return Rates(); });
    Step(kInspect, [&] { return InspectFolder(); });
    Step(kPlan, [&] { return Plan(); });
    Step(kLoad, [&] { return Load(); });
    if (engine_) {
      // From here on Ctrl-C ends the step that is under way and the report is finished.
      interrupt_.emplace();
      Step(kAnswers, [&] { return Ask(); });
      Step(kPerplexity, [&] { return TakePerplexity(); });
      Step(kBenchmark, [&] { return Benchmark(); });
      Step(kMemory, [&] { return Memory(); });
    }
    return Finish();
  }

 private:
  void Log(const std::string& line) {
    const std::string one = ReplaceInvalidUtf8(OneLine(line));
    log_ << fmt::format("{:9.1f} s  {}\n", Seconds(start_), one) << std::flush;
    Remark("qnext: " + one);
  }

  static double Seconds(std::chrono::steady_clock::time_point since) {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - since).count();
  }

  Status Write(const char* name, const std::string& text) {
    return WriteWholeFile((folder_ / name).string(), ReplaceInvalidUtf8(text));
  }

  // After every step, so that whatever ends the program leaves what was known, and a verdict.
  void Save() {
    report_.files.clear();
    for (const char* name : kFiles) {
      std::error_code ignored;
      const bool always = std::string_view(name).starts_with("prove.");
      if (always || std::filesystem::exists(folder_ / name, ignored)) report_.files.emplace_back(name);
    }
    Status status = Write("prove.json", FormatProveJson(report_));
    if (status.ok()) status = Write("prove.md", FormatProveMarkdown(report_));
    if (saved_.ok()) saved_ = status;
  }

  void Step(const char* name, const std::function<Result<Outcome>()>& work) {
    if (cancelled_) return;
    ProveStep& step = *report_.Find(name);
    step.state = StepState::kRunning;
    Save();
    Log(fmt::format("{} ...", name));
    const auto start = std::chrono::steady_clock::now();
    const auto guarded = [&]() -> Result<Outcome> {
      try {
        return work();
      } catch (const std::bad_alloc&) {
        return ResourceExhausted("out of memory");
      } catch (const std::exception& error) {
        return Internal(error.what());
      }
    };
    const Result<Outcome> outcome = guarded();
    step.seconds = Seconds(start);
    cancelled_ = outcome.status().code() == StatusCode::kCancelled;
    step.state = outcome.ok() ? outcome->state : StepState::kFailed;
    step.says = outcome.ok() ? outcome->says : outcome.status().message();
    Log(fmt::format("{}: {}: {}", name, StepStateName(step.state), step.says));
    Save();
  }

  Result<Outcome> Rates() {
    if (options_.skip_rates) return Skip("--skip-rates");
    const std::string disk = DiskToMeasure(options_.model.model);
    Status status = OnOwnThread([&]() -> Status {
      QNEXT_ASSIGN_OR_RETURN(MachineReport machine,
                             MeasureMachine({.repeats = kRateRepeats,
                                             .disk_path = disk,
                                             .device = options_.model.device,
                                             .progress = [&](int64_t step, int64_t steps, const std::string& what) {
                                               Log(fmt::format("step {} of {}: {}", step, steps, what));
                                             }}));
      machine.date = report_.date;
      machine_json_ = FormatMachineJson(machine);
      QNEXT_RETURN_IF_ERROR(Write("machine.json", machine_json_));
      return Write("machine.md", FormatMachineMarkdown(machine));
    });
    // Measuring walks through gigabytes, which are not the model's.
    peak_is_the_models_ = ResetPeakMemory();
    if (!status.ok()) return status;
    if (disk.empty()) return Done("in machine.md, without the disk: no file of 64 MiB is there to read");
    return Done("in machine.md");
  }

  Result<Outcome> InspectFolder() {
    if (report_.synthetic) return Skip("weights made in memory: there is no checkpoint to look at");
    QNEXT_ASSIGN_OR_RETURN(InspectReport found, Inspect(options_.model.model));
    InspectText(options_.model.model, found);
    QNEXT_RETURN_IF_ERROR(Write("inspect.json", FormatInspectJson(found)));
    for (std::vector<std::string>* list : {&found.problems, &found.warnings}) {
      for (std::string& line : *list) line = OneLine(line);
    }
    QNEXT_RETURN_IF_ERROR(Write("inspect.txt", FormatInspectText(found)));
    for (const std::string& warning : found.warnings) Log("warning: " + warning);
    if (!found.loadable()) {
      return Corrupt(fmt::format("{} problems, the first: {}", found.problems.size(), found.problems.front()));
    }
    return Done(fmt::format("{} tensors, {}, {} warnings", found.tensors, FormatBytes(found.tensor_bytes),
                            found.warnings.size()));
  }

  // As qnext plan, for the GPU of this machine, or for an assumed one.
  Result<Outcome> Plan() {
    const ModelFlags& flags = options_.model;
    QNEXT_ASSIGN_OR_RETURN(const PlanModel model, report_.synthetic ? PlanModel::FromKind(flags.synthetic)
                                                                    : PlanModel::FromFolder(flags.model));
    QNEXT_ASSIGN_OR_RETURN(const int64_t context, ChooseContext(flags.ctx, model.config()));
    const bool measured = !machine_json_.empty();
    Result<MachineRates> rates =
        measured ? ParseMachineRates(machine_json_, "machine.json") : *BuiltInMachine("laptop");
    const std::string of = rates.ok() && measured ? "this machine's rates" : "the rates of an assumed laptop";
    if (!rates.ok()) {
      Log("the plan assumes a laptop's rates: " + rates.status().message());
      rates = *BuiltInMachine("laptop");
    }
    const Result<DeviceMemory> gpu =
        flags.device == "cpu" ? Result<DeviceMemory>(Unsupported("not asked for")) : ReadDeviceMemory();
    int64_t vram = gpu.ok() ? std::max<int64_t>(0, gpu->total - gpu->used - kVramMargin) : kAssumedVram;
    if (!flags.vram.empty()) vram = *ParseByteSize(flags.vram);
    std::ostringstream meminfo;
    meminfo << std::ifstream("/proc/meminfo").rdbuf();
    const int64_t ram =
        flags.ram.empty() ? ProcBytes(meminfo.str(), "MemAvailable") / 10 * 9 : *ParseByteSize(flags.ram);
    QNEXT_ASSIGN_OR_RETURN(const ModelLoadOptions load, ToLoadOptions(flags));
    QNEXT_ASSIGN_OR_RETURN(
        const PlanReport plan,
        model.Plan(
            {.vram = vram, .ram = ram, .ctx = context, .kv = load.model.kv_type, .dense = load.dense, .parallel = 1},
            *rates, load.threads.threads));
    QNEXT_RETURN_IF_ERROR(Write("plan.txt", FormatPlanText(plan)));
    QNEXT_RETURN_IF_ERROR(Write("plan.json", FormatPlanJson(plan)));
    const std::string where =
        gpu.ok() ? "" : fmt::format("for an assumed GPU with {} free, for none is used here: ", FormatBytes(vram));
    QNEXT_RETURN_IF_ERROR(plan.fits.WithContext(where.empty() ? "does not fit" : where + "does not fit"));
    return Done(fmt::format(
        "{}{} of {} experts in GPU memory; {} tokens/s predicted with {}", where, plan.plan.cached_experts,
        plan.plan.routed_experts,
        plan.decode.empty() ? "none" : fmt::format("{:.3g}", plan.decode.back().estimate.tokens_per_second()), of));
  }

  Result<Outcome> Load() {
    QNEXT_ASSIGN_OR_RETURN(const ModelLoadOptions load, ToLoadOptions(options_.model));
    QNEXT_ASSIGN_OR_RETURN(const ModelConfig config, LoadConfig(load));
    QNEXT_ASSIGN_OR_RETURN(engine_, LoadEngine(options_.model, ChatUse::kSome));
    const EngineInfo& info = engine_->info();
    for (const std::string& warning : engine_->Warnings(ChatUse::kSome)) Log("warning: " + warning);
    report_.is_the_80b = info.is_the_80b;
    report_.caveats = Caveats(*engine_);
    report_.known = DescribeKnownModel(config, engine_->tokenizer().vocab_end());
    FactGroup model{.title = "model",
                    .facts = {{.name = "name", .value = info.model_name},
                              {.name = "taken for", .value = report_.known->name},
                              {.name = "weights", .value = FormatBytes(info.weight_bytes)},
                              {.name = "loaded in", .value = fmt::format("{:.3g} s", info.load_seconds)}}};
    FactGroup options{.title = "options", .facts = {}};
    for (auto& [name, value] : DescribeFlags(options_.model, *engine_)) {
      options.facts.push_back({.name = name, .value = value});
    }
    report_.facts.push_back(std::move(model));
    report_.facts.push_back(std::move(options));
    return Done(fmt::format("{} in {:.3g} s on {}", FormatBytes(info.weight_bytes), info.load_seconds,
                            info.gpu.empty() ? "the CPU" : info.gpu));
  }

  // Whether the checkpoint's template has it think aloud first.
  Result<bool> Thinks() const {
    const Result<ChatFormat>& chat = engine_->chat();
    if (!chat.ok()) return chat.status();
    QNEXT_ASSIGN_OR_RETURN(std::string prompt, chat->Render({ChatMessage{.role = "user", .content = "Hello"}}));
    while (!prompt.empty() && (prompt.back() == '\n' || prompt.back() == ' ')) prompt.pop_back();
    return prompt.ends_with("<think>");
  }

  Result<Outcome> Ask() {
    if (report_.synthetic) return Skip("simulated weights: what they answer means nothing");
    const KnownModel& known = *report_.known;
    if (known.questions.empty()) return Skip("no questions suit it: " + known.name);
    QNEXT_ASSIGN_OR_RETURN(const bool thinks, Thinks());
    ChatOptions chat;
    chat.sampling.temperature = 0;
    chat.max_tokens = thinks ? kThinkingTokens : kAnswerTokens;
    ChatSession session(*engine_, chat);
    int64_t right = 0;
    for (const KnownQuestion& question : known.questions) {
      session.Reset();
      QNEXT_ASSIGN_OR_RETURN(
          const GenerationResult result,
          session.Ask(question.question, GenerationHooks{.cancelled = [&] { return interrupt_->raised(); }}));
      if (result.finish_reason == FinishReason::kCancelled) return Cancelled("interrupted");
      std::string expected;
      for (const char* answer : question.answers)
        expected += fmt::format("{}{}", expected.empty() ? "" : " or ", answer);
      report_.answers.push_back({.question = question.question,
                                 .expected = expected,
                                 .answer = result.text,
                                 .right = HoldsAnswer(result.text, question.answers)});
      right += report_.answers.back().right ? 1 : 0;
      Log(fmt::format("{} -> {} ({})", question.question, result.text,
                      report_.answers.back().right ? "right" : "WRONG"));
    }
    const std::string says = fmt::format("{} of {} right (asked as {})", right, known.questions.size(), known.name);
    if (known.needed == 0) return Skip("asked, and not judged: " + says);
    if (right < known.needed) return Internal(fmt::format("{}, and at least {} are needed", says, known.needed));
    return Done(says);
  }

  Result<Outcome> TakePerplexity() {
    if (report_.synthetic) return Skip("simulated weights: no text is likelier than another");
    const std::vector<int32_t> ids = engine_->tokenizer().Encode(ProofText());
    const int64_t window = std::min(kWindow, engine_->context());
    const auto tokens = static_cast<int64_t>(ids.size());
    QNEXT_ASSIGN_OR_RETURN(
        const TextScores scores,
        ScoreText(*engine_, ids, PlanWindows(tokens, window, window / 2),
                  {.on_logits = nullptr, .cancelled = [&] { return interrupt_->raised(); }, .on_progress = nullptr}));
    report_.perplexity = PerplexityOf(scores);
    report_.perplexity_tokens = tokens;
    const double value = report_.perplexity->value;
    const std::string says =
        fmt::format("{:.4g} ± {:.2g} over {} tokens", value, report_.perplexity->standard_error.value_or(0), tokens);
    if (!report_.known->perplexity) return Skip("taken, and not judged: " + says + "; no range known for this model");
    const KnownModel::Range& range = *report_.known->perplexity;
    const std::string held =
        fmt::format("{}; plausible are {:g} to {:g} ({})", says, range.low, range.high, range.origin);
    if (!(value >= range.low && value <= range.high)) return Internal(held);
    return Done(held);
  }

  Result<Outcome> Benchmark() {
    InterruptibleTarget target(*engine_, *interrupt_);
    const Workload workload = QuickWorkload(options_.repetitions.value_or(kRepetitions));
    for (const PlannedCell& cell : workload.cells) report_.benchmark.push_back({.work = cell.work, .samples = {}});
    std::vector<double> gaps;  // in the order in which they ran
    double decoded = 0;
    int64_t run = 0;
    const auto measure = [&](const WorkloadCase& work, const char* kind) -> Result<RunSample> {
      Log(fmt::format("run {}, {}: {} tokens of prompt, {} of output", run + 1, kind, work.prompt_tokens,
                      work.output_tokens));
      QNEXT_ASSIGN_OR_RETURN(RunSample sample, target.Run(work, run++));
      if (sample.summary.completion_tokens != work.output_tokens) {
        return Internal(
            fmt::format("{} tokens came instead of {}", sample.summary.completion_tokens, work.output_tokens));
      }
      return sample;
    };
    const auto take = [&](const RunSample& sample) {
      gaps.insert(gaps.end(), sample.inter_token_seconds.begin(), sample.inter_token_seconds.end());
      for (const double gap : sample.inter_token_seconds) decoded += gap;
    };
    for (int64_t i = 0; i < workload.warm_ups; ++i) {
      QNEXT_RETURN_IF_ERROR(measure(workload.cells.front().work, "warm-up").status());
    }
    // In turn, so that drift of the machine meets every case alike.
    for (int repetition = 0; repetition < options_.repetitions.value_or(kRepetitions); ++repetition) {
      for (ProveCase& one : report_.benchmark) {
        QNEXT_ASSIGN_OR_RETURN(RunSample sample, measure(one.work, "benchmark"));
        take(sample);
        one.samples.push_back(std::move(sample));
      }
    }
    for (const ProveCase& one : report_.benchmark) {
      const double median = one.decode_tokens_per_second().median;
      report_.median = std::min(report_.median.value_or(median), median);
    }
    WorkloadCase more = kSustained;
    more.prompt_tokens = std::min(more.prompt_tokens, engine_->context() / 2);
    more.output_tokens = std::min(more.output_tokens, engine_->context() - more.prompt_tokens);
    while (decoded < options_.seconds && run < kMostSustainedRuns) {
      QNEXT_ASSIGN_OR_RETURN(RunSample sample, measure(more, "sustained"));
      take(sample);
      report_.sustained.push_back(std::move(sample));
    }
    Log(fmt::format("{} more runs, {:.3g} s of decoding in all", report_.sustained.size(), decoded));
    report_.slowest = FindSlowestWindow(gaps);
    if (!report_.slowest) return Internal("no time passed between tokens");
    return Done(fmt::format("median {:.4g} tokens/s, slowest {:.3g} s: {:.4g} tokens/s", *report_.median,
                            report_.slowest->seconds, report_.slowest->tokens_per_second));
  }

  Result<Outcome> Memory() {
    report_.memory = engine_->info().memory;
    report_.used = ReadMemoryUsed(report_.memory);
    report_.weight_bytes = engine_->info().weight_bytes;
    report_.peak_bytes = ReadProcessMemory().peak_bytes;
    if (!peak_is_the_models_) {
      report_.caveats.emplace_back(
          "The system does not let the peak of RAM be reset: it includes the measuring of the machine's rates. "
          "--skip-rates leaves that out.");
    }
    if (report_.memory.empty()) {
      return Done(fmt::format("{} of weights, {} at most in use (on the CPU nothing else is planned)",
                              FormatBytes(report_.weight_bytes), FormatBytes(report_.peak_bytes)));
    }
    const auto side = [&](Place place, int64_t used) {
      return fmt::format("{}: {} planned, {} used", PlaceName(place), FormatBytes(PlannedBytes(report_.memory, place)),
                         used > 0 ? FormatBytes(used) : "not known");
    };
    return Done(side(Place::kVram, report_.used.vram) + "; " + side(Place::kRam, report_.used.ram));
  }

  Status Finish() {
    Save();
    const Verdict verdict = Judge(report_);
    Log(VerdictLine(report_));
    log_.close();
    Status written = saved_;
    if (written.ok() && log_.fail()) written = Unavailable((folder_ / "prove.log").string() + ": cannot be written");
    TextOutput out(stdout);
    out.Write(FormatProveMarkdown(report_));
    out.Write(fmt::format("\nEverything is in {}\n", folder_.string()));
    QNEXT_RETURN_IF_ERROR(written);
    QNEXT_RETURN_IF_ERROR(out.status());
    if (cancelled_) return Cancelled(fmt::format("interrupted; what was found is in {}", folder_.string()));
    if (verdict.pass) return {};
    return Internal(fmt::format("prove: {}; see {}", VerdictLine(report_), (folder_ / "prove.md").string()));
  }

  const ProveOptions& options_;
  const std::filesystem::path folder_;
  const std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  std::ofstream log_;
  ProveReport report_;
  std::string machine_json_;  // empty: not measured
  bool peak_is_the_models_ = true;
  std::unique_ptr<Engine> engine_;
  std::optional<InterruptFlag> interrupt_;
  Status saved_;
  bool cancelled_ = false;
};

}  // namespace

std::string DiskToMeasure(const std::string& folder) {
  std::error_code error;
  std::filesystem::directory_iterator entries(folder, error);
  if (folder.empty() || error) return "";
  for (; entries != std::filesystem::directory_iterator(); entries.increment(error)) {
    if (error) break;
    std::error_code unreadable;  // of a link that leads nowhere
    if (!entries->is_regular_file(unreadable) || unreadable) continue;
    const uintmax_t bytes = entries->file_size(unreadable);
    if (!unreadable && bytes >= static_cast<uintmax_t>(kLeastDiskProbeBytes)) return folder;
  }
  return "";
}

Status CheckProveOptions(const ProveOptions& options) {
  if (options.repetitions && *options.repetitions < 1) return InvalidArgument("--repetitions: must be at least 1");
  if (!(options.seconds > 0) || options.seconds > 1e6) return InvalidArgument("--seconds: must be in (0, 1e6]");
  QNEXT_RETURN_IF_ERROR(CheckModelFlags(options.model));
  if (options.out.empty()) return {};
  const KeptFiles kept = FilesRead(options.model);
  for (const char* name : kFiles) {
    QNEXT_RETURN_IF_ERROR(CheckApart("--out", (std::filesystem::path(options.out) / name).string(), kept));
  }
  return {};
}

Status RunProof(const ProveOptions& options) {
  const std::filesystem::path folder = options.out.empty() ? "qnext-prove-" + UtcNow("{:%Y%m%d-%H%M%S}") : options.out;
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) return Unavailable(folder.string() + ": " + error.message());
  // What an earlier proof left must not be taken for this one's.
  for (const char* name : kFiles) std::filesystem::remove(folder / name, error);
  return Proof(options, folder).Run();
}

}  // namespace qnext
