// Routing and the sum of the experts. Part of float_ops-inl.h.

namespace qnext::QNEXT_FLOAT_OPS_ISA {
namespace {

struct SoftmaxScale {
  float maximum;
  float sum;  // of exp(logit - maximum)
};

// `lanes` logits from p on, -inf in the lanes past them.
QNEXT_INLINE Floats LoadLogits(const float* p, int64_t lanes) {
  Floats v = LoadFirst(p, lanes);
  for (int64_t lane = lanes; lane < kWidth; ++lane) v[lane] = -__builtin_inff();
  return v;
}

QNEXT_INLINE SoftmaxScale SoftmaxOf(const float* logits, int64_t n) {
  Floats largest = Splat(-__builtin_inff());
  ForVectors(n, [&](int64_t i, int64_t lanes) { largest = Max(LoadLogits(logits + i, lanes), largest); });
  const float maximum = MaxLanes(largest);
  Floats sum = Zero();
  ForVectors(n, [&](int64_t i, int64_t lanes) { sum = sum + Exp(LoadLogits(logits + i, lanes) - Splat(maximum)); });
  return {maximum, SumLanes(sum)};
}

// The `top` largest of exp(logit - maximum) / sum, in falling order, the lower index first among equals.
QNEXT_INLINE void SelectExperts(const float* logits, int64_t n, SoftmaxScale scale, int64_t top, int32_t* experts,
                                float* weights) {
  int64_t held = 0;
  ForVectors(n, [&](int64_t first, int64_t lanes) {
    const Floats p = Exp(LoadFirst(logits + first, lanes) - Splat(scale.maximum)) / Splat(scale.sum);
    if (held == top && !(MaxLanes(p) > weights[top - 1])) return;
    for (int64_t lane = 0; lane < lanes; ++lane) {
      const float value = p[lane];
      if (held == top && !(value > weights[top - 1])) continue;
      int64_t at = held < top ? held++ : top - 1;
      for (; at > 0 && value > weights[at - 1]; --at) {
        weights[at] = weights[at - 1];
        experts[at] = experts[at - 1];
      }
      weights[at] = value;
      experts[at] = static_cast<int32_t>(first + lane);
    }
  });
}

void Router(const RouterArgs& args, Range tokens) {
  for (int64_t t = tokens.begin; t < tokens.end; ++t) {
    const float* logits = args.logits + t * args.num_experts;
    int32_t* experts = args.experts + t * args.top;
    float* weights = args.weights + t * args.top;
    const SoftmaxScale scale = SoftmaxOf(logits, args.num_experts);
    if (args.forced) {
      for (int64_t j = 0; j < args.top; ++j) weights[j] = ExpOne(logits[experts[j]] - scale.maximum) / scale.sum;
    } else {
      SelectExperts(logits, args.num_experts, scale, args.top, experts, weights);
    }
    if (!args.normalize) continue;
    float sum = 0;
    for (int64_t j = 0; j < args.top; ++j) sum += weights[j];
    for (int64_t j = 0; j < args.top; ++j) weights[j] /= sum;
  }
}

void CombineExperts(const CombineExpertsArgs& args, Range tokens) {
  for (int64_t t = tokens.begin; t < tokens.end; ++t) {
    const float* weights = args.weights + t * args.top;
    const int64_t* slots = args.slots + t * args.top;
    const Floats gate = args.shared != nullptr ? Sigmoid(Splat(args.shared_gate[t])) : Zero();
    ForVectors(args.dim, [&](int64_t i, int64_t lanes) {
      Floats sum = LoadFirst(args.residual + t * args.dim + i, lanes);
      for (int64_t j = 0; j < args.top; ++j) {
        sum = Fma(Splat(weights[j]), LoadFirst(args.rows + slots[j] * args.dim + i, lanes), sum);
      }
      if (args.shared != nullptr) sum = Fma(gate, LoadFirst(args.shared + t * args.dim + i, lanes), sum);
      StoreFirst(args.out + t * args.dim + i, sum, lanes);
    });
  }
}

}  // namespace
}  // namespace qnext::QNEXT_FLOAT_OPS_ISA
