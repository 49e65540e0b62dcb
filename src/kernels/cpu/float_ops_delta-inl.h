// The gated delta rule, recurrent and chunked. Part of float_ops-inl.h.

namespace qnext::QNEXT_FLOAT_OPS_ISA {
namespace {

constexpr float kL2Eps = 1e-6f;

QNEXT_INLINE float InverseL2(const float* x, int64_t n) { return 1.0f / __builtin_sqrtf(SumOfSquares(x, n) + kL2Eps); }

// Pointers and scalars of one token and value head.
struct DeltaToken {
  const float *q, *k, *v;  // [S] each, q and k not yet normalised
  float* out;              // [S]
  float g, beta;
};

// What a step needs of its token besides: exp(g), and the factors that normalise k and q.
struct DeltaScales {
  float decay, k, q;
};

QNEXT_INLINE DeltaScales DeltaScalesOf(const DeltaToken& token, int64_t size) {
  return {ExpOne(token.g), InverseL2(token.k, size),
          InverseL2(token.q, size) / __builtin_sqrtf(static_cast<float>(size))};
}

QNEXT_INLINE DeltaToken DeltaTokenAt(const DeltaArgs& args, int64_t t, int64_t h) {
  const int64_t size = args.head_dim;
  const int64_t keys = args.key_heads * size;
  const int64_t key_head = h / (args.value_heads / args.key_heads);
  const float* qkv = args.qkv + t * (2 * keys + args.value_heads * size);
  const int64_t th = t * args.value_heads + h;
  return {
      qkv + key_head * size, qkv + keys + key_head * size, qkv + 2 * keys + h * size, args.out + th * size, args.g[th],
      args.beta[th]};
}

// One token for kVectors vectors of columns of M from `column` on (the last with `lanes`). Two passes over those
// columns: u = beta (v - exp(g) Mᵀk), then M <- exp(g) M + k ⊗ u and o = Mᵀq. The norms of k and q are factors of the
// sums. Four rows in flight hide the latency of Fma.
template <int kVectors>
QNEXT_INLINE void DeltaStep(const DeltaToken& token, const DeltaScales& scales, int64_t size, float* state,
                            int64_t column, int64_t lanes) {
  float* m = state + column;

  Floats sum[4][kVectors] = {};
  int64_t i = 0;
  for (; i + 4 <= size; i += 4) {
#pragma GCC unroll 4
    for (int chain = 0; chain < 4; ++chain) {
      const Floats k = Splat(token.k[i + chain]);
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) {
        sum[chain][v] = Fma(LoadFirst(m + (i + chain) * size + v * kWidth, lanes), k, sum[chain][v]);
      }
    }
  }
  for (; i < size; ++i) {
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) {
      sum[0][v] = Fma(LoadFirst(m + i * size + v * kWidth, lanes), Splat(token.k[i]), sum[0][v]);
    }
  }
  Floats update[kVectors];  // u times the norm of k
#pragma GCC unroll 8
  for (int v = 0; v < kVectors; ++v) {
    const Floats seen = ((sum[0][v] + sum[1][v]) + (sum[2][v] + sum[3][v])) * Splat(scales.decay * scales.k);
    update[v] = (LoadFirst(token.v + column + v * kWidth, lanes) - seen) * Splat(token.beta * scales.k);
  }

  const auto advance = [&](int64_t row, int v) __attribute__((always_inline)) {
    float* p = m + row * size + v * kWidth;
    const Floats next = Fma(Splat(token.k[row]), update[v], LoadFirst(p, lanes) * Splat(scales.decay));
    StoreFirst(p, next, lanes);
    return next;
  };
  Floats out[4][kVectors] = {};
  for (i = 0; i + 4 <= size; i += 4) {
#pragma GCC unroll 4
    for (int chain = 0; chain < 4; ++chain) {
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) {
        out[chain][v] = Fma(advance(i + chain, v), Splat(token.q[i + chain]), out[chain][v]);
      }
    }
  }
  for (; i < size; ++i) {
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) out[0][v] = Fma(advance(i, v), Splat(token.q[i]), out[0][v]);
  }
#pragma GCC unroll 8
  for (int v = 0; v < kVectors; ++v) {
    const Floats total = ((out[0][v] + out[1][v]) + (out[2][v] + out[3][v])) * Splat(scales.q);
    StoreFirst(token.out + column + v * kWidth, total, lanes);
  }
}

void DeltaRecurrent(const DeltaArgs& args, Range head_columns) {
  constexpr int kVectors = 2;
  const int64_t size = args.head_dim;
  const int64_t blocks = (size + kDeltaColumns - 1) / kDeltaColumns;
  for (int64_t item = head_columns.begin; item < head_columns.end; ++item) {
    const int64_t h = item / blocks;
    const int64_t first = item % blocks * kDeltaColumns;
    const int64_t last = Min(first + kDeltaColumns, size);
    float* state = args.state + h * size * size;
    for (int64_t t = 0; t < args.tokens; ++t) {
      const DeltaToken token = DeltaTokenAt(args, t, h);
      const DeltaScales scales = DeltaScalesOf(token, size);
      int64_t c = first;
      for (; c + kVectors * kWidth <= last; c += kVectors * kWidth) {
        DeltaStep<kVectors>(token, scales, size, state, c, kWidth);
      }
      for (; c < last; c += kWidth) DeltaStep<1>(token, scales, size, state, c, Min<int64_t>(kWidth, last - c));
    }
  }
}

// The buffers of one chunk of one head, carved out of args.scratch. Rows of 64-token matrices are kDeltaChunk apart.
struct DeltaScratch {
  float* k;       // [64, S] normalised
  float* q;       // [64, S] normalised, times 1/sqrt(S)
  float* u;       // [64, S]
  float* k_t;     // [S, 64]
  float* lower;   // [64, 64] -beta_i D_ij k_i·k_j for j < i
  float* scores;  // [64, 64] D_ij q_i·k_j for j <= i
};

constexpr int64_t kDeltaRows = 16;  // rows of the triangular matrices at a time; columns past their block stay unset

// out[columns, 64] = x[rows, columns] transposed; columns rows .. up to a whole vector are zero.
void TransposeRows(const float* x, int64_t rows, int64_t columns, float* out) {
  for (int64_t r = 0; r < rows; r += kWidth) {
    for (int64_t c = 0; c < columns; c += kWidth) {
      const int64_t lanes = Min<int64_t>(kWidth, columns - c);
      Floats block[kWidth];
#pragma GCC unroll 16
      for (int i = 0; i < kWidth; ++i) block[i] = r + i < rows ? LoadFirst(x + (r + i) * columns + c, lanes) : Zero();
      Transpose(block);
      for (int64_t i = 0; i < lanes; ++i) Store(out + (c + i) * kDeltaChunk + r, block[i]);
    }
  }
}

QNEXT_INLINE void ScaleRow(float* x, float scale, int64_t n) {
  ForVectors(n, [&](int64_t i, int64_t lanes) { StoreFirst(x + i, LoadFirst(x + i, lanes) * Splat(scale), lanes); });
}

// Turns the plain products of rows i0 .. i0+rows-1 into -beta D k·k (strictly lower) and D q·k (lower). D is masked
// before exp; sums of g are float64, since differences of sums near -1500 would keep only four digits in float32.
void DecayRows(const DeltaScratch& s, const double* sums, const float* beta, int64_t i0, int64_t rows) {
  for (int64_t i = i0; i < i0 + rows; ++i) {
    float* lower = s.lower + i * kDeltaChunk;
    float* scores = s.scores + i * kDeltaChunk;
    float difference[kDeltaChunk + kWidth];
    for (int64_t j = 0; j <= i; ++j) difference[j] = static_cast<float>(sums[i] - sums[j]);
    for (int64_t j = i + 1; j < kDeltaChunk; ++j) difference[j] = -__builtin_inff();
    ForVectors(i0 + rows, [&](int64_t j, int64_t lanes) {
      const Floats decay = Exp(LoadFirst(difference + j, lanes));
      StoreFirst(lower + j, LoadFirst(lower + j, lanes) * decay * Splat(-beta[i]), lanes);
      StoreFirst(scores + j, LoadFirst(scores + j, lanes) * decay, lanes);
    });
  }
}

// (I - lower) U = U in place: forward substitution, sixteen rows at a time after the contribution of those above.
void SolveUnitLower(const DeltaScratch& s, int64_t rows, int64_t size) {
  for (int64_t i0 = 0; i0 < rows; i0 += kDeltaRows) {
    const int64_t count = Min(kDeltaRows, rows - i0);
    const float* lower = s.lower + i0 * kDeltaChunk;
    Product<true>(count, size, i0, {lower, kDeltaChunk}, s.u, size, s.u + i0 * size, size);
    for (int64_t i = 1; i < count; ++i) {
      Product<true>(1, size, i, {lower + i * kDeltaChunk + i0, kDeltaChunk}, s.u + i0 * size, size,
                    s.u + (i0 + i) * size, size);
    }
  }
}

// Tokens t0 .. t0+rows-1 of head h; the steps are those of docs/numerics.md.
void DeltaChunk(const DeltaArgs& args, int64_t h, int64_t t0, int64_t rows, const DeltaScratch& s) {
  const int64_t size = args.head_dim;
  float* state = args.state + h * size * size;
  double sums[kDeltaChunk];  // G: inclusive sums of g
  float beta[kDeltaChunk];
  for (int64_t i = 0; i < rows; ++i) {
    const DeltaToken token = DeltaTokenAt(args, t0 + i, h);
    sums[i] = (i > 0 ? sums[i - 1] : 0.0) + static_cast<double>(token.g);
    beta[i] = token.beta;
    const DeltaScales scales = DeltaScalesOf(token, size);
    ForVectors(size, [&](int64_t c, int64_t lanes) {
      StoreFirst(s.k + i * size + c, LoadFirst(token.k + c, lanes) * Splat(scales.k), lanes);
      StoreFirst(s.q + i * size + c, LoadFirst(token.q + c, lanes) * Splat(scales.q), lanes);
    });
  }

  TransposeRows(s.k, rows, size, s.k_t);
  for (int64_t i0 = 0; i0 < rows; i0 += kDeltaRows) {
    const int64_t count = Min(kDeltaRows, rows - i0);
    const int64_t at = i0 * kDeltaChunk;
    Product<false>(count, i0 + count, size, {s.k + i0 * size, size}, s.k_t, kDeltaChunk, s.lower + at, kDeltaChunk);
    Product<false>(count, i0 + count, size, {s.q + i0 * size, size}, s.k_t, kDeltaChunk, s.scores + at, kDeltaChunk);
    DecayRows(s, sums, beta, i0, count);
  }

  // U = beta (V - exp(G) K M), then the solve.
  Product<false>(rows, size, size, {s.k, size}, state, size, s.u, size);
  for (int64_t i = 0; i < rows; ++i) {
    const float* v = DeltaTokenAt(args, t0 + i, h).v;
    const Floats decay = Splat(ExpOne(static_cast<float>(sums[i])));
    ForVectors(size, [&](int64_t c, int64_t lanes) {
      float* u = s.u + i * size + c;
      StoreFirst(u, (LoadFirst(v + c, lanes) - LoadFirst(u, lanes) * decay) * Splat(beta[i]), lanes);
    });
  }
  SolveUnitLower(s, rows, size);

  // O = exp(G) Q M + (D Q Kᵀ) U
  const int64_t out_stride = args.value_heads * size;
  float* out = DeltaTokenAt(args, t0, h).out;
  Product<false>(rows, size, size, {s.q, size}, state, size, out, out_stride);
  for (int64_t i = 0; i < rows; ++i) ScaleRow(out + i * out_stride, ExpOne(static_cast<float>(sums[i])), size);
  for (int64_t i0 = 0; i0 < rows; i0 += kDeltaRows) {
    const int64_t count = Min(kDeltaRows, rows - i0);
    Product<true>(count, size, i0 + count, {s.scores + i0 * kDeltaChunk, kDeltaChunk}, s.u, size, out + i0 * out_stride,
                  out_stride);
  }

  // M <- exp(G_last) M + (exp(G_last - G) K)ᵀ U
  const double last = sums[rows - 1];
  for (int64_t i = 0; i < rows; ++i) ScaleRow(s.k + i * size, ExpOne(static_cast<float>(last - sums[i])), size);
  ScaleRow(state, ExpOne(static_cast<float>(last)), size * size);
  Product<true>(size, size, rows, {s.k, 1, size}, s.u, size, state, size);
}

void DeltaChunked(const DeltaArgs& args, Range heads) {
  const int64_t plane = kDeltaChunk * args.head_dim;
  float* p = args.scratch;
  const DeltaScratch scratch = {.k = p,
                                .q = p + plane,
                                .u = p + 2 * plane,
                                .k_t = p + 3 * plane,
                                .lower = p + 4 * plane,
                                .scores = p + 4 * plane + kDeltaChunk * kDeltaChunk};
  for (int64_t h = heads.begin; h < heads.end; ++h) {
    for (int64_t t = 0; t < args.tokens; t += kDeltaChunk) {
      DeltaChunk(args, h, t, Min(kDeltaChunk, args.tokens - t), scratch);
    }
  }
}

}  // namespace
}  // namespace qnext::QNEXT_FLOAT_OPS_ISA
