#include <fmt/format.h>

#include <numeric>

#include "entries.h"
#include "kernels/cuda/delta.h"
#include "kernels/cuda/row_ops.h"

namespace qnext::workbench {
namespace {

// The 80B's linear-attention layer.
constexpr int64_t kKeyHeads = 16, kValueHeads = 32, kHeadDim = 128;
constexpr int64_t kChannels = (2 * kKeyHeads + kValueHeads) * kHeadDim;
constexpr int64_t kStateFloats = kValueHeads * kHeadDim * kHeadDim, kHistoryFloats = cuda::kConvRing * kChannels;

// Each turn has the states, the rings and the convolution weights of a layer of its own. Bytes: the states read and
// written, three rows of each ring read and one written, the weights read.
void MeasureDeltaStep(Workbench& bench, int64_t sequences, int64_t tokens) {
  const std::string name = tokens == 1 ? fmt::format("delta_step/m{}", sequences) : fmt::format("delta/{}x1", tokens);
  if (!bench.Wanted(name)) return;
  const int64_t per_sequence = kStateFloats + kHistoryFloats, m = sequences * tokens;
  const Ring ring = bench.MakeRing((sequences * per_sequence + 4 * kChannels) * 4, Fill::kFloats);
  std::vector<int32_t> slots(static_cast<size_t>(sequences)), positions;
  std::iota(slots.begin(), slots.end(), 0);
  for (int64_t s = 0; s < sequences; ++s) {
    for (int64_t t = 0; t < tokens; ++t) positions.push_back(static_cast<int32_t>(t));
  }
  const std::vector<float> qkvz(static_cast<size_t>(m * (kChannels + kValueHeads * kHeadDim)), 0.5f);
  cuda::DeltaStepArgs args = {.qkvz = bench.Upload(qkvz),
                              .ba = bench.Zeros<float>(m * 2 * kValueHeads),
                              .a_log = bench.Zeros<float>(kValueHeads),
                              .dt_bias = bench.Zeros<float>(kValueHeads),
                              .conv = bench.Zeros<float>(m * kChannels),
                              .out = bench.Zeros<float>(m * kValueHeads * kHeadDim),
                              .slots = bench.Upload(slots),
                              .positions = bench.Upload(positions),
                              .state_stride = kStateFloats,
                              .history_stride = kHistoryFloats,
                              .sequences = sequences,
                              .tokens = tokens,
                              .key_heads = kKeyHeads,
                              .value_heads = kValueHeads,
                              .head_dim = kHeadDim};
  const int64_t bytes = 4 * (sequences * (2 * kStateFloats + kHistoryFloats) + 4 * kChannels);
  const double operations = static_cast<double>(m * kStateFloats * 8);
  bench.Measure({.name = name, .bytes = bytes, .operations = operations, .launches = ring.turns},
                [&](int64_t turn, cuda::Stream stream) {
                  float* at = reinterpret_cast<float*>(ring.at(turn));
                  args.state = at;
                  args.history = at + sequences * kStateFloats;
                  args.conv_weight = at + sequences * per_sequence;
                  return cuda::LaunchDeltaStep(args, stream);
                });
  bench.Release();
}

void MeasureGatedNorm(Workbench& bench, int64_t m) {
  const std::string name = fmt::format("gated_norm/m{}", m);
  if (!bench.Wanted(name)) return;
  const int64_t width = kValueHeads * kHeadDim;
  const cuda::GatedNormArgs args = {.o = bench.Zeros<float>(m * width),
                                    .qkvz = bench.Zeros<float>(m * (kChannels + width)),
                                    .weight = bench.Zeros<float>(kHeadDim),
                                    .out = nullptr,
                                    .quantized = {bench.Zeros<int8_t>(m * width), bench.Zeros<float>(m * width / 32),
                                                  bench.Zeros<int32_t>(m * width / 32), width},
                                    .m = m,
                                    .key_heads = kKeyHeads,
                                    .value_heads = kValueHeads,
                                    .head_dim = kHeadDim,
                                    .eps = 1e-6f};
  bench.Measure({.name = name, .bytes = 0, .launches = 64},
                [&](int64_t, cuda::Stream stream) { return cuda::LaunchGatedNorm(args, stream); });
  bench.Release();
}

}  // namespace

void MeasureDelta(Workbench& bench) {
  for (const int64_t m : {1, 2, 4, 8}) MeasureDeltaStep(bench, m, 1);
  MeasureDeltaStep(bench, 1, 512);
  for (const int64_t m : {1, 8}) MeasureGatedNorm(bench, m);
}

}  // namespace qnext::workbench
