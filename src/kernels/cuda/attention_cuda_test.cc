// The attention of the GPU against the reference on equal caches, and against itself in other calls.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "compare.h"
#include "kernels/cuda/attention_cuda_test_util.h"

namespace qnext {
namespace {

using namespace kernels_test;  // NOLINT: the helpers of this folder's tests

class CudaAttention : public cuda_test::CudaTest {};

constexpr AttentionShape kReal = {.query_heads = 16, .kv_heads = 2, .head_dim = 256};
constexpr AttentionShape kTiny = {.query_heads = 4, .kv_heads = 2, .head_dim = 256};

AttentionShape OfType(AttentionShape shape, KvType type) {
  shape.type = type;
  return shape;
}

void CheckPositions(const AttentionShape& shape, const std::vector<int64_t>& positions, uint32_t seed) {
  SCOPED_TRACE(::testing::Message() << KvTypeName(shape.type) << " Dh " << shape.head_dim << " seed " << seed);
  const auto problems = ProblemsAt(shape, positions, seed);
  DeviceAttention device(PointersTo(problems), seed);
  ExpectAgree(problems, device.Run(FirstRows(problems.size())).out);
}

TEST_F(CudaAttention, RealShapeAtEveryKindOfPosition) {
  for (const KvType type : kAllKvTypes) {
    CheckPositions(OfType(kReal, type), {0, 1, 15, 16, 63, 64, 65, 127, 128, 200, 1023, 1024, 1055, 4000}, 1000);
  }
}

TEST_F(CudaAttention, TinyShape) {
  for (const KvType type : kAllKvTypes) CheckPositions(OfType(kTiny, type), {0, 17, 64, 300}, 1020);
}

TEST_F(CudaAttention, RaggedShapesOfEveryType) {
  uint32_t seed = 1030;
  for (const KvType type : kAllKvTypes) {
    for (const int64_t head_dim : {32, 64, 96, 128, 160, 224, 256}) {
      for (const int64_t group : {1, 3, 8, 11}) {
        CheckPositions({.query_heads = 2 * group, .kv_heads = 2, .head_dim = head_dim, .type = type}, {7, 70, 270},
                       seed += 10);
      }
    }
  }
}

TEST_F(CudaAttention, TilesShareOutUnevenlyAmongSplitsAndWarps) {
  // Around 64 tiles (one a split), 512 (one a warp) and between.
  const AttentionShape shape = {.query_heads = 2, .kv_heads = 1, .head_dim = 64, .type = KvType::kBF16};
  CheckPositions(shape, {1007, 1008, 1039, 1040, 2100, 8175, 8191, 8192, 8207, 9000, 12345}, 1900);
}

TEST_F(CudaAttention, TheLongestContext) {
  for (const KvType type : kAllKvTypes) {
    CheckPositions({.query_heads = 2, .kv_heads = 1, .head_dim = 64, .type = type}, {262143}, 1950);
  }
}

TEST_F(CudaAttention, ARowDoesNotDependOnTheOthers) {
  // 19 rows are more than go at once; alone, reversed and together they are the same bits, in a scratch of NaN.
  for (const KvType type : kAllKvTypes) {
    SCOPED_TRACE(KvTypeName(type));
    std::vector<int64_t> positions;
    for (int64_t i = 0; i < 19; ++i) positions.push_back(i * i * 5);
    const auto problems = ProblemsAt(OfType(kReal, type), positions, 1100);
    DeviceAttention device(PointersTo(problems));
    const std::vector<AttentionRow> rows = FirstRows(problems.size());
    const size_t width = Index(kReal.query_heads * kReal.head_dim);
    const std::vector<float> all = device.Run(rows).out;
    EXPECT_TRUE(BitEqual<float>(device.Run(rows).out, all)) << "a second run";
    const std::vector<AttentionRow> reversed(rows.rbegin(), rows.rend());
    const std::vector<float> backwards = device.Run(reversed).out;
    for (size_t i = 0; i < rows.size(); ++i) {
      const std::span<const float> row = std::span(all).subspan(i * width, width);
      EXPECT_TRUE(BitEqual<float>(device.Run({rows[i]}).out, row)) << "alone, row " << i;
      EXPECT_TRUE(BitEqual<float>(std::span(backwards).subspan((rows.size() - 1 - i) * width, width), row)) << i;
    }
  }
}

TEST_F(CudaAttention, PrefillRowsOfOneSequence) {
  // Many rows of one sequence, in one call, in chunks and one by one; later tokens are in the cache already.
  for (const KvType type : {KvType::kBF16, KvType::kInt8}) {
    SCOPED_TRACE(KvTypeName(type));
    AttentionShape shape = OfType(kTiny, type);
    shape.start = 90, shape.tokens = 150;
    AttentionProblem p(shape, 1200);
    DeviceAttention device({&p});
    std::vector<AttentionRow> rows;
    for (int64_t t = 0; t < shape.tokens; ++t) rows.push_back({0, t});
    const std::vector<float> all = device.Run(rows).out;
    const std::vector<float> expected = RunAttention(ReferenceKernels(), p);
    EXPECT_TRUE(ElementsWithin(all, expected, CudaAttentionErrorBounds(&p)));
    for (const size_t chunk : {size_t{1}, size_t{7}, size_t{64}}) {
      std::vector<float> pieces;
      for (size_t i = 0; i < rows.size(); i += chunk) {
        const auto end = rows.begin() + static_cast<int64_t>(std::min(i + chunk, rows.size()));
        const std::vector<float> piece = device.Run({rows.begin() + static_cast<int64_t>(i), end}).out;
        pieces.insert(pieces.end(), piece.begin(), piece.end());
      }
      EXPECT_TRUE(BitEqual<float>(pieces, all)) << "chunks of " << chunk;
    }
  }
}

TEST_F(CudaAttention, LaterPositionsAreNeverSeen) {
  // Everything behind each row's position becomes NaN: the same bits.
  for (const KvType type : kAllKvTypes) {
    SCOPED_TRACE(KvTypeName(type));
    AttentionShape shape = OfType(kReal, type);
    shape.start = 0, shape.tokens = 140;
    AttentionProblem p(shape, 1300);
    for (const int64_t token : {0, 15, 16, 62, 63, 64, 100}) {
      DeviceAttention device({&p});
      const std::vector<float> with_all = device.Run({{0, token}}).out;
      AttentionProblem cut(shape, 1300);
      const int64_t later = shape.tokens - token - 1;
      const std::vector<float> nan(Index(later * shape.kv_heads * shape.head_dim),
                                   std::numeric_limits<float>::quiet_NaN());
      cut.kv.Append(ReferenceKernels(), nan, nan, token + 1);
      DeviceAttention without({&cut});
      EXPECT_TRUE(BitEqual<float>(without.Run({{0, token}}).out, with_all)) << "token " << token;
      for (const float x : with_all) ASSERT_TRUE(std::isfinite(x));
    }
  }
}

TEST_F(CudaAttention, WhatIsNotFiniteInTheCacheShows) {
  for (const KvType type : kAllKvTypes) {
    AttentionShape shape = OfType(kReal, type);
    shape.start = 40, shape.tokens = 1;
    AttentionProblem p(shape, 1350);
    const std::vector<float> nan(Index(shape.kv_heads * shape.head_dim), std::numeric_limits<float>::quiet_NaN());
    p.kv.Append(ReferenceKernels(), nan, nan, 33);
    DeviceAttention device({&p});
    for (const float x : device.Run({{0, 0}}).out) ASSERT_TRUE(std::isnan(x)) << KvTypeName(type);
  }
}

TEST_F(CudaAttention, LargeScoresStayFinite) {
  // Scores of thousands, rising and falling: the running maximum must carry them. Tiny ones must not vanish either.
  for (const KvType type : kAllKvTypes) {
    for (const float magnitude : {40.0f, 1e-4f}) {
      auto problems = ProblemsAt(OfType(kReal, type), {100, 700}, 1400);
      for (auto& p : problems) {
        for (float& x : p->q) x *= magnitude;
        for (float& x : p->k) x *= magnitude;
        for (float& x : p->v) x *= magnitude;
        p->kv.Append(ReferenceKernels(), p->k, p->v, 0);
      }
      DeviceAttention device(PointersTo(problems));
      const std::vector<float> actual = device.Run(FirstRows(problems.size())).out;
      size_t at = 0;
      for (auto& p : problems) {
        const std::vector<float> expected = RunAttention(ReferenceKernels(), *p);
        EXPECT_TRUE(
            ElementsWithin(std::span(actual).subspan(at, expected.size()), expected, CudaAttentionErrorBounds(p.get())))
            << p->shape << " magnitude " << magnitude;
        at += expected.size();
      }
    }
  }
}

TEST_F(CudaAttention, Int8ScalesOfManyMagnitudes) {
  // Values of neighbouring positions differ by factors of a thousand, some are zero.
  auto problems = ProblemsAt(OfType(kReal, KvType::kInt8), {30, 500}, 1450);
  for (auto& p : problems) {
    const int64_t row = p->shape.kv_heads * p->shape.head_dim;
    for (size_t i = 0; i < p->v.size(); ++i) {
      const int64_t position = static_cast<int64_t>(i) / row;
      p->v[i] *= position % 7 == 3 ? 0.0f : std::pow(10.0f, static_cast<float>(position % 5) * 3 - 8);
    }
    p->kv.Append(ReferenceKernels(), p->k, p->v, 0);
  }
  DeviceAttention device(PointersTo(problems));
  ExpectAgree(problems, device.Run(FirstRows(problems.size())).out);
}

TEST_F(CudaAttention, Int8RowsAreTheQuantizedResult) {
  for (const AttentionShape& shape : {kReal, kTiny, AttentionShape{.query_heads = 3, .kv_heads = 1, .head_dim = 96}}) {
    const auto problems = ProblemsAt(shape, {5, 64, 333}, 1500);
    DeviceAttention device(PointersTo(problems));
    const int64_t width = shape.query_heads * shape.head_dim, m = 3;
    for (const int64_t padded : {width, RoundUp(width, 128) + 128}) {
      const auto result = device.Run(FirstRows(problems.size()), padded);
      std::vector<int8_t> codes(Index(m * padded));
      std::vector<float> scales(Index(m * padded / 32));
      std::vector<int32_t> sums(Index(m * padded / 32));
      const QuantizeRowsArgs args = {.x = result.out.data(),
                                     .permutation = nullptr,
                                     .out = {codes.data(), scales.data(), sums.data(), padded},
                                     .m = m,
                                     .in = width,
                                     .x_stride = width};
      ReferenceKernels().quantize_rows(args, {0, m});
      EXPECT_TRUE(BitEqual<int8_t>(result.codes, codes)) << width << " padded to " << padded;
      EXPECT_TRUE(BitEqual<float>(result.scales, scales));
      EXPECT_TRUE(BitEqual<int32_t>(result.sums, sums));
    }
  }
}

TEST(CudaAttentionChecks, RefusesShapesThatNoKernelTakes) {
  cuda::AttentionDecodeArgs args = {
      .kv = {.layout = {.type = KvType::kBF16, .kv_heads = 2, .head_dim = 256}}, .m = 1, .query_heads = 16};
  for (const int64_t head_dim : {0, 48, 288}) {
    args.kv.layout.head_dim = head_dim;
    EXPECT_EQ(cuda::LaunchAttention(args, nullptr).code(), StatusCode::kUnsupported) << head_dim;
  }
  args.kv.layout.head_dim = 256, args.query_heads = 15;
  EXPECT_EQ(cuda::LaunchAttention(args, nullptr).code(), StatusCode::kInvalidArgument);
  args.query_heads = 16, args.kv.pool = reinterpret_cast<std::byte*>(uintptr_t{8});
  EXPECT_EQ(cuda::LaunchAttention(args, nullptr).code(), StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace qnext
