// Times FlashInfer's kernels beside ours, in one process and by the workbench's method (workbench.h): decode attention
// over the very same pages, and the fused add and norm. First both attentions must give the same values.
#include "compare_flashinfer.h"

#include <cuda_runtime_api.h>
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>

#include "base/range.h"
#include "hw/cuda/cuda_status.h"
#include "kernels/cuda/attention.h"
#include "kernels/cuda/row_ops.h"
#include "tensor/dtype.h"
#include "workbench.h"

namespace qnext::workbench {
namespace {

// The 80B's.
constexpr int64_t kQueryHeads = 16, kKvHeads = 2, kHeadDim = 256, kHidden = 2048;
constexpr KvLayout kLayout = {.type = KvType::kBF16, .kv_heads = kKvHeads, .head_dim = kHeadDim};

struct Both {
  cuda::AttentionDecodeArgs ours;
  FlashInferDecode theirs;
};

// Both attentions with the same query over `context` positions of pages that lie one after the other.
Result<Both> MakeBoth(Workbench& bench, int64_t context, const std::vector<float>& query) {
  const int64_t pages = CeilDiv(context, kKvPageTokens);
  std::vector<int32_t> ids(static_cast<size_t>(pages));
  std::iota(ids.begin(), ids.end(), 0);
  int32_t* page_ids = bench.Upload(ids);
  std::vector<uint16_t> half(query.size());
  std::transform(query.begin(), query.end(), half.begin(), FloatToBF16);
  Both both = {.ours = {.query = bench.Upload(query),
                        .query_gate = bench.Zeros<float>(2 * kQueryHeads * kHeadDim),
                        .kv = {.layout = kLayout, .pool = nullptr, .page_table = page_ids, .max_pages = pages},
                        .positions = bench.Upload(std::vector<int32_t>{static_cast<int32_t>(context - 1)}),
                        .slots = bench.Zeros<int32_t>(1),
                        .partial = bench.Zeros<float>(cuda::AttentionPartialFloats(1, kQueryHeads, kHeadDim)),
                        .out = bench.Zeros<float>(kQueryHeads * kHeadDim),
                        .m = 1,
                        .query_heads = kQueryHeads,
                        .scale = 1 / std::sqrt(static_cast<float>(kHeadDim))},
               .theirs = {.query = bench.Upload(half),
                          .pages = nullptr,
                          .page_ids = page_ids,
                          .page_range = bench.Upload(std::vector<int32_t>{0, static_cast<int32_t>(pages)}),
                          .last_page = bench.Upload(
                              std::vector<int32_t>{static_cast<int32_t>(context - (pages - 1) * kKvPageTokens)}),
                          .out = bench.Zeros<uint16_t>(kQueryHeads * kHeadDim),
                          .pieces = bench.Zeros<int32_t>(FlashInferDecode::kPieceWords),
                          .partial = bench.Zeros<uint16_t>(FlashInferDecode::kMostPieces * kQueryHeads * kHeadDim),
                          .partial_sums = bench.Zeros<float>(FlashInferDecode::kMostPieces * kQueryHeads),
                          .context = context,
                          .query_heads = kQueryHeads,
                          .kv_heads = kKvHeads,
                          .page_bytes = kLayout.page_bytes(),
                          .scale = 1 / std::sqrt(static_cast<float>(kHeadDim))}};
  QNEXT_RETURN_IF_ERROR(PlanFlashInferDecode(&both.theirs));
  return both;
}

// Ours gives out values times sigmoid(0) = 1/2 (there is no attention without a gate in this model); theirs are rounded
// to BF16, as are their partial results: 2 u of BF16, relative to the largest value.
Status CheckAgreement(Workbench& bench) {
  constexpr int64_t kContext = 3001;
  constexpr double kAllowed = 2.0 / 256;
  std::mt19937 random(7);
  std::normal_distribution<float> normal;
  std::vector<uint16_t> pages(static_cast<size_t>(CeilDiv(kContext, kKvPageTokens) * kLayout.page_bytes() / 2));
  for (uint16_t& x : pages) x = FloatToBF16(normal(random));
  std::vector<float> query(static_cast<size_t>(kQueryHeads * kHeadDim));
  for (float& x : query) x = BF16ToFloat(FloatToBF16(normal(random)));
  QNEXT_ASSIGN_OR_RETURN(Both both, MakeBoth(bench, kContext, query));
  std::byte* pool = reinterpret_cast<std::byte*>(bench.Upload(pages));
  both.ours.kv.pool = both.theirs.pages = pool;
  QNEXT_RETURN_IF_ERROR(cuda::LaunchAttention(both.ours, nullptr));
  QNEXT_RETURN_IF_ERROR(LaunchFlashInferDecode(both.theirs, nullptr));
  std::vector<float> ours(query.size());
  std::vector<uint16_t> theirs(query.size());
  QNEXT_RETURN_IF_ERROR(
      cuda::ToStatus(cudaMemcpy(ours.data(), both.ours.out, ours.size() * 4, cudaMemcpyDeviceToHost), "agreement"));
  QNEXT_RETURN_IF_ERROR(cuda::ToStatus(
      cudaMemcpy(theirs.data(), both.theirs.out, theirs.size() * 2, cudaMemcpyDeviceToHost), "agreement"));
  double most = 0, apart = 0;
  bool numbers = true;
  for (size_t i = 0; i < ours.size(); ++i) {
    const double a = 2 * static_cast<double>(ours[i]), b = static_cast<double>(BF16ToFloat(theirs[i]));
    numbers = numbers && std::isfinite(a) && std::isfinite(b);
    most = std::max(most, std::abs(a));
    apart = std::max(apart, std::abs(a - b));
  }
  bench.Release();
  fmt::print("attention over {} positions: {:.2e} apart, of {:.2e} at most\n", kContext, apart, most);
  if (numbers && most > 0 && apart <= kAllowed * most) return Status();
  return Internal("the two attentions do not agree");
}

Status CompareAttention(Workbench& bench, int64_t context) {
  const int64_t pages = CeilDiv(context, kKvPageTokens);
  const Ring ring = bench.MakeRing(pages * kLayout.page_bytes());
  QNEXT_ASSIGN_OR_RETURN(
      Both both, MakeBoth(bench, context, std::vector<float>(static_cast<size_t>(kQueryHeads * kHeadDim), 0.01f)));
  const int64_t bytes = context * kKvHeads * 2 * kLayout.row_bytes();
  bench.Measure({.name = fmt::format("attention/{}/ours", context), .bytes = bytes, .launches = ring.turns},
                [&](int64_t turn, cuda::Stream stream) {
                  both.ours.kv.pool = ring.at(turn);
                  return cuda::LaunchAttention(both.ours, stream);
                });
  bench.Measure({.name = fmt::format("attention/{}/flashinfer-{}-pieces", context, both.theirs.piece_count),
                 .bytes = bytes,
                 .launches = ring.turns},
                [&](int64_t turn, cuda::Stream stream) {
                  both.theirs.pages = ring.at(turn);
                  return LaunchFlashInferDecode(both.theirs, stream);
                });
  bench.Release();
  return Status();
}

// All rows stay in the cache, as in a decode step. Ours also quantizes what comes out, theirs does not.
void CompareNorm(Workbench& bench) {
  constexpr int64_t kLaunches = 64;
  cuda::AddNormArgs args = {.hidden = bench.Zeros<float>(kHidden),
                            .addend = bench.Zeros<float>(kHidden),
                            .addend2 = nullptr,
                            .shared = nullptr,
                            .shared_gate = nullptr,
                            .weight = bench.Zeros<float>(kHidden),
                            .normed = bench.Zeros<float>(kHidden),
                            .quantized = {},
                            .m = 1,
                            .dim = kHidden,
                            .eps = 1e-6f};
  bench.Measure({.name = "add_norm/2048/ours", .bytes = 0, .launches = kLaunches},
                [&](int64_t, cuda::Stream stream) { return cuda::LaunchAddNorm(args, stream); });
  args.quantized = {bench.Zeros<int8_t>(kHidden), bench.Zeros<float>(kHidden / 32), bench.Zeros<int32_t>(kHidden / 32),
                    kHidden};
  bench.Measure({.name = "add_norm/2048/ours-and-int8-codes", .bytes = 0, .launches = kLaunches},
                [&](int64_t, cuda::Stream stream) { return cuda::LaunchAddNorm(args, stream); });
  float* input = bench.Zeros<float>(kHidden);
  float* residual = bench.Zeros<float>(kHidden);
  float* weight = bench.Zeros<float>(kHidden);
  bench.Measure({.name = "add_norm/2048/flashinfer", .bytes = 0, .launches = kLaunches},
                [&](int64_t, cuda::Stream stream) {
                  return LaunchFlashInferAddNorm(input, residual, weight, kHidden, 1e-6f, stream);
                });
  bench.Release();
}

Status Compare(const std::string& json, bool* failed) {
  QNEXT_ASSIGN_OR_RETURN(const std::unique_ptr<Workbench> bench, Workbench::Create(""));
  QNEXT_RETURN_IF_ERROR(CheckAgreement(*bench));
  for (const int64_t context : {1024, 8192, 32768, 131072}) QNEXT_RETURN_IF_ERROR(CompareAttention(*bench, context));
  CompareNorm(*bench);
  *failed = bench->failed();
  return bench->Finish(json);
}

}  // namespace
}  // namespace qnext::workbench

int main(int argc, char** argv) {
  std::string json;
  CLI::App app{"Times FlashInfer's kernels beside ours"};
  app.add_option("--json", json, "Write the samples to this file");
  CLI11_PARSE(app, argc, argv);
  bool failed = false;
  const qnext::Status status = qnext::workbench::Compare(json, &failed);
  if (!status.ok()) fmt::print(stderr, "compare_flashinfer: {}\n", status.message());
  return status.ok() && !failed ? 0 : 1;
}
