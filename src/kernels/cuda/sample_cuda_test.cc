// The sampler on the device against a plain reading of engine/sampler.h; the engine's tests compare it with the host's
// sampler token by token.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <random>

#include "kernels/cpu/matmul_problems.h"
#include "kernels/cuda/cuda_test_util.h"
#include "kernels/cuda/sampling.h"

namespace qnext::cuda {
namespace {

using cuda_test::DeviceArray;
using cuda_test::IsOk;
using cuda_test::Synchronized;

constexpr int64_t kVocabularies[] = {1, 63, 64, 65, 512, 4097, 151669};
constexpr float kInfinity = std::numeric_limits<float>::infinity();

size_t Index(int64_t i) { return static_cast<size_t>(i); }

SamplingRow Greedy() {
  return {.seed = 1,
          .stream = 0,
          .drawn = 0,
          .temperature = 0,
          .top_p = 1,
          .min_p = 0,
          .presence_penalty = 0,
          .frequency_penalty = 0,
          .repetition_penalty = 1,
          .top_k = 0,
          .penalizes = 0,
          .biased = 0};
}

class CudaSample : public cuda_test::CudaTest {
 protected:
  // Draws once for each of `rows` from its own logits [m, stride].
  std::vector<int32_t> Draw(std::vector<SamplingRow>& rows, const std::vector<float>& logits, int64_t stride,
                            int64_t vocab) {
    const int64_t m = static_cast<int64_t>(rows.size());
    DeviceArray<SamplingRow> device_rows(rows);
    const DeviceArray<float> device_logits(logits);
    DeviceArray<float> scratch(SampleArgs::ScratchBytes(m) / 4);
    DeviceArray<int32_t> tokens(m);
    EXPECT_TRUE(IsOk(LaunchSample({.logits = device_logits.get(),
                                   .slots = nullptr,
                                   .rows = device_rows.get(),
                                   .answer_counts = nullptr,
                                   .seen = nullptr,
                                   .bias = nullptr,
                                   .scratch = scratch.get(),
                                   .tokens = tokens.get(),
                                   .host_tokens = nullptr,
                                   .m = m,
                                   .logits_stride = stride,
                                   .vocab_end = vocab},
                                  nullptr)));
    EXPECT_TRUE(Synchronized());
    EXPECT_TRUE(scratch.GuardsIntact() && tokens.GuardsIntact() && device_rows.GuardsIntact());
    rows = device_rows.Download();
    return tokens.Download();
  }
};

TEST_F(CudaSample, GreedyTakesTheHighestAndTheLowerIdOnTies) {
  for (const int64_t vocab : kVocabularies) {
    const int64_t stride = vocab + 7;
    std::vector<float> logits = RandomActivations(3 * stride, static_cast<uint64_t>(vocab));
    for (int64_t row = 0; row < 3; ++row) {
      for (int64_t i = vocab; i < stride; ++i) logits[Index(row * stride + i)] = 1000;  // padding is never chosen
    }
    for (const int64_t id : {vocab / 3, vocab / 2, vocab - 1}) logits[Index(stride + id)] = 50;  // ties
    for (int64_t i = 0; i < vocab; ++i)
      logits[Index(2 * stride + i)] = i == vocab - 1 ? -3 : -kInfinity;  // one is possible
    std::vector<SamplingRow> rows(3, Greedy());
    const std::vector<int32_t> tokens = Draw(rows, logits, stride, vocab);
    EXPECT_EQ(tokens[0], std::max_element(logits.begin(), logits.begin() + vocab) - logits.begin()) << vocab;
    EXPECT_EQ(tokens[1], vocab / 3) << vocab;
    EXPECT_EQ(tokens[2], vocab - 1) << vocab;
    for (const SamplingRow& row : rows) EXPECT_EQ(row.drawn, 1u);
  }
}

TEST_F(CudaSample, BrokenLogitsGiveNoToken) {
  for (const float broken : {std::nanf(""), kInfinity}) {
    std::vector<float> logits(2 * 4097, 0.5f);
    logits[4096] = broken;
    std::vector<SamplingRow> rows(2, Greedy());
    EXPECT_EQ(Draw(rows, logits, 4097, 4097), (std::vector<int32_t>{-1, 0}));
    EXPECT_EQ(rows[0].drawn, 0u);
  }
  std::vector<SamplingRow> rows(1, Greedy());
  EXPECT_EQ(Draw(rows, std::vector<float>(100, -kInfinity), 100, 100), std::vector<int32_t>{-1})
      << "nothing to choose from";
}

TEST_F(CudaSample, PenaltiesAndBiasMoveTheChoice) {
  constexpr int64_t kVocab = 300;
  std::vector<float> logits(2 * kVocab, 0.0f);
  logits[10] = 4, logits[20] = 3, logits[30] = 2;
  std::copy_n(logits.begin(), kVocab, logits.begin() + kVocab);
  std::vector<SamplingRow> rows(2, Greedy());
  rows[0].penalizes = 1, rows[0].presence_penalty = 1.5, rows[0].frequency_penalty = 0.25,
  rows[0].repetition_penalty = 1.25;
  rows[1].biased = 1;
  DeviceArray<SamplingRow> device_rows(rows);
  DeviceArray<uint32_t> counts(std::vector<uint32_t>(2 * kVocab, 0));
  DeviceArray<uint8_t> seen(std::vector<uint8_t>(2 * kVocab, 0));
  std::vector<float> bias(2 * kVocab, 0.0f);
  bias[Index(kVocab + 10)] = -100, bias[Index(kVocab + 250)] = 3.5f;
  const DeviceArray<float> device_bias(bias), device_logits(logits);
  DeviceArray<float> scratch(SampleArgs::ScratchBytes(2) / 4);
  DeviceArray<int32_t> tokens(2);
  std::vector<int32_t> penalized, biased;
  for (int step = 0; step < 6; ++step) {
    ASSERT_TRUE(IsOk(LaunchSample({.logits = device_logits.get(),
                                   .slots = nullptr,
                                   .rows = device_rows.get(),
                                   .answer_counts = counts.get(),
                                   .seen = seen.get(),
                                   .bias = device_bias.get(),
                                   .scratch = scratch.get(),
                                   .tokens = tokens.get(),
                                   .host_tokens = nullptr,
                                   .m = 2,
                                   .logits_stride = kVocab,
                                   .vocab_end = kVocab},
                                  nullptr)));
    ASSERT_TRUE(Synchronized());
    penalized.push_back(tokens.Download()[0]);
    biased.push_back(tokens.Download()[1]);
  }
  // Once seen: 4 / 1.25 - 1.75 = 1.45, 3 / 1.25 - 1.75 = 0.65, 2 / 1.25 - 1.75 < 0; twice: 1.2 and 0.4; thrice: 0.95.
  EXPECT_EQ(penalized, (std::vector<int32_t>{10, 20, 30, 10, 10, 10}));
  EXPECT_EQ(biased, std::vector<int32_t>(6, 250));
  EXPECT_EQ(counts.Download()[10], 4u);
  EXPECT_EQ(seen.Download()[20], 1);
}

// 4 000 draws: only what the limits leave, in the proportions of the softmax within five standard deviations.
TEST_F(CudaSample, DrawsFollowTheDistributionThatTheLimitsLeave) {
  struct Limits {
    double temperature;
    int32_t top_k;
    double top_p, min_p;
  };
  constexpr int64_t kVocab = 4097, kDraws = 4000;
  const std::vector<float> logits = RandomActivations(kVocab, 9);
  std::vector<int32_t> order(kVocab);
  for (int64_t i = 0; i < kVocab; ++i) order[Index(i)] = static_cast<int32_t>(i);
  std::sort(order.begin(), order.end(), [&](int32_t a, int32_t b) { return logits[Index(a)] > logits[Index(b)]; });
  for (const Limits& limits :
       {Limits{1, 64, 1, 0}, {0.7, 20, 0.8, 0}, {2, 10, 1, 0.6}, {0.3, 1, 1, 0}, {1, 40, 0.5, 0.2}}) {
    std::vector<double> weights;
    double total = 0;
    for (int32_t i = 0; i < limits.top_k; ++i) {
      weights.push_back(std::exp(
          (static_cast<double>(logits[Index(order[Index(i)])]) - static_cast<double>(logits[Index(order[0])])) /
          limits.temperature));
      total += weights.back();
    }
    double sum = 0;
    size_t kept = 0;
    while (kept < weights.size() && sum < limits.top_p * total) sum += weights[kept++];
    if (limits.top_p >= 1) kept = weights.size();
    while (kept > 1 && weights[kept - 1] < limits.min_p) --kept;
    weights.resize(kept);
    total = 0;
    for (const double w : weights) total += w;

    std::map<int32_t, int64_t> drawn;
    std::vector<float> many;
    for (int i = 0; i < 8; ++i) many.insert(many.end(), logits.begin(), logits.end());
    std::vector<SamplingRow> rows(8, Greedy());
    for (size_t i = 0; i < rows.size(); ++i) {
      rows[i].seed = 77, rows[i].stream = i, rows[i].temperature = limits.temperature;
      rows[i].top_k = limits.top_k, rows[i].top_p = limits.top_p, rows[i].min_p = limits.min_p;
    }
    std::vector<int32_t> first;
    for (int64_t i = 0; i < kDraws / 8; ++i) {
      const std::vector<int32_t> tokens = Draw(rows, many, kVocab, kVocab);
      if (first.empty()) first = tokens;
      for (const int32_t token : tokens) ++drawn[token];
    }
    for (size_t i = 0; i < kept; ++i) {
      const double p = weights[i] / total, count = static_cast<double>(drawn[order[i]]);
      EXPECT_NEAR(count, p * kDraws, 5 * std::sqrt(kDraws * p * (1 - p)) + 1)
          << "rank " << i << ", top_k " << limits.top_k;
      drawn.erase(order[i]);
    }
    EXPECT_TRUE(drawn.empty()) << "token " << drawn.begin()->first << " should not be possible";
    for (SamplingRow& row : rows) row.drawn = 0;
    EXPECT_EQ(Draw(rows, many, kVocab, kVocab), first) << "the same numbers give the same tokens";
  }
}

// Wide draws against a plain reading: every token that is left keeps its share, in groups of 64 ranks, within five
// standard deviations, and no other token is drawn. Rows of a launch may be of both kinds.
TEST_F(CudaSample, DrawsAmongManyTokensFollowTheDistributionThatTheLimitsLeave) {
  struct Limits {
    double temperature;
    int32_t top_k;
    double top_p, min_p;
  };
  constexpr int64_t kVocab = 4097, kDraws = 4000, kRows = 8;
  constexpr size_t kGroup = 64;
  const std::vector<float> logits = RandomActivations(kVocab, 10);
  std::vector<int32_t> order(kVocab);
  for (int64_t i = 0; i < kVocab; ++i) order[Index(i)] = static_cast<int32_t>(i);
  std::sort(order.begin(), order.end(), [&](int32_t a, int32_t b) { return logits[Index(a)] > logits[Index(b)]; });
  std::vector<float> many;
  for (int64_t i = 0; i < kRows; ++i) many.insert(many.end(), logits.begin(), logits.end());
  for (const Limits& limits :
       {Limits{1, 0, 1, 0}, {0.5, 0, 0.7, 0}, {1, 0, 1, 0.4}, {1, 300, 0.9, 0}, {2, 900, 1, 0}}) {
    std::vector<double> weights;
    double total = 0;
    for (int64_t i = 0; i < (limits.top_k > 0 ? limits.top_k : kVocab); ++i) {
      const double distance =
          static_cast<double>(logits[Index(order[0])]) - static_cast<double>(logits[Index(order[Index(i)])]);
      weights.push_back(std::exp(-distance / limits.temperature));
      total += weights.back();
    }
    size_t kept = 0;
    for (double sum = 0; kept < weights.size() && (limits.top_p >= 1 || sum < limits.top_p * total);)
      sum += weights[kept++];
    while (kept > 1 && weights[kept - 1] < limits.min_p) --kept;
    weights.resize(kept);
    total = 0;
    for (const double w : weights) total += w;

    std::vector<SamplingRow> rows(kRows, Greedy());
    for (size_t i = 0; i + 1 < rows.size(); ++i) {  // the last one stays greedy
      rows[i].seed = 78, rows[i].stream = i, rows[i].temperature = limits.temperature;
      rows[i].top_k = limits.top_k, rows[i].top_p = limits.top_p, rows[i].min_p = limits.min_p;
    }
    std::map<int32_t, int64_t> drawn;
    constexpr int64_t kLaunches = kDraws / (kRows - 1);
    for (int64_t i = 0; i < kLaunches; ++i) {
      const std::vector<int32_t> tokens = Draw(rows, many, kVocab, kVocab);
      EXPECT_EQ(tokens.back(), order[0]);
      for (size_t r = 0; r + 1 < tokens.size(); ++r) ++drawn[tokens[r]];
    }
    constexpr double kAll = kLaunches * (kRows - 1);
    for (size_t begin = 0; begin < kept; begin += kGroup) {
      double p = 0, count = 0;
      for (size_t i = begin; i < std::min(kept, begin + kGroup); ++i) {
        p += weights[i] / total;
        count += static_cast<double>(drawn[order[i]]);
        drawn.erase(order[i]);
      }
      EXPECT_NEAR(count, p * kAll, 5 * std::sqrt(kAll * p * (1 - p)) + 2)
          << "rank " << begin << ", top_k " << limits.top_k;
    }
    EXPECT_LE(drawn.size(), 1u) << "only the token at the border of a cut may be one more";
    for (const auto& [token, count] : drawn) EXPECT_EQ(token, kept < order.size() ? order[kept] : -1);
  }
}

}  // namespace
}  // namespace qnext::cuda
