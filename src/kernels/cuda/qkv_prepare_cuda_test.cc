// Norm, rotary embedding and cache rows of the GPU against the reference.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "compare.h"
#include "kernels/cuda/attention_cuda_test_util.h"

namespace qnext {
namespace {

using namespace kernels_test;  // NOLINT: the helpers of this folder's tests
using cuda_test::DeviceArray;

class CudaQkvPrepare : public cuda_test::CudaTest {};

constexpr float kEps = 1e-6f;
constexpr int64_t kMaxPages = 70;

struct Shape {
  int64_t query_heads, kv_heads, head_dim, rotary_dims;
};

// Rows of several sequences at `positions`, each in a slot of its own, its page wherever the table says.
struct Problem {
  Problem(const Shape& s, const std::vector<int32_t>& at, uint32_t seed) : shape(s), positions(at) {
    Random random(seed);
    query_gate = random.Normal(m() * s.query_heads * 2 * s.head_dim);
    key = random.Normal(m() * s.kv_heads * s.head_dim, 3), value = random.Normal(m() * s.kv_heads * s.head_dim);
    q_norm = random.Normal(s.head_dim, 0.3), k_norm = random.Normal(s.head_dim, 0.3);
    for (int64_t i = 0; i < m() * s.rotary_dims / 2; ++i) {
      const double angle = random.Uniform(0, 300000);
      cosine.push_back(static_cast<float>(std::cos(angle))), sine.push_back(static_cast<float>(std::sin(angle)));
    }
    // Values of every magnitude, ties, both zeros, subnormals, what is not finite, and rows of zeros.
    for (float& x : value) x *= std::ldexp(1.0f, static_cast<int>(random.Uniform(-14, 12)));
    for (size_t i = 0; i < value.size(); i += 3) value[i] = std::round(value[i] * 16) / 32;
    const auto row = [&](int64_t i) { return value.begin() + i * s.head_dim; };
    for (int64_t i = 0; i < s.head_dim; ++i) row(0)[i] = i % 2 == 0 ? 0.0f : -0.0f;
    if (m() * s.kv_heads > 4) {
      row(1)[0] = std::numeric_limits<float>::denorm_min(), row(1)[1] = 1e30f;
      row(2)[3] = std::numeric_limits<float>::infinity();
      row(3)[5] = std::numeric_limits<float>::quiet_NaN(), row(3)[6] = -std::numeric_limits<float>::quiet_NaN();
    }
    for (int64_t i = 0; i < m(); ++i) {
      slots.push_back(static_cast<int32_t>(m() - 1 - i));
      for (int64_t page = 0; page < kMaxPages; ++page) table.push_back(-1);  // a page that nobody may touch
    }
    for (int64_t i = 0; i < m(); ++i) {
      table[Index(slots[Index(i)] * kMaxPages + positions[Index(i)] / kKvPageTokens)] = PageOf(i);
    }
  }

  int64_t m() const { return static_cast<int64_t>(positions.size()); }
  int64_t num_pages() const { return m() + 1; }
  int32_t PageOf(int64_t row) const { return static_cast<int32_t>((row * 5 + 2) % m()); }  // m is no multiple of 5

  struct Result {
    std::vector<float> query;  // [m, Hq, Dh]
    std::vector<std::byte> pool;
  };
  // Rows [first, first + count) in one call.
  Result Run(KvType type, int64_t first, int64_t count) const {
    const auto rows = [&](const std::vector<float>& x) {
      const int64_t n = static_cast<int64_t>(x.size()) / m();
      return std::vector<float>(x.begin() + first * n, x.begin() + (first + count) * n);
    };
    const auto indices = [&](const std::vector<int32_t>& x) {
      return std::vector<int32_t>(x.begin() + first, x.begin() + first + count);
    };
    const KvLayout layout = {.type = type, .kv_heads = shape.kv_heads, .head_dim = shape.head_dim};
    DeviceArray<float> d_query_gate(rows(query_gate)), d_key(rows(key)), d_value(rows(value)), d_q_norm(q_norm),
        d_k_norm(k_norm), d_cos(rows(cosine)), d_sin(rows(sine)), query(count * shape.query_heads * shape.head_dim);
    DeviceArray<int32_t> d_table(table), d_positions(indices(positions)), d_slots(indices(slots));
    DeviceArray<std::byte> pool(num_pages() * layout.page_bytes());
    const cuda::QkvPrepareArgs args = {
        .query_gate = d_query_gate.get(),
        .key = d_key.get(),
        .value = d_value.get(),
        .q_norm = d_q_norm.get(),
        .k_norm = d_k_norm.get(),
        .cos = d_cos.get(),
        .sin = d_sin.get(),
        .query = query.get(),
        .kv = {.layout = layout, .pool = pool.get(), .page_table = d_table.get(), .max_pages = kMaxPages},
        .positions = d_positions.get(),
        .slots = d_slots.get(),
        .m = count,
        .query_heads = shape.query_heads,
        .rotary_dims = shape.rotary_dims,
        .eps = kEps};
    EXPECT_TRUE(cuda_test::IsOk(cuda::LaunchQkvPrepare(args, nullptr)));
    EXPECT_TRUE(cuda_test::Synchronized());
    EXPECT_TRUE(query.GuardsIntact() && pool.GuardsIntact());
    return {query.Download(), pool.Download()};
  }

  Shape shape;
  std::vector<int32_t> positions, slots, table;
  std::vector<float> query_gate, key, value, q_norm, k_norm, cosine, sine;
};

// heads of x, [m, heads, Dh], against the reference.
void ExpectNormedAndTurned(const Problem& p, const std::vector<float>& actual, const std::vector<float>& x,
                           int64_t heads, int64_t head_stride, const std::vector<float>& weight) {
  const int64_t size = p.shape.head_dim;
  std::vector<float> expected(Index(p.m() * heads * size));
  const QkNormRopeArgs args = {.x = x.data(),
                               .weight = weight.data(),
                               .cos = p.cosine.data(),
                               .sin = p.sine.data(),
                               .out = expected.data(),
                               .heads = heads,
                               .head_dim = size,
                               .rotary_dims = p.shape.rotary_dims,
                               .token_stride = heads * head_stride,
                               .head_stride = head_stride,
                               .eps = kEps};
  ReferenceKernels().qk_norm_rope(args, {0, p.m() * heads});
  std::vector<double> bounds;
  const size_t half = Index(p.shape.rotary_dims / 2);
  for (size_t i = 0; i < expected.size(); ++i) {
    const auto at = [&](size_t j) { return std::abs(static_cast<double>(expected[j])); };
    const size_t d = i % Index(size);
    double norm = at(i);
    if (d < half) norm = std::sqrt(2.0) * std::hypot(norm, at(i + half));
    if (d >= half && d < 2 * half) norm = std::sqrt(2.0) * std::hypot(norm, at(i - half));
    bounds.push_back(Gamma(static_cast<double>(size) / 2 + 12) * norm + 1e-36);
  }
  EXPECT_TRUE(ElementsWithin(actual, expected, bounds));
}

// The rows of K (or V) that the call wrote, read from a float32 cache: [m, Hkv, Dh].
std::vector<float> CachedRows(const Problem& p, const std::vector<std::byte>& pool, bool values) {
  const KvLayout layout = {.type = KvType::kF32, .kv_heads = p.shape.kv_heads, .head_dim = p.shape.head_dim};
  std::vector<float> rows;
  for (int64_t i = 0; i < p.m(); ++i) {
    for (int64_t head = 0; head < p.shape.kv_heads; ++head) {
      const int64_t slot = p.positions[Index(i)] % kKvPageTokens;
      std::vector<float> row(Index(p.shape.head_dim));
      const int64_t offset = values ? layout.v_offset(head, slot) : layout.k_offset(head, slot);
      std::memcpy(row.data(), pool.data() + p.PageOf(i) * layout.page_bytes() + offset, row.size() * sizeof(float));
      rows.insert(rows.end(), row.begin(), row.end());
    }
  }
  return rows;
}

// What the reference writes of these rows, in pages of 0xff.
std::vector<std::byte> ExpectedPool(const Problem& p, KvType type, const std::vector<float>& k,
                                    const std::vector<float>& v) {
  const KvLayout layout = {.type = type, .kv_heads = p.shape.kv_heads, .head_dim = p.shape.head_dim};
  std::vector<std::byte> pool(Index(p.num_pages() * layout.page_bytes()), std::byte{0xff});
  for (int64_t i = 0; i < p.m(); ++i) {
    std::byte* page = pool.data() + p.PageOf(i) * layout.page_bytes();
    for (int64_t head = 0; head < p.shape.kv_heads; ++head) {
      const int64_t at = (i * p.shape.kv_heads + head) * p.shape.head_dim, slot = p.positions[Index(i)] % kKvPageTokens;
      reference::StoreKvRow(k.data() + at, layout, head, slot, /*values=*/false, page);
      reference::StoreKvRow(v.data() + at, layout, head, slot, /*values=*/true, page);
    }
  }
  return pool;
}

const Shape kShapes[] = {{16, 2, 256, 64}, {4, 2, 256, 64}, {3, 3, 32, 32}, {5, 1, 96, 20}, {2, 1, 160, 6}};
const std::vector<int32_t> kPositions = {0, 1, 63, 64, 65, 127, 128, 4000};

TEST_F(CudaQkvPrepare, NormsTurnsAndWritesTheCache) {
  uint32_t seed = 1600;
  for (const Shape& shape : kShapes) {
    SCOPED_TRACE(::testing::Message() << "Hq " << shape.query_heads << " Dh " << shape.head_dim);
    const Problem p(shape, kPositions, ++seed);
    const Problem::Result exact = p.Run(KvType::kF32, 0, p.m());
    ExpectNormedAndTurned(p, exact.query, p.query_gate, shape.query_heads, 2 * shape.head_dim, p.q_norm);
    const std::vector<float> k = CachedRows(p, exact.pool, /*values=*/false);
    ExpectNormedAndTurned(p, k, p.key, shape.kv_heads, shape.head_dim, p.k_norm);
    EXPECT_TRUE(BitEqual<float>(CachedRows(p, exact.pool, /*values=*/true), p.value));
    // Every format holds these very rows, rounded as the reference does; nothing else is written.
    for (const KvType type : kAllKvTypes) {
      const Problem::Result result = p.Run(type, 0, p.m());
      EXPECT_TRUE(BitEqual<float>(result.query, exact.query)) << KvTypeName(type);
      const std::vector<std::byte> expected = ExpectedPool(p, type, k, p.value);
      size_t differing = 0, first = 0;
      for (size_t i = expected.size(); i-- > 0;) {
        if (result.pool[i] != expected[i]) ++differing, first = i;
      }
      EXPECT_EQ(differing, 0u) << KvTypeName(type) << ": the first at byte " << first << " of " << expected.size();
    }
  }
}

TEST_F(CudaQkvPrepare, ARowDoesNotDependOnTheOthers) {
  const Problem p(kShapes[0], kPositions, 1650);
  for (const KvType type : kAllKvTypes) {
    const Problem::Result all = p.Run(type, 0, p.m());
    std::vector<float> query;
    std::vector<std::byte> pool(all.pool.size(), std::byte{0xff});
    for (int64_t i = 0; i < p.m(); ++i) {
      const Problem::Result one = p.Run(type, i, 1);
      query.insert(query.end(), one.query.begin(), one.query.end());
      for (size_t b = 0; b < pool.size(); ++b) {
        if (one.pool[b] != std::byte{0xff}) pool[b] = one.pool[b];
      }
    }
    EXPECT_TRUE(BitEqual<float>(query, all.query)) << KvTypeName(type);
    EXPECT_TRUE(pool == all.pool) << KvTypeName(type);
  }
}

TEST(CudaQkvPrepareChecks, RefusesShapesThatNoKernelTakes) {
  cuda::QkvPrepareArgs args = {.kv = {.layout = {.type = KvType::kBF16, .kv_heads = 2, .head_dim = 48}}, .m = 1};
  EXPECT_EQ(cuda::LaunchQkvPrepare(args, nullptr).code(), StatusCode::kUnsupported);
  args.kv.layout.head_dim = 64, args.rotary_dims = 66;
  EXPECT_EQ(cuda::LaunchQkvPrepare(args, nullptr).code(), StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace qnext
