#include "cli/in_process_target.h"

#include "base/random.h"
#include "cli/machine.h"
#include "engine/device.h"

namespace qnext {
namespace {

// What happened between two readings.
std::optional<PlaceTelemetry> Difference(const std::optional<ExpertStats>& before,
                                         const std::optional<ExpertStats>& after) {
  if (!before || !after) return std::nullopt;
  return PlaceTelemetry{.steps = after->steps - before->steps,
                        .choices = after->choices - before->choices,
                        .hits = after->hits - before->hits,
                        .cpu = after->cpu - before->cpu,
                        .fetched = after->fetched - before->fetched,
                        .promoted = after->promoted - before->promoted,
                        .expert_bytes = after->expert_bytes,
                        .cached_experts = after->cached_experts,
                        .experts = after->experts,
                        .cpu_seconds = after->cpu_seconds - before->cpu_seconds,
                        .gpu_seconds = after->gpu_seconds - before->gpu_seconds,
                        .wait_seconds = after->wait_seconds - before->wait_seconds,
                        .step_seconds = after->step_seconds - before->step_seconds,
                        .between_seconds = after->between_seconds - before->between_seconds};
}

MemoryReading ReadMemory(const EngineInfo& info) {
  const ProcessMemory process = ReadProcessMemory();
  MemoryReading reading{.ram_bytes = process.resident_bytes, .ram_peak_bytes = process.peak_bytes};
  if (info.device == "cuda") {
    if (const Result<DeviceMemory> device = ReadDeviceMemory(); device.ok()) reading.vram_bytes = device->used;
  }
  return reading;
}

}  // namespace

InProcessTarget::InProcessTarget(Engine& engine, uint64_t seed)
    : engine_(engine), seed_(seed), text_(engine.tokenizer().Encode(BenchmarkText())) {}

Result<RunSample> InProcessTarget::Run(const WorkloadCase& work, int64_t run) {
  Request request;
  request.prompt_ids = MakePrompt(text_, work.prompt_tokens, Random(seed_, static_cast<uint64_t>(run)));
  request.max_tokens = work.output_tokens;
  request.ignore_eos = true;
  request.sampling.temperature = 0.7;
  request.sampling.top_k = 20;
  request.sampling.top_p = 0.8;
  request.sampling.seed = static_cast<uint64_t>(run);
  const std::optional<ExpertStats> before = engine_.expert_stats();
  QNEXT_ASSIGN_OR_RETURN(const GenerationResult result, engine_.Generate(request));
  return RunSample{.summary = result.timeline.Summarize(),
                   .inter_token_seconds = result.timeline.InterTokenSeconds(),
                   .places = Difference(before, engine_.expert_stats()),
                   .memory = ReadMemory(engine_.info())};
}

}  // namespace qnext
