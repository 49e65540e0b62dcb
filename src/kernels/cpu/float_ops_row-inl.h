// Ops on single rows: norms, rotary embedding, gates, silu. Part of float_ops-inl.h.

namespace qnext::QNEXT_FLOAT_OPS_ISA {
namespace {

QNEXT_INLINE float InverseRms(const float* x, int64_t n, float eps) {
  return 1.0f / __builtin_sqrtf(SumOfSquares(x, n) / static_cast<float>(n) + eps);
}

// out = x * factor * (1 + weight)
QNEXT_INLINE void ScaleByWeight(const float* x, float factor, const float* weight, float* out, int64_t n) {
  ForVectors(n, [&](int64_t i, int64_t lanes) {
    const Floats scaled = LoadFirst(x + i, lanes) * Splat(factor);
    StoreFirst(out + i, scaled * (Splat(1.0f) + LoadFirst(weight + i, lanes)), lanes);
  });
}

void RmsNorm(const RmsNormArgs& args, Range rows) {
  for (int64_t r = rows.begin; r < rows.end; ++r) {
    const float* x = args.x + r * args.dim;
    ScaleByWeight(x, InverseRms(x, args.dim, args.eps), args.weight, args.out + r * args.dim, args.dim);
  }
}

void GatedRmsNorm(const GatedRmsNormArgs& args, Range tokens) {
  const int64_t size = args.head_dim;
  const int64_t ratio = args.value_heads / args.key_heads;
  const int64_t group = 2 * size + 2 * ratio * size;
  for (int64_t t = tokens.begin; t < tokens.end; ++t) {
    for (int64_t h = 0; h < args.value_heads; ++h) {
      const float* o = args.o + (t * args.value_heads + h) * size;
      const float* z = args.qkvz + (t * args.key_heads + h / ratio) * group + (2 + ratio + h % ratio) * size;
      float* out = args.out + (t * args.value_heads + h) * size;
      const Floats factor = Splat(InverseRms(o, size, args.eps));
      ForVectors(size, [&](int64_t i, int64_t lanes) {
        const Floats normed = LoadFirst(o + i, lanes) * factor * LoadFirst(args.weight + i, lanes);
        StoreFirst(out + i, normed * Silu(LoadFirst(z + i, lanes)), lanes);
      });
    }
  }
}

void SiluMul(const SiluMulArgs& args, Range rows) {
  for (int64_t r = rows.begin; r < rows.end; ++r) {
    const float* gate = args.gate + r * args.dim;
    const float* up = args.up + r * args.dim;
    float* out = args.out + r * args.dim;
    ForVectors(args.dim, [&](int64_t i, int64_t lanes) {
      StoreFirst(out + i, Silu(LoadFirst(gate + i, lanes)) * LoadFirst(up + i, lanes), lanes);
    });
  }
}

void DeltaGates(const DeltaGatesArgs& args, Range tokens) {
  const int64_t heads = args.value_heads;
  const int64_t ratio = heads / args.key_heads;
  for (int64_t t = tokens.begin; t < tokens.end; ++t) {
    const float* ba = args.ba + t * 2 * heads;
    ForVectors(heads, [&](int64_t first, int64_t lanes) {
      Floats a = Zero(), b = Zero();
      for (int64_t i = 0; i < lanes; ++i) {
        const int64_t h = first + i;
        const float* group = ba + h / ratio * 2 * ratio + h % ratio;
        b[i] = group[0];
        a[i] = group[ratio];
      }
      const Floats rate = Exp(LoadFirst(args.a_log + first, lanes));
      const Floats g = -(rate * Softplus(a + LoadFirst(args.dt_bias + first, lanes)));
      StoreFirst(args.g + t * heads + first, g, lanes);
      StoreFirst(args.beta + t * heads + first, Sigmoid(b), lanes);
    });
  }
}

void QkNormRope(const QkNormRopeArgs& args, Range token_heads) {
  const int64_t half = args.rotary_dims / 2;
  for (int64_t item = token_heads.begin; item < token_heads.end; ++item) {
    const int64_t t = item / args.heads, h = item % args.heads;
    const float* x = args.x + t * args.token_stride + h * args.head_stride;
    float* out = args.out + item * args.head_dim;
    ScaleByWeight(x, InverseRms(x, args.head_dim, args.eps), args.weight, out, args.head_dim);
    ForVectors(half, [&](int64_t i, int64_t lanes) {
      const Floats cosine = LoadFirst(args.cos + t * half + i, lanes);
      const Floats sine = LoadFirst(args.sin + t * half + i, lanes);
      const Floats a = LoadFirst(out + i, lanes), b = LoadFirst(out + half + i, lanes);
      StoreFirst(out + i, Fma(a, cosine, -(b * sine)), lanes);
      StoreFirst(out + half + i, Fma(b, cosine, a * sine), lanes);
    });
  }
}

}  // namespace
}  // namespace qnext::QNEXT_FLOAT_OPS_ISA
