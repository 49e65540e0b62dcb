// The weight products at the 80B model's shapes: decode (1..8 rows) as shares of the read rate, prefill in TFLOP/s.
#include <fmt/format.h>

#include <algorithm>
#include <random>
#include <vector>

#include "entries.h"
#include "kernels/cuda/experts.h"
#include "kernels/cuda/products.h"

namespace qnext::workbench {
namespace {

using cuda::DenseProductsArgs;
using cuda::ExpertsArgs;
using cuda::Int4ProductsArgs;
using cuda::Int8ProductsArgs;

Int8Rows MakeInputs(Workbench& bench, int64_t rows, int64_t in) {
  const int64_t padded = RoundUp(in, kInt4BlockInputs), runs = padded / kInt4BlockInputs;
  std::mt19937 random(1);
  std::vector<int8_t> codes(static_cast<size_t>(rows * padded));
  std::vector<int32_t> sums(static_cast<size_t>(rows * runs));
  for (size_t i = 0; i < codes.size(); ++i) {
    codes[i] = static_cast<int8_t>(static_cast<int>(random() % 255) - 127);
    sums[i / kInt4BlockInputs] += codes[i];
  }
  return {.codes = bench.Upload(codes),
          .scales = bench.Upload(std::vector<float>(static_cast<size_t>(rows * runs), 0.01f)),
          .sums = bench.Upload(sums),
          .in_padded = padded};
}

Int4Layout MakeLayout(int64_t out, int64_t in, int64_t group_size) {
  Int4Layout layout;
  layout.out = out;
  layout.in = in;
  layout.group_size = group_size;
  return layout;
}

// Products of many rows read their weights from memory but once, so that few launches suffice.
int64_t Launches(const Ring& ring, int64_t m) { return m > 64 ? std::min<int64_t>(ring.turns, 4) : ring.turns; }

double MultiplyAdds(int64_t out, int64_t in, int64_t m) { return 2.0 * static_cast<double>(out * in * m); }

void Int4(Workbench& bench, int64_t out, int64_t in, int64_t group_size, int64_t m) {
  const std::string name = fmt::format("int4/{}x{}/g{}/m{}", out, in, group_size, m);
  if (!bench.Wanted(name)) return;
  const Int4Layout layout = MakeLayout(out, in, group_size);
  const Ring ring = bench.MakeRing(layout.bytes());
  Int4ProductsArgs args = {.parts = {{.weight = {layout, nullptr},
                                      .x = MakeInputs(bench, m, in),
                                      .y = bench.Zeros<float>(m * out),
                                      .y_stride = out}},
                           .count = 1,
                           .m = m};
  bench.Measure(
      {.name = name, .bytes = layout.bytes(), .operations = MultiplyAdds(out, in, m), .launches = Launches(ring, m)},
      [&](int64_t turn, cuda::Stream stream) {
        args.parts[0].weight.data = ring.at(turn);
        return LaunchInt4Products(args, stream);
      });
  bench.Release();
}

// q, k and v, which are three parts of one launch.
void Int4Attention(Workbench& bench, int64_t group_size, int64_t m) {
  const std::string name = fmt::format("int4/8192+512+512x2048/g{}/m{}", group_size, m);
  if (!bench.Wanted(name)) return;
  const Int4Layout q = MakeLayout(8192, 2048, group_size), kv = MakeLayout(512, 2048, group_size);
  const int64_t bytes = q.bytes() + 2 * kv.bytes();
  const Ring ring = bench.MakeRing(bytes);
  const Int8Rows x = MakeInputs(bench, m, 2048);
  Int4ProductsArgs args = {.parts = {}, .count = 3, .m = m};
  for (int p = 0; p < 3; ++p) {
    const Int4Layout& layout = p == 0 ? q : kv;
    args.parts[p] = {
        .weight = {layout, nullptr}, .x = x, .y = bench.Zeros<float>(m * layout.out), .y_stride = layout.out};
  }
  bench.Measure({.name = name, .bytes = bytes, .operations = MultiplyAdds(9216, 2048, m), .launches = ring.turns},
                [&](int64_t turn, cuda::Stream stream) {
                  args.parts[0].weight.data = ring.at(turn);
                  args.parts[1].weight.data = ring.at(turn) + q.bytes();
                  args.parts[2].weight.data = ring.at(turn) + q.bytes() + kv.bytes();
                  return LaunchInt4Products(args, stream);
                });
  bench.Release();
}

void Int8(Workbench& bench, int64_t out, int64_t in, int64_t m) {
  const std::string name = fmt::format("int8/{}x{}/m{}", out, in, m);
  if (!bench.Wanted(name)) return;
  Int8Layout layout;
  layout.out = out;
  layout.in = in;
  const Ring ring = bench.MakeRing(layout.bytes());
  Int8ProductsArgs args = {.parts = {{.weight = {layout, nullptr},
                                      .x = MakeInputs(bench, m, in),
                                      .y = bench.Zeros<float>(m * out),
                                      .y_stride = out}},
                           .count = 1,
                           .m = m};
  bench.Measure(
      {.name = name, .bytes = layout.bytes(), .operations = MultiplyAdds(out, in, m), .launches = Launches(ring, m)},
      [&](int64_t turn, cuda::Stream stream) {
        args.parts[0].weight.data = ring.at(turn);
        return LaunchInt8Products(args, stream);
      });
  bench.Release();
}

// `outs`: parts of one launch with the same activations.
void Dense(Workbench& bench, DType dtype, const std::vector<int64_t>& outs, int64_t in, int64_t m) {
  const std::string name = fmt::format("dense/{}/{}x{}/m{}", DTypeName(dtype), fmt::join(outs, "+"), in, m);
  if (!bench.Wanted(name)) return;
  int64_t rows = 0;
  for (const int64_t out : outs) rows += out;
  const int64_t bytes = rows * in * DTypeSize(dtype);
  const Ring ring = bench.MakeRing(bytes);
  const float* x = bench.Upload(std::vector<float>(static_cast<size_t>(m * in), 0.5f));
  DenseProductsArgs args = {.parts = {}, .count = 0, .m = m};
  for (const int64_t out : outs) {
    args.parts[args.count++] = {.weight = nullptr,
                                .dtype = dtype,
                                .x = x,
                                .y = bench.Zeros<float>(m * out),
                                .in = in,
                                .out = out,
                                .x_stride = in,
                                .y_stride = out};
  }
  bench.Measure({.name = name, .bytes = bytes, .operations = MultiplyAdds(rows, in, m), .launches = Launches(ring, m)},
                [&](int64_t turn, cuda::Stream stream) {
                  const std::byte* weight = ring.at(turn);
                  for (int p = 0; p < args.count; ++p) {
                    args.parts[p].weight = weight;
                    weight += args.parts[p].out * in * DTypeSize(dtype);
                  }
                  return LaunchDenseProducts(args, stream);
                });
  bench.Release();
}

struct ExpertShape {
  int64_t dim = 2048, inner = 512, experts = 10;  // chosen for a token, beside the shared one
  Int4Layout gate_up, down;
  int64_t stride;

  explicit ExpertShape(int64_t group_size)
      : gate_up(MakeLayout(inner, dim, group_size)),
        down(MakeLayout(dim, inner, group_size)),
        stride(cuda::ExpertSlots::BytesOf(gate_up, down)) {}
};

ExpertsArgs MakeExperts(Workbench& bench, const ExpertShape& shape, int64_t m) {
  const int64_t entries = shape.experts + 1, pairs = m * entries, runs = shape.down.in_padded() / kInt4BlockInputs;
  ExpertsArgs args = {};
  args.slots = {.base = nullptr, .stride = shape.stride, .gate_up = shape.gate_up, .down = shape.down};
  args.entry_weights = bench.Upload(std::vector<float>(static_cast<size_t>(pairs), 0.1f));
  args.x = MakeInputs(bench, m, shape.dim);
  args.hidden = {.codes = bench.Zeros<int8_t>(pairs * shape.down.in_padded()),
                 .scales = bench.Zeros<float>(pairs * runs),
                 .sums = bench.Zeros<int32_t>(pairs * runs),
                 .in_padded = shape.down.in_padded()};
  args.out = bench.Zeros<float>(m * shape.dim);
  args.m = m;
  args.entries = entries;
  return args;
}

// Decode: ten experts and the shared one for each of m tokens, every turn its own slots. Tokens choose different
// experts, so that bytes grow with m but for the shared expert.
void Experts(Workbench& bench, int64_t group_size, int64_t m) {
  const std::string name = fmt::format("experts/512of2048/g{}/m{}", group_size, m);
  if (!bench.Wanted(name)) return;
  const ExpertShape shape(group_size);
  ExpertsArgs args = MakeExperts(bench, shape, m);
  const int64_t distinct = m * shape.experts + 1;
  const Ring ring = bench.MakeRing(distinct * shape.stride);
  std::vector<int32_t> slots;
  for (int64_t row = 0; row < m; ++row) {
    for (int64_t e = 0; e < shape.experts; ++e) slots.push_back(static_cast<int32_t>(row * shape.experts + e));
    slots.push_back(static_cast<int32_t>(distinct - 1));
  }
  args.entry_slots = bench.Upload(slots);
  bench.Measure({.name = name,
                 .bytes = distinct * shape.stride,
                 .operations = MultiplyAdds(3 * shape.inner, shape.dim, m * args.entries),
                 .launches = ring.turns},
                [&](int64_t turn, cuda::Stream stream) {
                  args.slots.base = ring.at(turn);
                  return LaunchExperts(args, stream);
                });
  bench.Release();
}

// Prefill: m tokens, ten of 512 experts each, uniformly.
void ExpertsGrouped(Workbench& bench, int64_t group_size, int64_t m) {
  const std::string name = fmt::format("experts_grouped/512of2048/g{}/m{}", group_size, m);
  if (!bench.Wanted(name)) return;
  constexpr int64_t kExperts = 512;
  const ExpertShape shape(group_size);
  ExpertsArgs args = MakeExperts(bench, shape, m);
  const Ring ring = bench.MakeRing((kExperts + 1) * shape.stride);
  std::mt19937 random(1);
  std::vector<int32_t> slots, all;
  for (int32_t e = 0; e < kExperts; ++e) all.push_back(e);
  for (int64_t row = 0; row < m; ++row) {
    for (size_t e = 0; e < static_cast<size_t>(shape.experts); ++e) {
      std::swap(all[e], all[e + random() % (all.size() - e)]);
      slots.push_back(all[e]);
    }
    slots.push_back(kExperts);
  }
  args.entry_slots = bench.Upload(slots);
  const int64_t pairs = m * args.entries;
  const cuda::ExpertGroupsScratch scratch = {.counts = bench.Zeros<int32_t>(kExperts + 1),
                                             .pair_rows = bench.Zeros<int32_t>(pairs),
                                             .pair_out = bench.Zeros<float>(pairs * shape.dim),
                                             .slots_begin = 0,
                                             .slots_count = kExperts,
                                             .shared_slot = kExperts};
  args.slots.base = ring.at(0);
  bench.Measure({.name = name,
                 .bytes = (kExperts + 1) * shape.stride,
                 .operations = MultiplyAdds(3 * shape.inner, shape.dim, pairs),
                 .launches = 1},
                [&](int64_t, cuda::Stream stream) { return LaunchExpertsGrouped(args, scratch, stream); });
  bench.Release();
}

}  // namespace

void MeasureProducts(Workbench& bench) {
  for (const int64_t group_size : {128, 32}) {
    for (const int64_t m : {1, 2, 4, 8}) Int4(bench, 12288, 2048, group_size, m);
    Int4(bench, 2048, 4096, group_size, 1);
    Int4(bench, 2048, 4096, group_size, 8);
    Int4(bench, 512, 2048, group_size, 1);
    Int4(bench, 2048, 512, group_size, 1);
    Int4Attention(bench, group_size, 1);
    for (const int64_t m : {1, 2, 4, 8}) Experts(bench, group_size, m);
  }
  for (const int64_t m : {1, 2, 4, 8}) Dense(bench, DType::kBF16, {12288}, 2048, m);
  Dense(bench, DType::kF16, {12288}, 2048, 1);
  Dense(bench, DType::kF16, {12288, 64}, 2048, 1);
  Dense(bench, DType::kF16, {8192, 512, 512}, 2048, 1);
  for (const int64_t m : {1, 8}) Dense(bench, DType::kF16, {2048}, 4096, m);
  for (const int64_t m : {1, 8}) Dense(bench, DType::kBF16, {512, 1}, 2048, m);
  Dense(bench, DType::kBF16, {64}, 2048, 1);
  for (const int64_t m : {1, 2, 4, 8}) Dense(bench, DType::kBF16, {151936}, 2048, m);
  for (const int64_t m : {1, 8}) Int8(bench, 12288, 2048, m);
  Int8(bench, 2048, 4096, 1);
  Int8(bench, 151936, 2048, 1);

  for (const int64_t m : {16, 64, 512, 4096}) {
    Int4(bench, 12288, 2048, 128, m);
    Dense(bench, DType::kBF16, {12288}, 2048, m);
  }
  Int8(bench, 12288, 2048, 512);
  Dense(bench, DType::kF32, {512}, 2048, 512);
  for (const int64_t m : {16, 64, 512, 4096}) ExpertsGrouped(bench, 128, m);
  ExpertsGrouped(bench, 32, 512);
}

}  // namespace qnext::workbench
