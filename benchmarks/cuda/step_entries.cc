#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "entries.h"
#include "kernels/cuda/router.h"
#include "kernels/cuda/row_ops.h"
#include "kernels/cuda/sampling.h"

namespace qnext::workbench {
namespace {

// The 80B's.
constexpr int64_t kHidden = 2048, kExperts = 512, kTop = 10, kExpertWidth = 512, kVocabulary = 151936;

Int8Rows Quantized(Workbench& bench, int64_t m, int64_t in) {
  return {bench.Zeros<int8_t>(m * in), bench.Zeros<float>(m * in / 32), bench.Zeros<int32_t>(m * in / 32), in};
}

// Everything that these read is an activation, which a decode step finds in the L2 cache: no bytes of memory.
void Small(Workbench& bench, const std::string& name, FunctionRef<Status(int64_t turn, cuda::Stream stream)> launch) {
  if (bench.Wanted(name)) bench.Measure({.name = name, .bytes = 0, .launches = 64}, launch);
  bench.Release();
}

void MeasureRows(Workbench& bench, int64_t m) {
  const cuda::AddNormArgs norm = {.hidden = bench.Zeros<float>(m * kHidden),
                                  .addend = bench.Zeros<float>(m * kHidden),
                                  .addend2 = nullptr,
                                  .shared = nullptr,
                                  .shared_gate = nullptr,
                                  .weight = bench.Zeros<float>(kHidden),
                                  .normed = bench.Zeros<float>(m * kHidden),
                                  .quantized = Quantized(bench, m, kHidden),
                                  .m = m,
                                  .dim = kHidden,
                                  .eps = 1e-6f};
  Small(bench, fmt::format("add_norm/{}/m{}", kHidden, m),
        [&](int64_t, cuda::Stream stream) { return cuda::LaunchAddNorm(norm, stream); });

  const cuda::EmbedRowsArgs embed = {.table = bench.Zeros<uint16_t>(1024 * kHidden),
                                     .dtype = DType::kBF16,
                                     .ids = bench.Zeros<int32_t>(m),
                                     .hidden = bench.Zeros<float>(m * kHidden),
                                     .m = m,
                                     .dim = kHidden};
  Small(bench, fmt::format("embed_rows/{}/m{}", kHidden, m),
        [&](int64_t, cuda::Stream stream) { return cuda::LaunchEmbedRows(embed, stream); });

  const cuda::QuantizeArgs quantize = {.x = bench.Zeros<float>(m * 4096),
                                       .permutation = nullptr,
                                       .out = Quantized(bench, m, 4096),
                                       .m = m,
                                       .in = 4096,
                                       .x_stride = 4096};
  Small(bench, fmt::format("quantize/4096/m{}", m),
        [&](int64_t, cuda::Stream stream) { return cuda::LaunchQuantize(quantize, stream); });

  const cuda::SiluMulQuantizeArgs silu = {.gate = bench.Zeros<float>(m * kExpertWidth),
                                          .up = bench.Zeros<float>(m * kExpertWidth),
                                          .out = nullptr,
                                          .quantized = Quantized(bench, m, kExpertWidth),
                                          .m = m,
                                          .dim = kExpertWidth};
  Small(bench, fmt::format("silu_mul/{}/m{}", kExpertWidth, m),
        [&](int64_t, cuda::Stream stream) { return cuda::LaunchSiluMul(silu, stream); });
}

// A third of the experts in VRAM, a quota of three: what a decode step of the hybrid sees.
void MeasureRouter(Workbench& bench, int64_t m) {
  std::vector<float> logits(static_cast<size_t>(m * kExperts));
  for (size_t i = 0; i < logits.size(); ++i) logits[i] = static_cast<float>(i * 7919 % 1000) * 0.01f;
  std::vector<int32_t> slots(kExperts);
  for (size_t e = 0; e < slots.size(); ++e) slots[e] = e % 3 == 0 ? static_cast<int32_t>(e) : -1;
  const cuda::RouterSplitArgs args = {.logits = bench.Upload(logits),
                                      .shared_gate = bench.Zeros<float>(m),
                                      .forced = nullptr,
                                      .placement = {.slot_map = bench.Upload(slots),
                                                    .fetch_slots = bench.Zeros<int32_t>(16),
                                                    .fetch_quota = bench.Upload(std::vector<int32_t>{3})},
                                      .shared_slot = 600,
                                      .experts = bench.Zeros<int32_t>(m * kTop),
                                      .weights = bench.Zeros<float>(m * kTop),
                                      .entry_slots = bench.Zeros<int32_t>(m * (kTop + 1)),
                                      .entry_weights = bench.Zeros<float>(m * (kTop + 1)),
                                      .lists = {.cpu_count = bench.Zeros<int32_t>(1),
                                                .cpu_rows = bench.Zeros<int32_t>(m * kTop),
                                                .cpu_experts = bench.Zeros<int32_t>(m * kTop),
                                                .cpu_weights = bench.Zeros<float>(m * kTop),
                                                .fetch_count = bench.Zeros<int32_t>(1),
                                                .fetch_experts = bench.Zeros<int32_t>(16)},
                                      .m = m,
                                      .num_experts = kExperts,
                                      .top = kTop,
                                      .normalize = true};
  Small(bench, fmt::format("router_split/{}/top{}/m{}", kExperts, kTop, m),
        [&](int64_t, cuda::Stream stream) { return cuda::LaunchRouterSplit(args, stream); });
}

// top_k 0: among all tokens.
void MeasureSample(Workbench& bench, int32_t top_k, double top_p, int64_t m) {
  std::vector<float> logits(static_cast<size_t>(m * kVocabulary));
  for (size_t i = 0; i < logits.size(); ++i) logits[i] = static_cast<float>(i * 7919 % 100003) * 1e-4f;
  const cuda::SamplingRow row = {.seed = 1,
                                 .stream = 0,
                                 .drawn = 0,
                                 .temperature = top_k == 1 ? 0.0 : 0.7,
                                 .top_p = top_p,
                                 .min_p = 0,
                                 .presence_penalty = 0,
                                 .frequency_penalty = 0,
                                 .repetition_penalty = 1,
                                 .top_k = top_k,
                                 .penalizes = 0,
                                 .biased = 0};
  const cuda::SampleArgs args = {.logits = bench.Upload(logits),
                                 .slots = nullptr,
                                 .rows = bench.Upload(std::vector<cuda::SamplingRow>(static_cast<size_t>(m), row)),
                                 .answer_counts = nullptr,
                                 .seen = nullptr,
                                 .bias = nullptr,
                                 .scratch = bench.Zeros<float>(cuda::SampleArgs::ScratchBytes(m) / 4),
                                 .tokens = bench.Zeros<int32_t>(m),
                                 .host_tokens = nullptr,
                                 .m = m,
                                 .logits_stride = kVocabulary,
                                 .vocab_end = kVocabulary};
  Small(bench, fmt::format("sample/{}/k{}/p{}/m{}", kVocabulary, top_k, top_p, m),
        [&](int64_t, cuda::Stream stream) { return cuda::LaunchSample(args, stream); });
}

}  // namespace

void MeasureStep(Workbench& bench) {
  for (const int64_t m : {1, 8}) {
    MeasureRows(bench, m);
    MeasureRouter(bench, m);
    for (const int32_t top_k : {1, 20, 64, 200, 0}) MeasureSample(bench, top_k, 0.8, m);
    MeasureSample(bench, 0, 1, m);
  }
}

}  // namespace qnext::workbench
