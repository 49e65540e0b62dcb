// The small kernels of a decode step at the 80B model's shapes: norms, embedding, quantization, router and sampling.
#include <fmt/format.h>

#include <vector>

#include "entries.h"
#include "kernels/cuda/router.h"
#include "kernels/cuda/row_ops.h"
#include "kernels/cuda/sampling.h"

namespace qnext::workbench {
namespace {

constexpr int64_t kHidden = 2048, kExpertDim = 512, kExperts = 512, kTop = 10, kVocab = 151936;
constexpr int64_t kLaunches = 64;  // in one replay

Int8Rows ZeroCodes(Workbench& bench, int64_t m, int64_t in) {
  return {bench.Zeros<int8_t>(m * in), bench.Zeros<float>(m * in / 32), bench.Zeros<int32_t>(m * in / 32), in};
}

void MeasureAddNorm(Workbench& bench, int64_t m) {
  const std::string name = fmt::format("add_norm/m{}", m);
  if (!bench.Wanted(name)) return;
  const int64_t n = m * kHidden;
  const cuda::AddNormArgs args = {.hidden = bench.Zeros<float>(n),
                                  .addend = bench.Zeros<float>(n),
                                  .addend2 = nullptr,
                                  .shared = nullptr,
                                  .shared_gate = nullptr,
                                  .weight = bench.Zeros<float>(kHidden),
                                  .normed = bench.Zeros<float>(n),
                                  .quantized = ZeroCodes(bench, m, kHidden),
                                  .m = m,
                                  .dim = kHidden,
                                  .eps = 1e-6f};
  bench.Measure({.name = name, .bytes = 0, .launches = kLaunches},
                [&](int64_t, cuda::Stream stream) { return cuda::LaunchAddNorm(args, stream); });
  bench.Release();
}

void MeasureEmbed(Workbench& bench, int64_t m) {
  const std::string name = fmt::format("embed/bf16/m{}", m);
  if (!bench.Wanted(name)) return;
  const int64_t bytes = m * kHidden * 2;
  const Ring ring = bench.MakeRing(bytes);
  std::vector<int32_t> ids;
  for (int64_t i = 0; i < m; ++i) ids.push_back(static_cast<int32_t>(i));
  cuda::EmbedRowsArgs args = {.table = nullptr,
                              .dtype = DType::kBF16,
                              .ids = bench.Upload(ids),
                              .hidden = bench.Zeros<float>(m * kHidden),
                              .m = m,
                              .dim = kHidden};
  bench.Measure({.name = name, .bytes = bytes, .launches = kLaunches}, [&](int64_t turn, cuda::Stream stream) {
    args.table = ring.at(turn);
    return cuda::LaunchEmbedRows(args, stream);
  });
  bench.Release();
}

void MeasureQuantize(Workbench& bench, int64_t m) {
  const std::string name = fmt::format("quantize/{}/m{}", kHidden, m);
  if (!bench.Wanted(name)) return;
  const cuda::QuantizeArgs args = {.x = bench.Zeros<float>(m * kHidden),
                                   .permutation = nullptr,
                                   .out = ZeroCodes(bench, m, kHidden),
                                   .m = m,
                                   .in = kHidden,
                                   .x_stride = kHidden};
  bench.Measure({.name = name, .bytes = 0, .launches = kLaunches},
                [&](int64_t, cuda::Stream stream) { return cuda::LaunchQuantize(args, stream); });
  bench.Release();
}

void MeasureSiluQuantize(Workbench& bench, int64_t m) {
  const std::string name = fmt::format("silu_quantize/{}/m{}", kExpertDim, m);
  if (!bench.Wanted(name)) return;
  const cuda::SiluMulQuantizeArgs args = {.gate = bench.Zeros<float>(m * kExpertDim),
                                          .up = bench.Zeros<float>(m * kExpertDim),
                                          .out = nullptr,
                                          .quantized = ZeroCodes(bench, m, kExpertDim),
                                          .m = m,
                                          .dim = kExpertDim};
  bench.Measure({.name = name, .bytes = 0, .launches = kLaunches},
                [&](int64_t, cuda::Stream stream) { return cuda::LaunchSiluMul(args, stream); });
  bench.Release();
}

// Equal logits: the lowest experts are chosen, and the slot map of zeros has them all. With lists half are for the CPU.
void MeasureRouter(Workbench& bench, int64_t m, bool lists) {
  const std::string name = fmt::format("router_split/{}/m{}", lists ? "lists" : "resident", m);
  if (!bench.Wanted(name)) return;
  std::vector<int32_t> slot_map(kExperts);
  for (size_t i = 0; lists && i < slot_map.size(); i += 2) slot_map[i] = -1;
  cuda::RouterSplitArgs args = {
      .logits = bench.Zeros<float>(m * kExperts),
      .shared_gate = bench.Zeros<float>(m),
      .forced = nullptr,
      .placement = {.slot_map = bench.Upload(slot_map), .fetch_slots = nullptr, .fetch_quota = nullptr},
      .shared_slot = 0,
      .experts = bench.Zeros<int32_t>(m * kTop),
      .weights = bench.Zeros<float>(m * kTop),
      .entry_slots = bench.Zeros<int32_t>(m * (kTop + 1)),
      .entry_weights = bench.Zeros<float>(m * (kTop + 1)),
      .lists = {},
      .m = m,
      .num_experts = kExperts,
      .top = kTop,
      .normalize = true};
  if (lists) {
    args.lists.cpu_count = bench.Zeros<int32_t>(1);
    args.lists.cpu_rows = bench.Zeros<int32_t>(m * kTop);
    args.lists.cpu_experts = bench.Zeros<int32_t>(m * kTop);
    args.lists.cpu_weights = bench.Zeros<float>(m * kTop);
  }
  bench.Measure({.name = name, .bytes = 0, .launches = kLaunches},
                [&](int64_t, cuda::Stream stream) { return cuda::LaunchRouterSplit(args, stream); });
  bench.Release();
}

// The logits come from a ring of weights, though in a step they were just written: an upper bound.
void MeasureSample(Workbench& bench, int64_t m, int32_t top_k) {
  const std::string name = fmt::format("sample/{}/m{}", top_k == 0 ? "greedy" : fmt::format("top{}", top_k), m);
  if (!bench.Wanted(name)) return;
  const int64_t bytes = m * kVocab * 4;
  const Ring ring = bench.MakeRing(bytes, Fill::kFloats);
  cuda::SamplingRow row = {};
  row.temperature = top_k == 0 ? 0 : 1, row.top_p = 1, row.repetition_penalty = 1, row.top_k = top_k;
  cuda::SampleArgs args = {
      .logits = nullptr,
      .slots = nullptr,
      .rows = bench.Upload(std::vector<cuda::SamplingRow>(static_cast<size_t>(m), row)),
      .answer_counts = nullptr,
      .seen = nullptr,
      .bias = nullptr,
      .scratch = reinterpret_cast<float*>(bench.Zeros<std::byte>(cuda::SampleArgs::ScratchBytes(m, kVocab))),
      .tokens = bench.Zeros<int32_t>(m),
      .host_tokens = nullptr,
      .m = m,
      .logits_stride = kVocab,
      .vocab_end = kVocab};
  bench.Measure({.name = name, .bytes = bytes, .launches = kLaunches}, [&](int64_t turn, cuda::Stream stream) {
    args.logits = reinterpret_cast<const float*>(ring.at(turn));
    return cuda::LaunchSample(args, stream);
  });
  bench.Release();
}

}  // namespace

void MeasureStep(Workbench& bench) {
  for (const int64_t m : {1, 8}) {
    MeasureAddNorm(bench, m);
    MeasureEmbed(bench, m);
    MeasureQuantize(bench, m);
    MeasureSiluQuantize(bench, m);
    MeasureRouter(bench, m, false);
    MeasureRouter(bench, m, true);
    for (const int32_t top_k : {0, 20, 64}) MeasureSample(bench, m, top_k);
  }
}

}  // namespace qnext::workbench
