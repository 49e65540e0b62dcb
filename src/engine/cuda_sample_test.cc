// The choice of the next token on the GPU against the Sampler, from the same logits and the same random numbers.
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <limits>
#include <random>

#include "engine/sampler.h"
#include "kernels/cuda/cuda_test_util.h"
#include "kernels/cuda/sampling.h"

namespace qnext {
namespace {

using cuda_test::DeviceArray;

class CudaSample : public cuda_test::CudaTest {};

struct Case {
  SamplingParams params;
  int64_t vocab, padded;
};

cuda::SamplingRow RowOf(const SamplingParams& p, uint64_t stream) {
  const bool penalizes = p.presence_penalty != 0 || p.frequency_penalty != 0 || p.repetition_penalty != 1;
  return {.seed = 77,
          .stream = stream,
          .drawn = 0,
          .temperature = p.temperature,
          .top_p = p.top_p,
          .min_p = p.min_p,
          .presence_penalty = p.presence_penalty,
          .frequency_penalty = p.frequency_penalty,
          .repetition_penalty = p.repetition_penalty,
          .top_k = static_cast<int32_t>(p.top_k),
          .penalizes = penalizes ? 1 : 0,
          .biased = 0};
}

std::vector<float> SomeLogits(int64_t rows, int64_t stride, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, 2);
  std::vector<float> logits(static_cast<size_t>(rows * stride));
  // Steps of 1/64: ties among so many tokens are common.
  for (float& x : logits) x = std::round(normal(random) * 64) / 64;
  return logits;
}

// The tokens that `launches` steps of eight rows choose, [launches, 8].
std::vector<int32_t> OnDevice(const Case& c, const std::vector<float>& logits, int64_t launches) {
  constexpr int64_t kRows = 8;
  std::vector<cuda::SamplingRow> rows;
  for (uint64_t r = 0; r < kRows; ++r) rows.push_back(RowOf(c.params, r));
  DeviceArray<cuda::SamplingRow> d_rows(rows);
  DeviceArray<float> d_logits(logits), scratch(cuda::SampleArgs::ScratchBytes(kRows) / 4);
  DeviceArray<uint32_t> counts(std::vector<uint32_t>(static_cast<size_t>(kRows * c.vocab)));
  DeviceArray<uint8_t> seen(std::vector<uint8_t>(static_cast<size_t>(kRows * c.vocab)));
  DeviceArray<int32_t> tokens(kRows), host_tokens(kRows);
  std::vector<int32_t> all;
  for (int64_t i = 0; i < launches; ++i) {
    EXPECT_TRUE(cuda_test::IsOk(cuda::LaunchSample({.logits = d_logits.get(),
                                                    .slots = nullptr,
                                                    .rows = d_rows.get(),
                                                    .answer_counts = counts.get(),
                                                    .seen = seen.get(),
                                                    .bias = nullptr,
                                                    .scratch = scratch.get(),
                                                    .tokens = tokens.get(),
                                                    .host_tokens = host_tokens.get(),
                                                    .m = kRows,
                                                    .logits_stride = c.padded,
                                                    .vocab_end = c.vocab},
                                                   nullptr)));
    EXPECT_TRUE(cuda_test::Synchronized());
    const std::vector<int32_t> chosen = tokens.Download();
    EXPECT_EQ(host_tokens.Download(), chosen);
    all.insert(all.end(), chosen.begin(), chosen.end());
  }
  EXPECT_TRUE(d_rows.GuardsIntact() && scratch.GuardsIntact() && counts.GuardsIntact() && seen.GuardsIntact() &&
              tokens.GuardsIntact());
  return all;
}

// How many of the device's choices are not the Sampler's; a sampler a row. Compare without penalties where > 0 may be.
int64_t Differences(const Case& c, int64_t launches, uint32_t seed) {
  const std::vector<float> logits = SomeLogits(8, c.padded, seed);
  const std::vector<int32_t> actual = OnDevice(c, logits, launches);
  EXPECT_EQ(OnDevice(c, logits, launches), actual) << "a second run";
  std::vector<Sampler> samplers;
  for (uint64_t r = 0; r < 8; ++r) samplers.emplace_back(c.params, 77, r, static_cast<int32_t>(c.vocab));
  int64_t different = 0;
  for (size_t i = 0; i < actual.size(); ++i) {
    const size_t row = i % 8;
    const Result<SampledToken> expected = samplers[row].Sample(
        std::span(logits).subspan(row * static_cast<size_t>(c.padded), static_cast<size_t>(c.padded)));
    EXPECT_TRUE(expected.ok()) << expected.status().message();
    if (expected.ok() && expected->id != actual[i]) ++different;
  }
  return different;
}

SamplingParams Params(double temperature, int64_t top_k, double top_p = 1, double min_p = 0) {
  SamplingParams p;
  p.temperature = temperature, p.top_k = top_k, p.top_p = top_p, p.min_p = min_p;
  return p;
}

TEST_F(CudaSample, GreedyTakesTheLowerIndexOnTies) {
  for (const auto& [vocab, padded] :
       {std::pair<int64_t, int64_t>{151936, 151936}, {151669, 151936}, {1, 1}, {65, 70}}) {
    EXPECT_EQ(Differences({Params(0, 0), vocab, padded}, 2, 2700), 0) << vocab;
  }
  const std::vector<float> equal(static_cast<size_t>(8 * 151936), 1.5f);
  for (const int32_t token : OnDevice({Params(0, 0), 151936, 151936}, equal, 1)) EXPECT_EQ(token, 0);
}

TEST_F(CudaSample, DrawsWhatTheSamplerDrawsFromTheSameNumbers) {
  // Both sum the same weights in float64; expf of the GPU is within 2 ulp and the host's within 1, so a border between
  // two tokens lies within 6 u of the other's. 64 borders of 12 u, and that of top_p or min_p once: at most 5e-5 a
  // draw, so one of the 512 draws may differ (expected 0.03) and two may not (5e-4).
  for (const SamplingParams& p : {Params(1, 64), Params(0.7, 20, 0.8), Params(1.5, 64, 0.95, 0.05), Params(0.01, 5),
                                  Params(2, 1), Params(1, 40, 0)}) {
    EXPECT_LE(Differences({p, 151936, 151936}, 64, 2710), 1) << p.temperature << " " << p.top_k;
    EXPECT_LE(Differences({p, 1000, 1003}, 64, 2720), 1) << p.temperature << " " << p.top_k;
  }
}

TEST_F(CudaSample, DrawsAmongManyTokensWhatTheSamplerDraws) {
  // Weights differ by a few units of 2^-24 of each, with changing sign, and by 2^-43 from being integers on the device.
  // Up to a border halfway through n tokens that adds up to some 1e-7 / sqrt(n) of the sum, or, were expf biased by a
  // tenth of a unit, to 1e-8; times 150 000 borders: one draw in 700 may differ. Of 128, two are allowed.
  for (const SamplingParams& p :
       {Params(1, 0), Params(1, -1, 0.9), Params(0.7, 0, 0.8, 0.001), Params(1.5, 0, 1, 0.05), Params(1, 0, 0),
        Params(2, 65), Params(2, 512, 0.9), Params(2, 513, 0.9), Params(2, 5000), Params(2, 5000, 0.95, 0.01),
        Params(0.05, 0, 0.99), Params(1e-300, 0), Params(1, 200000, 0.5)}) {
    for (const auto& [vocab, padded] : {std::pair<int64_t, int64_t>{151669, 151936}, {1000, 1003}}) {
      EXPECT_LE(Differences({p, vocab, padded}, 16, 2760), 2) << p.temperature << " " << p.top_k << " " << p.top_p;
    }
  }
  // No more tokens than are found one after another, and all of them: by id, as the Sampler does it.
  for (const int64_t vocab : {1, 2, 31, 33, 64}) {
    EXPECT_EQ(Differences({Params(1.5, vocab), vocab, vocab + 5}, 64, 2770), 0) << vocab;
    EXPECT_EQ(Differences({Params(1.5, 0, 0.9), vocab, vocab + 5}, 64, 2780), 0) << vocab;
  }
}

// Weights of 1 and 0 have no rounding: each draw must be the Sampler's.
TEST_F(CudaSample, DrawsAmongEqualLogitsExactly) {
  for (const int64_t vocab : {5, 1024, 1025, 151669}) {
    std::vector<float> logits(static_cast<size_t>(8 * vocab));
    std::mt19937 random(2790);
    for (float& x : logits) x = std::array{2.5f, 2.5f, -1000.0f, -std::numeric_limits<float>::infinity()}[random() % 4];
    for (size_t row = 0; row < 8; ++row) logits[(row + 1) * static_cast<size_t>(vocab) - 1] = 2.5f;
    for (const SamplingParams& p : {Params(1, 0), Params(1, 0, 0.375), Params(1, 100), Params(1, 1000, 0.75)}) {
      const Case c = {p, vocab, vocab};
      const std::vector<int32_t> actual = OnDevice(c, logits, 16);
      for (size_t i = 0; i < 8; ++i) {
        Sampler sampler(p, 77, i, static_cast<int32_t>(vocab));
        for (size_t step = 0; step < 16; ++step) {
          const size_t n = static_cast<size_t>(vocab);
          const Result<SampledToken> expected = sampler.Sample(std::span(logits).subspan(i * n, n));
          ASSERT_TRUE(expected.ok()) << expected.status().message();
          EXPECT_EQ(actual[step * 8 + i], expected->id) << vocab << " tokens, top_k " << p.top_k << ", row " << i;
        }
      }
    }
  }
}

TEST_F(CudaSample, PenaltiesCountWhatWasChosen) {
  SamplingParams p = Params(0, 0);
  p.presence_penalty = 0.5, p.frequency_penalty = 0.25, p.repetition_penalty = 1.1;
  EXPECT_EQ(Differences({p, 151936, 151936}, 12, 2740), 0);
  // Among all tokens: a token that was drawn otherwise changes the row's counts, and so may change the draws behind it.
  p.temperature = 0.5, p.top_p = 0.9;
  EXPECT_LE(Differences({p, 151936, 151936}, 12, 2745), 3);
}

TEST_F(CudaSample, SaysWhenLogitsAreBroken) {
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN(), kInfinity = std::numeric_limits<float>::infinity();
  std::vector<float> logits = SomeLogits(8, 500, 2750);
  logits[1 * 500 + 499] = kNan;
  logits[2 * 500 + 3] = kInfinity;
  for (size_t i = 0; i < 500; ++i) logits[3 * 500 + i] = -kInfinity;
  logits[4 * 500 + 100] = -kInfinity;  // excluded, nothing worse
  for (const SamplingParams& p : {Params(0, 0), Params(1, 20), Params(1, 0), Params(1, 100, 0.9)}) {
    const std::vector<int32_t> tokens = OnDevice({p, 500, 500}, logits, 1);
    for (size_t row = 0; row < 8; ++row) {
      EXPECT_EQ(tokens[row] < 0, row >= 1 && row <= 3) << row << ", top_k " << p.top_k;
    }
  }
}

}  // namespace
}  // namespace qnext
