// DeltaNet on the GPU. Prefill gives its convolution away, so that each of its kernels is held against the reference on
// equal inputs; decode must then give prefill's bits.
#include <gtest/gtest.h>

#include <cmath>

#include "compare.h"
#include "kernels/cuda/cuda_test_util.h"
#include "kernels/cuda/delta.h"
#include "kernels/delta_test_util.h"

namespace qnext {
namespace {

using namespace kernels_test;  // NOLINT: the helpers of this folder's tests
using cuda_test::DeviceArray;

class CudaDelta : public cuda_test::CudaTest {};

// `sequences` sequences of `tokens` tokens, sequence s beginning at position starts[s]; slots in falling order among
// more slots than are used.
struct Problem {
  Problem(const DeltaShape& s, const std::vector<int32_t>& first_positions, uint32_t seed)
      : shape(s), starts(first_positions) {
    Random random(seed);
    qkvz = random.Normal(m() * width()), ba = random.Normal(m() * 2 * s.value_heads, 2);
    conv_weight = random.Normal(channels() * 4, 0.5);
    a_log = random.Uniform(s.value_heads, -4, 2.8), dt_bias = random.Normal(s.value_heads);
    state = random.Normal(num_slots() * state_floats(), 0.3);
    history = random.Normal(num_slots() * cuda::kConvRing * channels());
    for (int64_t i = 0; i < sequences(); ++i) {
      slots.push_back(static_cast<int32_t>(num_slots() - 2 - i));
      for (int64_t t = 0; t < s.tokens; ++t) positions.push_back(starts[Index(i)] + static_cast<int32_t>(t));
    }
  }

  int64_t sequences() const { return static_cast<int64_t>(starts.size()); }
  int64_t num_slots() const { return sequences() + 2; }
  int64_t m() const { return sequences() * shape.tokens; }
  int64_t channels() const { return (2 * shape.key_heads + shape.value_heads) * shape.head_dim; }
  int64_t width() const { return channels() + shape.value_heads * shape.head_dim; }
  int64_t state_floats() const { return shape.value_heads * shape.head_dim * shape.head_dim; }
  int64_t out_row() const { return shape.value_heads * shape.head_dim; }

  DeltaShape shape;
  std::vector<int32_t> starts, slots, positions;
  std::vector<float> qkvz, ba, conv_weight, a_log, dt_bias;
  std::vector<float> state;    // [slots][H, S, S]
  std::vector<float> history;  // [slots][kConvRing, C]
};

struct Result {
  std::vector<float> out, conv, state, history;
};

// Which sequences, and which of their tokens, go in one call.
struct Part {
  int64_t first_sequence, sequences, first_token, tokens;
};

class DeviceDelta {
 public:
  explicit DeviceDelta(const Problem& p)
      : p_(p),
        conv_weight_(p.conv_weight),
        a_log_(p.a_log),
        dt_bias_(p.dt_bias),
        state_(p.state),
        history_(p.history) {}

  // Rows of the part, in its order.
  std::pair<std::vector<float>, std::vector<float>> Run(const Part& part) {
    const int64_t m = part.sequences * part.tokens;
    const auto rows = [&]<typename T>(const std::vector<T>& x) {
      const int64_t n = static_cast<int64_t>(x.size()) / p_.m();
      std::vector<T> taken;
      for (int64_t s = 0; s < part.sequences; ++s) {
        const auto from = x.begin() + ((part.first_sequence + s) * p_.shape.tokens + part.first_token) * n;
        taken.insert(taken.end(), from, from + part.tokens * n);
      }
      return taken;
    };
    DeviceArray<float> qkvz(rows(p_.qkvz)), ba(rows(p_.ba)), conv(m * p_.channels()), out(m * p_.out_row());
    DeviceArray<int32_t> positions(rows(p_.positions)),
        slots(std::span<const int32_t>(p_.slots).subspan(Index(part.first_sequence), Index(part.sequences)));
    const cuda::DeltaStepArgs args = {.qkvz = qkvz.get(),
                                      .ba = ba.get(),
                                      .conv_weight = conv_weight_.get(),
                                      .a_log = a_log_.get(),
                                      .dt_bias = dt_bias_.get(),
                                      .conv = conv.get(),
                                      .state = state_.get(),
                                      .history = history_.get(),
                                      .out = out.get(),
                                      .slots = slots.get(),
                                      .positions = positions.get(),
                                      .state_stride = p_.state_floats(),
                                      .history_stride = cuda::kConvRing * p_.channels(),
                                      .sequences = part.sequences,
                                      .tokens = part.tokens,
                                      .key_heads = p_.shape.key_heads,
                                      .value_heads = p_.shape.value_heads,
                                      .head_dim = p_.shape.head_dim};
    EXPECT_TRUE(cuda_test::IsOk(cuda::LaunchDeltaStep(args, nullptr)));
    EXPECT_TRUE(cuda_test::Synchronized());
    EXPECT_TRUE(out.GuardsIntact() && conv.GuardsIntact() && state_.GuardsIntact() && history_.GuardsIntact());
    return {out.Download(), conv.Download()};
  }
  std::vector<float> state() const { return state_.Download(); }
  std::vector<float> history() const { return history_.Download(); }

 private:
  const Problem& p_;
  DeviceArray<float> conv_weight_, a_log_, dt_bias_, state_, history_;
};

Result RunWhole(const Problem& p) {
  DeviceDelta device(p);
  auto [out, conv] = device.Run({0, p.sequences(), 0, p.shape.tokens});
  return {out, conv, device.state(), device.history()};
}

// A slot's ring as the CPU keeps its history, the three inputs before `position`, oldest first.
std::vector<float> HistoryBefore(const Problem& p, const std::vector<float>& history, int32_t slot, int64_t position) {
  std::vector<float> rows;
  for (int64_t back = 3; back > 0; --back) {
    const int64_t row = slot * cuda::kConvRing + (position - back + cuda::kConvRing) % cuda::kConvRing;
    const auto from = history.begin() + row * p.channels();
    rows.insert(rows.end(), from, from + p.channels());
  }
  return rows;
}

void ExpectConvAgrees(const Problem& p, const Result& result) {
  const DeltaShape& s = p.shape;
  for (int64_t i = 0; i < p.sequences(); ++i) {
    const int32_t slot = p.slots[Index(i)], start = p.starts[Index(i)];
    const int64_t first = i * s.tokens;
    const auto run = [&](std::vector<float> qkvz, std::vector<float> weight, std::vector<float>* history) {
      std::vector<float> out(Index(s.tokens * p.channels()));
      const ConvSiluArgs args = {.qkvz = qkvz.data() + first * p.width(),
                                 .weight = weight.data(),
                                 .history = history->data(),
                                 .out = out.data(),
                                 .tokens = s.tokens,
                                 .key_heads = s.key_heads,
                                 .value_heads = s.value_heads,
                                 .head_dim = s.head_dim};
      ReferenceKernels().conv_silu(args, {0, p.channels()});
      return out;
    };
    std::vector<float> history = HistoryBefore(p, p.history, slot, start), magnitudes = history;
    const std::vector<float> expected = run(p.qkvz, p.conv_weight, &history);
    // The same with absolute values bounds the sum of |w||x|, as silu(x) >= x / 2 for x >= 0.
    std::vector<float> qkvz = p.qkvz, weight = p.conv_weight;
    for (auto* values : {&qkvz, &weight, &magnitudes}) {
      for (float& x : *values) x = std::abs(x);
    }
    const std::vector<float> mass = run(qkvz, weight, &magnitudes);
    std::vector<double> bounds;
    for (size_t j = 0; j < expected.size(); ++j) {
      bounds.push_back(1.1 * Gamma(5) * 2 * static_cast<double>(mass[j]) + Gamma(7) * std::abs(expected[j]) + 1e-36);
    }
    const auto conv = std::span(result.conv).subspan(Index(first * p.channels()), expected.size());
    EXPECT_TRUE(ElementsWithin(conv, expected, bounds)) << "sequence " << i;
    EXPECT_TRUE(BitEqual<float>(HistoryBefore(p, result.history, slot, start + s.tokens), history)) << "sequence " << i;
  }
}

// The recurrence on the GPU's own q, k and v. Its gates are the GPU's and those of the bound the reference's: what they
// differ by (decay: at most 24 u |g| e^g + 4 u <= 13 u, beta: 7 u) is less than the roundings that only the chunked
// form of the bound has, those of D and of the sums over j.
void ExpectRecurrenceAgrees(const Problem& p, const Result& result) {
  const DeltaShape& s = p.shape;
  for (int64_t i = 0; i < p.sequences(); ++i) {
    DeltaProblem one(s, Decay::kSlow, 1);
    const auto conv = result.conv.begin() + i * s.tokens * p.channels();
    one.qkv.assign(conv, conv + s.tokens * p.channels());
    const DeltaGatesArgs gates = {.ba = p.ba.data() + i * s.tokens * 2 * s.value_heads,
                                  .a_log = p.a_log.data(),
                                  .dt_bias = p.dt_bias.data(),
                                  .g = one.gates.data(),
                                  .beta = one.beta.data(),
                                  .key_heads = s.key_heads,
                                  .value_heads = s.value_heads};
    ReferenceKernels().delta_gates(gates, {0, s.tokens});
    const int64_t at = p.slots[Index(i)] * p.state_floats();
    one.state.assign(p.state.begin() + at, p.state.begin() + at + p.state_floats());
    std::vector<float> state = one.state, out(Index(one.out_floats()));
    RunDelta(ReferenceKernels(), DeltaForm::kRecurrent, one.Args(0, s.tokens, state.data(), out.data(), nullptr));
    const DeltaBounds bounds = DeltaErrorBounds(one);
    const auto actual_out = std::span(result.out).subspan(Index(i * one.out_floats()), out.size());
    const auto actual_state = std::span(result.state).subspan(Index(at), state.size());
    EXPECT_TRUE(ElementsWithin(actual_out, out, bounds.out)) << "sequence " << i;
    EXPECT_TRUE(ElementsWithin(actual_state, state, bounds.state)) << "sequence " << i;
    const double typical = 2 * std::sqrt(static_cast<double>(s.head_dim + kDeltaChunk + s.tokens)) * kUnit;
    EXPECT_TRUE(RelativeErrorWithin(actual_out, out, typical)) << "sequence " << i;
    EXPECT_TRUE(RelativeErrorWithin(actual_state, state, typical)) << "sequence " << i;
  }
}

// Slots that no sequence has keep every bit; in the others, rows of the ring that belong to earlier positions than the
// last four do not matter.
void ExpectOtherSlotsUntouched(const Problem& p, const Result& result) {
  for (int64_t slot = 0; slot < p.num_slots(); ++slot) {
    if (std::find(p.slots.begin(), p.slots.end(), slot) != p.slots.end()) continue;
    const auto same = [&](const std::vector<float>& a, const std::vector<float>& b, int64_t n) {
      return BitEqual<float>(std::span(a).subspan(Index(slot * n), Index(n)),
                             std::span(b).subspan(Index(slot * n), Index(n)));
    };
    EXPECT_TRUE(same(result.state, p.state, p.state_floats())) << "slot " << slot;
    EXPECT_TRUE(same(result.history, p.history, cuda::kConvRing * p.channels())) << "slot " << slot;
  }
}

void CheckPrefill(const DeltaShape& shape, const std::vector<int32_t>& starts, uint32_t seed) {
  SCOPED_TRACE(::testing::Message() << shape << " seed " << seed);
  const Problem p(shape, starts, seed);
  const Result result = RunWhole(p);
  ExpectConvAgrees(p, result);
  ExpectRecurrenceAgrees(p, result);
  ExpectOtherSlotsUntouched(p, result);
}

TEST_F(CudaDelta, PrefillAgreesWithTheReference) {
  uint32_t seed = 1700;
  for (const int64_t head_dim : {32, 64, 96, 128}) {
    for (const int64_t tokens : {2, 3, 4, 5, 16, 17, 33, 130}) {
      const int64_t key_heads = 1 + seed % 3, ratio = 1 + seed % 4;
      const int32_t start = static_cast<int32_t>(seed % 7);
      CheckPrefill({.tokens = tokens, .key_heads = key_heads, .value_heads = key_heads * ratio, .head_dim = head_dim},
                   {start}, seed);
      ++seed;
    }
  }
  CheckPrefill({.tokens = 66, .key_heads = 16, .value_heads = 32, .head_dim = 128}, {1000}, ++seed);
  CheckPrefill({.tokens = 40, .key_heads = 2, .value_heads = 4, .head_dim = 128}, {0, 5, 90}, ++seed);
}

TEST_F(CudaDelta, DecodeGivesPrefillsBits) {
  for (const DeltaShape& shape : {DeltaShape{9, 16, 32, 128}, DeltaShape{11, 2, 4, 128}, DeltaShape{10, 3, 3, 32},
                                  DeltaShape{6, 1, 5, 64}, DeltaShape{7, 2, 6, 96}}) {
    SCOPED_TRACE(::testing::Message() << shape);
    const Problem p(shape, {3, 0, 77}, 1750);
    const Result whole = RunWhole(p);
    // One token of all sequences at a time, in batches of one sequence or of all; and calls cut at odd places.
    for (const int64_t batch : {int64_t{1}, p.sequences()}) {
      DeviceDelta device(p);
      for (int64_t t = 0; t < shape.tokens; ++t) {
        for (int64_t first = 0; first < p.sequences(); first += batch) {
          const auto [out, conv] = device.Run({first, batch, t, 1});
          for (int64_t s = 0; s < batch; ++s) {
            const size_t row = Index(((first + s) * shape.tokens + t) * p.out_row());
            EXPECT_TRUE(BitEqual<float>(std::span(out).subspan(Index(s * p.out_row()), Index(p.out_row())),
                                        std::span(whole.out).subspan(row, Index(p.out_row()))))
                << "token " << t << " sequence " << first + s;
          }
        }
      }
      const Result decoded = {.state = device.state(), .history = device.history()};
      EXPECT_TRUE(BitEqual<float>(decoded.state, whole.state)) << "batches of " << batch;
      ExpectOtherSlotsUntouched(p, decoded);
      for (int64_t i = 0; i < p.sequences(); ++i) {
        const int64_t end = p.starts[Index(i)] + shape.tokens;
        EXPECT_TRUE(BitEqual<float>(HistoryBefore(p, decoded.history, p.slots[Index(i)], end),
                                    HistoryBefore(p, whole.history, p.slots[Index(i)], end)));
      }
    }
    for (const int64_t cut : {int64_t{1}, int64_t{2}, int64_t{3}, shape.tokens - 1}) {
      DeviceDelta device(p);
      device.Run({0, p.sequences(), 0, cut});
      device.Run({0, p.sequences(), cut, shape.tokens - cut});
      EXPECT_TRUE(BitEqual<float>(device.state(), whole.state)) << "cut at " << cut;
    }
  }
}

TEST_F(CudaDelta, DecodeFromReferenceConvolutionAndGates) {
  // One decode step of eight sequences at the real shape against the whole chain of references: what the convolution
  // rounds is carried on, so that only the typical error is asked for (docs/numerics.md).
  std::vector<int32_t> starts;
  for (int32_t i = 0; i < 8; ++i) starts.push_back(i * 37);
  const Problem p({.tokens = 1, .key_heads = 16, .value_heads = 32, .head_dim = 128}, starts, 1780);
  DeviceDelta device(p);
  const std::vector<float> out = device.Run({0, 8, 0, 1}).first;
  const std::vector<float> states = device.state();
  for (int64_t i = 0; i < 8; ++i) {
    DeltaProblem one(p.shape, Decay::kSlow, 1);
    std::vector<float> history = HistoryBefore(p, p.history, p.slots[Index(i)], p.starts[Index(i)]);
    const ConvSiluArgs conv = {.qkvz = p.qkvz.data() + i * p.width(),
                               .weight = p.conv_weight.data(),
                               .history = history.data(),
                               .out = one.qkv.data(),
                               .tokens = 1,
                               .key_heads = 16,
                               .value_heads = 32,
                               .head_dim = 128};
    ReferenceKernels().conv_silu(conv, {0, p.channels()});
    const DeltaGatesArgs gates = {.ba = p.ba.data() + i * 64,
                                  .a_log = p.a_log.data(),
                                  .dt_bias = p.dt_bias.data(),
                                  .g = one.gates.data(),
                                  .beta = one.beta.data(),
                                  .key_heads = 16,
                                  .value_heads = 32};
    ReferenceKernels().delta_gates(gates, {0, 1});
    const int64_t at = p.slots[Index(i)] * p.state_floats();
    one.state.assign(p.state.begin() + at, p.state.begin() + at + p.state_floats());
    std::vector<float> state = one.state, expected(Index(one.out_floats()));
    RunDelta(ReferenceKernels(), DeltaForm::kRecurrent, one.Args(0, 1, state.data(), expected.data(), nullptr));
    const double typical = 2 * std::sqrt(128.0 + kDeltaChunk + 1) * kUnit;
    EXPECT_TRUE(
        RelativeErrorWithin(std::span(out).subspan(Index(i * p.out_row()), expected.size()), expected, typical));
    EXPECT_TRUE(RelativeErrorWithin(std::span(states).subspan(Index(at), state.size()), state, typical));
  }
}

TEST_F(CudaDelta, TwoRunsAreBitEqual) {
  for (const int64_t tokens : {1, 20}) {
    const Problem p({.tokens = tokens, .key_heads = 16, .value_heads = 32, .head_dim = 128}, {4, 9}, 1790);
    const Result a = RunWhole(p), b = RunWhole(p);
    EXPECT_TRUE(BitEqual<float>(a.out, b.out));
    EXPECT_TRUE(BitEqual<float>(a.state, b.state));
    EXPECT_TRUE(BitEqual<float>(a.history, b.history));
  }
}

TEST_F(CudaDelta, DecaysOfHundredsForgetEverything) {
  // g from -1e-7 to below -1000: exp(g) is zero for some heads, and what was there does not come back as NaN.
  Problem p({.tokens = 12, .key_heads = 2, .value_heads = 4, .head_dim = 64}, {0}, 1795);
  p.a_log = {-12, 0, 5, 7}, p.dt_bias = {-3, 0, 3, 4};
  const Result result = RunWhole(p);
  ExpectConvAgrees(p, result);
  ExpectRecurrenceAgrees(p, result);
}

TEST(CudaDeltaChecks, RefusesShapesThatNoKernelTakes) {
  cuda::DeltaStepArgs args = {.sequences = 1, .tokens = 1, .key_heads = 2, .value_heads = 4, .head_dim = 48};
  EXPECT_EQ(cuda::LaunchDeltaStep(args, nullptr).code(), StatusCode::kUnsupported);
  args.head_dim = 64, args.value_heads = 3;
  EXPECT_EQ(cuda::LaunchDeltaStep(args, nullptr).code(), StatusCode::kInvalidArgument);
  args.value_heads = 4, args.tokens = 2;
  EXPECT_EQ(cuda::LaunchDeltaStep(args, nullptr).code(), StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace qnext
