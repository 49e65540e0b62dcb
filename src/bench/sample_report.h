// For tests: a report with something in every field.
#pragma once

#include <cstdint>
#include <vector>

#include "bench/benchmark_report.h"

namespace qnext {

// `tokens` tokens after a prompt of `prompt`, the first after `first` seconds and then one every `gap`.
inline BenchmarkSample EvenSample(int64_t run, int64_t prompt, int64_t tokens, double first, double gap,
                                  double start = 0) {
  BenchmarkSample sample{.run = run, .start_seconds = start};
  RunSample& measured = sample.measured;
  measured.inter_token_seconds.assign(static_cast<size_t>(tokens - 1), gap);
  measured.summary = {.prompt_tokens = prompt,
                      .completion_tokens = tokens,
                      .queue_seconds = 0,
                      .first_token_seconds = first,
                      .prefill_tokens_per_second = static_cast<double>(prompt) / first,
                      .decode_tokens_per_second = 1 / gap,
                      .inter_token_median_seconds = gap,
                      .inter_token_p95_seconds = gap,
                      .total_seconds = first + gap * static_cast<double>(tokens - 1)};
  return sample;
}

inline BenchmarkReport SampleReport() {
  BenchmarkReport report;
  report.benchmark = "standard";
  report.date = "2030-01-02T03:04:05Z";
  report.subject = Subject::kThe80B;
  report.simulated_routing = "uniform, 8.99 bits";
  report.caveats = {"Made up.", "All \"of\" it: <b>&\xc3\xa4</b>"};
  report.warm_ups = {EvenSample(0, 50, 3, 0.9, 0.25), EvenSample(1, 50, 3, 0.5, 0.125)};
  report.warm_ups[0].phase = SamplePhase::kCold;
  report.warm_ups[1].phase = SamplePhase::kWarmUp;
  BenchmarkSample told = EvenSample(3, 50, 3, 0.6, 0.1, 2.5);
  told.session = 1;
  told.measured.cached_prompt_tokens = 2;
  told.measured.places = PlaceTelemetry{.steps = 2,
                                        .choices = 960,
                                        .hits = 700,
                                        .cpu = 200,
                                        .fetched = 60,
                                        .promoted = 5,
                                        .expert_bytes = 1622016,
                                        .cached_experts = 7000,
                                        .experts = 24576,
                                        .cpu_seconds = 0.01,
                                        .gpu_seconds = 0.02,
                                        .wait_seconds = 0.001,
                                        .step_seconds = 0.03,
                                        .between_seconds = 0.0005};
  told.measured.memory = MemoryReading{.ram_bytes = 1 << 30, .ram_peak_bytes = 2 << 29, .vram_bytes = 3 << 20};
  report.cells = {{.kind = CellKind::kGrid,
                   .work = {.prompt_tokens = 50, .output_tokens = 3},
                   .wanted_runs = 5,
                   .samples = {EvenSample(2, 50, 3, 0.5, 0.125), told}},
                  {.kind = CellKind::kContext,
                   .work = {.prompt_tokens = 1948, .output_tokens = 100},
                   .wanted_runs = 3,
                   .samples = {EvenSample(4, 1948, 100, 4, 0.16)}}};
  report.left_out = {{.kind = CellKind::kContext,
                      .work = {.prompt_tokens = 262044, .output_tokens = 100},
                      .runs = 0,
                      .wanted_runs = 3,
                      .why = "would take about 40 s, 12 s were left"}};
  report.seconds = 123.5;
  report.time_limit = 120;
  report.budgets = {.vram_bytes = int64_t{15} << 30, .ram_bytes = std::nullopt};
  report.memory = {
      {.name = "routed experts", .place = "RAM", .planned_bytes = int64_t{39} << 30, .measured_bytes = std::nullopt},
      {.name = "total", .place = "VRAM", .planned_bytes = int64_t{14} << 30, .measured_bytes = int64_t{14} << 30}};
  report.sweep = {.rates = "laptop",
                  .points = {{.options = {{"--vram", "8GiB"}, {"--kv", "int8"}},
                              .this_run = true,
                              .fits = true,
                              .why_not = "",
                              .vram_bytes = 8000,
                              .ram_bytes = 9000,
                              .cached_experts = 100,
                              .experts = 24576,
                              .decode_tokens_per_second = 88.25,
                              .uniform_tokens_per_second = 44.5,
                              .hit_share = 0.6,
                              .uniform_hit_share = 0.125,
                              .miss_seconds = 0.008,
                              .gpu_seconds = 0.003,
                              .overhead_seconds = 0.0015,
                              .prefill_tokens_per_second = 1234.5,
                              .fastest = true},
                             {.options = {{"--vram", "1GiB"}}, .why_not = "1 byte is missing"}}};
  report.facts = {{.title = "machine", .facts = {{.name = "CPU", .value = "an abacus"}}},
                  {.title = "build", .facts = {}}};
  return report;
}

}  // namespace qnext
