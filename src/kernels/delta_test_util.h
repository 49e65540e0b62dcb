// Random problems of the gated delta rule, and the error bounds of docs/numerics.md for them.
#pragma once

#include <cmath>

#include "kernels/kernels_test_util.h"

namespace qnext::kernels_test {

struct DeltaShape {
  int64_t tokens, key_heads, value_heads, head_dim;
};

inline std::ostream& operator<<(std::ostream& out, const DeltaShape& s) {
  return out << "T " << s.tokens << ", K " << s.key_heads << ", H " << s.value_heads << ", S " << s.head_dim;
}

enum class DeltaForm { kRecurrent, kChunked };
constexpr DeltaForm kDeltaForms[] = {DeltaForm::kRecurrent, DeltaForm::kChunked};
inline const char* DeltaFormName(DeltaForm form) { return form == DeltaForm::kChunked ? "chunked" : "recurrent"; }

inline void RunDelta(const Kernels& ops, DeltaForm form, const DeltaArgs& args, Grouping grouping = Grouping::kWhole) {
  if (form == DeltaForm::kChunked) {
    ForRanges(grouping, args.chunked_items(), [&](Range heads) { ops.delta_chunked(args, heads); });
  } else {
    ForRanges(grouping, args.recurrent_items(), [&](Range columns) { ops.delta_recurrent(args, columns); });
  }
}

enum class Decay {
  kSlow,     // g around -1e-4 .. -1e-2: nothing is forgotten
  kMixed,    // g in [-20, -1e-4], log-uniform
  kExtreme,  // now and then -700, so that sums within a chunk pass -1500, between slow tokens
};

// Inputs, state and outputs of one call; Args() points into it.
struct DeltaProblem {
  DeltaProblem(const DeltaShape& s, Decay decay, uint32_t seed) : shape(s) {
    Random random(seed);
    qkv = random.Normal(s.tokens * (2 * s.key_heads + s.value_heads) * s.head_dim);
    beta = random.Uniform(s.tokens * s.value_heads, 0, 1);
    for (size_t i = 0; i < beta.size(); i += 7) beta[i] = i % 2 == 0 ? 1.0f : 0.0f;
    state = random.Normal(s.value_heads * s.head_dim * s.head_dim, 0.3);
    for (int64_t i = 0; i < s.tokens * s.value_heads; ++i) {
      double g = -std::exp(random.Uniform(std::log(1e-4), std::log(decay == Decay::kMixed ? 20.0 : 1e-2)));
      if (decay == Decay::kExtreme && random.Uniform(0, 1) < 0.1) g = -700;
      gates.push_back(static_cast<float>(g));
    }
  }

  // Of tokens [first, first + count), writing to out [T, H, S] and advancing `m`.
  DeltaArgs Args(int64_t first, int64_t count, float* m, float* out, float* scratch) const {
    return {.qkv = qkv.data() + first * (2 * shape.key_heads + shape.value_heads) * shape.head_dim,
            .g = gates.data() + first * shape.value_heads,
            .beta = beta.data() + first * shape.value_heads,
            .state = m,
            .out = out + first * shape.value_heads * shape.head_dim,
            .scratch = scratch,
            .tokens = count,
            .key_heads = shape.key_heads,
            .value_heads = shape.value_heads,
            .head_dim = shape.head_dim};
  }
  int64_t out_floats() const { return shape.tokens * shape.value_heads * shape.head_dim; }

  DeltaShape shape;
  std::vector<float> qkv, gates, beta, state;
};

struct DeltaBounds {
  std::vector<double> out;    // [T, H, S]
  std::vector<double> state;  // [H, S, S]
};

// |error| of a float32 evaluation of either form (docs/numerics.md, "Gated delta rule"), column by column of M.
inline DeltaBounds DeltaErrorBounds(const DeltaProblem& p) {
  const auto [tokens, key_heads, heads, size] = p.shape;
  DeltaBounds bounds = {std::vector<double>(Index(p.out_floats())), std::vector<double>(p.state.size())};
  const double c = 3 * static_cast<double>(size + kDeltaChunk + 20) * kUnit;
  const double q_norm = 1 / std::sqrt(static_cast<double>(size));
  for (int64_t h = 0; h < heads; ++h) {
    for (int64_t column = 0; column < size; ++column) {
      double norm = 0;  // of the column of M; then a bound on it
      for (int64_t i = 0; i < size; ++i) {
        norm += std::pow(static_cast<double>(p.state[Index((h * size + i) * size + column)]), 2);
      }
      norm = std::sqrt(norm);
      double error = 0, mass = norm;
      for (int64_t t = 0; t < tokens; ++t) {
        const double decay = std::exp(static_cast<double>(p.gates[Index(t * heads + h)]));
        const double v = std::abs(static_cast<double>(
            p.qkv[Index(t * (2 * key_heads + heads) * size + 2 * key_heads * size + h * size + column)]));
        if (t % kDeltaChunk == 0) mass = norm;
        mass = decay * mass + v + decay * norm;  // W_t: what the sums of row t add up in absolute value
        norm = decay * norm + v;                 // B_t
        error = decay * error + c * mass;        // E_t
        bounds.out[Index((t * heads + h) * size + column)] = q_norm * (error + c * mass) + 1e-30;
      }
      for (int64_t i = 0; i < size; ++i) bounds.state[Index((h * size + i) * size + column)] = error + c * mass + 1e-30;
    }
  }
  return bounds;
}

}  // namespace qnext::kernels_test
