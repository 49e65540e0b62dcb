#include <fmt/format.h>

#include <cmath>
#include <numeric>

#include "entries.h"
#include "kernels/cuda/attention.h"

namespace qnext::workbench {
namespace {

// The 80B's attention layer.
constexpr int64_t kQueryHeads = 16, kKvHeads = 2, kHeadDim = 256, kRotaryDims = 64;

struct Format {
  KvType type;
  const char* name;
};
constexpr Format kFormats[] = {{KvType::kBF16, "bf16"}, {KvType::kF8E4M3, "fp8"}, {KvType::kInt8, "int8"}};

// Row i is the last of `context` positions of sequence i, whose pages lie one after the other. Bytes are those of the
// positions' K and V; queries, gates and partial results stay in the cache, as in a decode step.
void MeasureAttentionAt(Workbench& bench, const Format& format, int64_t context, int64_t m) {
  const std::string name = fmt::format("attention/{}/{}/m{}", format.name, context, m);
  if (!bench.Wanted(name)) return;
  const KvLayout layout = {.type = format.type, .kv_heads = kKvHeads, .head_dim = kHeadDim};
  const int64_t pages = CeilDiv(context, kKvPageTokens), scale_bytes = format.type == KvType::kInt8 ? 4 : 0;
  const Ring ring = bench.MakeRing(m * pages * layout.page_bytes());
  std::vector<int32_t> table(static_cast<size_t>(m * pages)), slots(static_cast<size_t>(m));
  std::iota(table.begin(), table.end(), 0), std::iota(slots.begin(), slots.end(), 0);
  const std::vector<int32_t> positions(static_cast<size_t>(m), static_cast<int32_t>(context - 1));
  const std::vector<float> query(static_cast<size_t>(m * kQueryHeads * kHeadDim), 0.01f);
  cuda::AttentionDecodeArgs args = {
      .query = bench.Upload(query),
      .query_gate = bench.Zeros<float>(2 * m * kQueryHeads * kHeadDim),
      .kv = {.layout = layout, .pool = nullptr, .page_table = bench.Upload(table), .max_pages = pages},
      .positions = bench.Upload(positions),
      .slots = bench.Upload(slots),
      .partial = bench.Zeros<float>(cuda::AttentionPartialFloats(m, kQueryHeads, kHeadDim)),
      .out = bench.Zeros<float>(m * kQueryHeads * kHeadDim),
      .m = m,
      .query_heads = kQueryHeads,
      .scale = 1 / std::sqrt(static_cast<float>(kHeadDim))};
  const int64_t bytes = m * context * kKvHeads * 2 * (layout.row_bytes() + scale_bytes);
  const double operations = static_cast<double>(m * context * kQueryHeads * kHeadDim * 4);
  bench.Measure({.name = name, .bytes = bytes, .operations = operations, .launches = ring.turns},
                [&](int64_t turn, cuda::Stream stream) {
                  args.kv.pool = ring.at(turn);
                  return cuda::LaunchAttention(args, stream);
                });
  bench.Release();
}

void MeasureQkvPrepare(Workbench& bench, const Format& format, int64_t m) {
  const std::string name = fmt::format("qkv_prepare/{}/m{}", format.name, m);
  if (!bench.Wanted(name)) return;
  const KvLayout layout = {.type = format.type, .kv_heads = kKvHeads, .head_dim = kHeadDim};
  const Ring ring = bench.MakeRing(m * layout.page_bytes());
  std::vector<int32_t> slots(static_cast<size_t>(m));
  std::iota(slots.begin(), slots.end(), 0);
  cuda::QkvPrepareArgs args = {
      .query_gate = bench.Zeros<float>(2 * m * kQueryHeads * kHeadDim),
      .key = bench.Zeros<float>(m * kKvHeads * kHeadDim),
      .value = bench.Zeros<float>(m * kKvHeads * kHeadDim),
      .q_norm = bench.Zeros<float>(kHeadDim),
      .k_norm = bench.Zeros<float>(kHeadDim),
      .cos = bench.Zeros<float>(m * kRotaryDims / 2),
      .sin = bench.Zeros<float>(m * kRotaryDims / 2),
      .query = bench.Zeros<float>(m * kQueryHeads * kHeadDim),
      .kv = {.layout = layout, .pool = nullptr, .page_table = bench.Upload(slots), .max_pages = 1},
      .positions = bench.Zeros<int32_t>(m),
      .slots = bench.Upload(slots),
      .m = m,
      .query_heads = kQueryHeads,
      .rotary_dims = kRotaryDims,
      .eps = 1e-6f};
  bench.Measure({.name = name, .bytes = 0, .launches = ring.turns}, [&](int64_t turn, cuda::Stream stream) {
    args.kv.pool = ring.at(turn);
    return cuda::LaunchQkvPrepare(args, stream);
  });
  bench.Release();
}

}  // namespace

void MeasureAttention(Workbench& bench) {
  for (const Format& format : kFormats) {
    for (const int64_t m : {1, 8}) MeasureQkvPrepare(bench, format, m);
  }
  for (const Format& format : kFormats) {
    for (const int64_t context : {64, 1024, 8192, 32768, 131072, 262144}) MeasureAttentionAt(bench, format, context, 1);
    for (const int64_t context : {1024, 8192}) MeasureAttentionAt(bench, format, context, 8);
  }
}

}  // namespace qnext::workbench
