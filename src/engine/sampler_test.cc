#include "engine/sampler.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cmath>
#include <limits>
#include <random>

namespace qnext {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

SamplingParams Greedy() {
  SamplingParams params;
  params.temperature = 0;
  return params;
}

Sampler MakeSampler(const SamplingParams& params, int32_t vocab_end, uint64_t seed = 1, uint64_t stream = 0) {
  EXPECT_TRUE(ValidateSampling(params, vocab_end).ok());
  return {params, seed, stream, vocab_end};
}

std::vector<float> LogsOf(const std::vector<double>& probabilities) {
  std::vector<float> logits;
  for (double p : probabilities) logits.push_back(static_cast<float>(std::log(p)) + 1.5f);
  return logits;
}

// How often each token comes in `draws` draws, as frequencies.
std::vector<double> Frequencies(const SamplingParams& params, const std::vector<float>& logits, int draws) {
  Sampler sampler = MakeSampler(params, static_cast<int32_t>(logits.size()), /*seed=*/12345);
  std::vector<double> frequencies(logits.size());
  for (int i = 0; i < draws; ++i) frequencies[static_cast<size_t>(sampler.Sample(logits)->id)] += 1.0 / draws;
  return frequencies;
}

// Pearson's statistic of `draws` draws against probabilities; a token of probability 0 must never come.
double ChiSquare(const std::vector<double>& frequencies, const std::vector<double>& expected, int draws) {
  double sum = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    if (expected[i] == 0) {
      EXPECT_EQ(frequencies[i], 0) << "token " << i;
      continue;
    }
    sum += draws * (frequencies[i] - expected[i]) * (frequencies[i] - expected[i]) / expected[i];
  }
  return sum;
}

constexpr int kDraws = 50000;

TEST(SamplerTest, TakesTheModelsDistribution) {
  const std::vector<double> p = {0.1, 0.4, 0.05, 0.25, 0.2};
  EXPECT_LT(ChiSquare(Frequencies({}, LogsOf(p), kDraws), p, kDraws), 18.5);  // 4 degrees of freedom, p = 0.001
}

TEST(SamplerTest, TemperatureSharpensAndFlattens) {
  const std::vector<double> p = {0.2, 0.8};
  SamplingParams params;
  params.temperature = 0.5;  // squares: 0.04 : 0.64
  EXPECT_LT(ChiSquare(Frequencies(params, LogsOf(p), kDraws), {0.04 / 0.68, 0.64 / 0.68}, kDraws), 10.8);
  params.temperature = 2;  // roots
  const double a = std::sqrt(0.2), b = std::sqrt(0.8);
  EXPECT_LT(ChiSquare(Frequencies(params, LogsOf(p), kDraws), {a / (a + b), b / (a + b)}, kDraws), 10.8);
}

TEST(SamplerTest, TopKRenormalises) {
  SamplingParams params;
  params.top_k = 2;
  const std::vector<double> p = {0.1, 0.4, 0.05, 0.25, 0.2};
  EXPECT_LT(ChiSquare(Frequencies(params, LogsOf(p), kDraws), {0, 0.4 / 0.65, 0, 0.25 / 0.65, 0}, kDraws), 10.8);
}

TEST(SamplerTest, TopPCountsWhatTopKLeft) {
  SamplingParams params;
  const std::vector<double> p = {0.1, 0.4, 0.05, 0.25, 0.2};
  params.top_p = 0.62;  // 0.4 + 0.25 reach it
  EXPECT_LT(ChiSquare(Frequencies(params, LogsOf(p), kDraws), {0, 0.4 / 0.65, 0, 0.25 / 0.65, 0}, kDraws), 10.8);
  params.top_k = 2;  // of 0.65, the first alone has 0.615: still both
  EXPECT_LT(ChiSquare(Frequencies(params, LogsOf(p), kDraws), {0, 0.4 / 0.65, 0, 0.25 / 0.65, 0}, kDraws), 10.8);
  params.top_p = 0.6;  // now the first alone suffices, as it would not of the whole
  EXPECT_NEAR(Frequencies(params, LogsOf(p), 1000)[1], 1, 1e-9);
}

TEST(SamplerTest, MinPComesAfterTemperature) {
  SamplingParams params;
  params.min_p = 0.3;
  const std::vector<double> p = {0.1, 0.5, 0.4};
  EXPECT_LT(ChiSquare(Frequencies(params, LogsOf(p), kDraws), {0, 0.5 / 0.9, 0.4 / 0.9}, kDraws), 10.8);
  params.temperature = 2;  // sqrt(0.1 / 0.5) = 0.447 passes now
  const double total = std::sqrt(0.1) + std::sqrt(0.5) + std::sqrt(0.4);
  EXPECT_LT(ChiSquare(Frequencies(params, LogsOf(p), kDraws),
                      {std::sqrt(0.1) / total, std::sqrt(0.5) / total, std::sqrt(0.4) / total}, kDraws),
            13.8);
}

TEST(SamplerTest, TopPZeroIsTheArgMax) {
  SamplingParams params;
  params.top_p = 0;
  EXPECT_NEAR(Frequencies(params, LogsOf({0.3, 0.33, 0.37}), 500)[2], 1, 1e-9);
}

TEST(SamplerTest, GreedyTakesTheLowestIdOfTies) {
  Sampler sampler = MakeSampler(Greedy(), 5);
  EXPECT_EQ(sampler.Sample(std::vector<float>{0, 7, 3, 7, 7})->id, 1);
}

TEST(SamplerTest, PaddingIsNeverChosen) {
  const std::vector<float> logits = {0, 1, 50, 60};
  Sampler greedy = MakeSampler(Greedy(), 2);
  EXPECT_EQ(greedy.Sample(logits)->id, 1);
  Sampler sampler = MakeSampler({}, 2);
  for (int i = 0; i < 200; ++i) EXPECT_LT(sampler.Sample(logits)->id, 2);
  // Not even looked at.
  EXPECT_EQ(greedy.Sample(std::vector<float>{0, 1, kNaN, kNaN})->id, 1);
}

TEST(SamplerTest, LogitBiasForbidsAndForces) {
  SamplingParams params;
  params.logit_bias = {{1, -100.0f}};
  const std::vector<double> p = {0.25, 0.5, 0.25};
  EXPECT_LT(ChiSquare(Frequencies(params, LogsOf(p), kDraws), {0.5, 0, 0.5}, kDraws), 10.8);
  params.logit_bias = {{0, 100.0f}};
  EXPECT_NEAR(Frequencies(params, LogsOf(p), 500)[0], 1, 1e-9);
  SamplingParams greedy = Greedy();
  greedy.logit_bias = {{2, 1.0f}};
  EXPECT_EQ(MakeSampler(greedy, 3).Sample(LogsOf(p))->id, 2);
}

// Penalties are seen through greedy choices, one step at a time.
TEST(SamplerTest, FrequencyPenaltyGrowsWithEachUse) {
  SamplingParams params = Greedy();
  params.frequency_penalty = 1;
  Sampler sampler = MakeSampler(params, 3);
  const std::vector<float> logits = {10, 8.5f, 0};
  std::vector<int32_t> ids;
  for (int i = 0; i < 6; ++i) ids.push_back(sampler.Sample(logits)->id);
  // 10 9 8|8.5 -> 1; 8|7.5 -> 0; 7|7.5 -> 1; 7|6.5 -> 0
  EXPECT_EQ(ids, (std::vector<int32_t>{0, 0, 1, 0, 1, 0}));
}

TEST(SamplerTest, PresencePenaltyIsTakenOnce) {
  SamplingParams params = Greedy();
  params.presence_penalty = 2;
  Sampler sampler = MakeSampler(params, 3);
  const std::vector<float> logits = {10, 9, 7.5f};
  std::vector<int32_t> ids;
  for (int i = 0; i < 4; ++i) ids.push_back(sampler.Sample(logits)->id);
  EXPECT_EQ(ids, (std::vector<int32_t>{0, 1, 0, 0}));  // (10 9) (8 9) (8 7 7.5) (8 7 7.5)
}

TEST(SamplerTest, PresenceAndFrequencyLeaveThePromptAlone) {
  SamplingParams params = Greedy();
  params.presence_penalty = 2;
  params.frequency_penalty = 2;
  Sampler sampler = MakeSampler(params, 2);
  const std::vector<int32_t> prompt = {0, 0, 0};
  sampler.AddPrompt(prompt);
  EXPECT_EQ(sampler.Sample(std::vector<float>{1, 0})->id, 0);
}

TEST(SamplerTest, RepetitionPenaltyDividesAndMultiplies) {
  SamplingParams params = Greedy();
  params.repetition_penalty = 2;
  const std::vector<int32_t> prompt = {0};
  Sampler positive = MakeSampler(params, 2);
  positive.AddPrompt(prompt);
  EXPECT_EQ(positive.Sample(std::vector<float>{4, 2.1f})->id, 1);  // 4/2 < 2.1
  Sampler negative = MakeSampler(params, 2);
  negative.AddPrompt(prompt);
  EXPECT_EQ(negative.Sample(std::vector<float>{-1, -1.9f})->id, 1);  // -2 < -1.9
  Sampler answer = MakeSampler(params, 2);
  EXPECT_EQ(answer.Sample(std::vector<float>{4, 2.1f})->id, 0);  // not seen yet
  EXPECT_EQ(answer.Sample(std::vector<float>{4, 2.1f})->id, 1);  // seen in the answer
}

TEST(SamplerTest, RepetitionComesBeforeTheOthersAndAfterTheBias) {
  SamplingParams params = Greedy();
  params.repetition_penalty = 2;
  params.frequency_penalty = 1;
  params.logit_bias = {{0, 2.0f}};
  Sampler sampler = MakeSampler(params, 2);
  // First (8 + 2) > 4.1. Then (8 + 2) / 2 - 1 = 4 < 4.1; any other order gives at least 4.5.
  EXPECT_EQ(sampler.Sample(std::vector<float>{8, 4.1f})->id, 0);
  EXPECT_EQ(sampler.Sample(std::vector<float>{8, 4.1f})->id, 1);
}

TEST(SamplerTest, LogprobsAreTheModelsOwnAndSumToOne) {
  SamplingParams params;
  params.logprobs = true;
  params.top_logprobs = 5;
  params.temperature = 0.3;
  params.logit_bias = {{0, 50.0f}};
  const std::vector<double> p = {0.1, 0.4, 0.05, 0.25, 0.2};
  Sampler sampler = MakeSampler(params, 5);
  const Result<SampledToken> token = sampler.Sample(LogsOf(p));
  ASSERT_TRUE(token.ok());
  EXPECT_EQ(token->id, 0);
  EXPECT_NEAR(token->logprob, std::log(0.1), 1e-5);
  ASSERT_EQ(token->top.size(), 5u);
  const int32_t order[] = {1, 3, 4, 0, 2};
  double sum = 0;
  for (size_t i = 0; i < 5; ++i) {
    EXPECT_EQ(token->top[i].id, order[i]);
    EXPECT_NEAR(token->top[i].logprob, std::log(p[static_cast<size_t>(order[i])]), 1e-5);
    sum += std::exp(static_cast<double>(token->top[i].logprob));
  }
  EXPECT_NEAR(sum, 1, 1e-5);
}

TEST(SamplerTest, BrokenLogitsAreAnErrorThatNamesTheToken) {
  for (const SamplingParams& params : {Greedy(), SamplingParams{}}) {
    Sampler sampler = MakeSampler(params, 4);
    const Result<SampledToken> nan = sampler.Sample(std::vector<float>{1, 2, kNaN, 0});
    EXPECT_EQ(nan.status().code(), StatusCode::kInternal);
    EXPECT_EQ(nan.status().message(), "logits: the model gave nan for token 2");
    EXPECT_FALSE(sampler.Sample(std::vector<float>{1, kInfinity, 0, 0}).ok());
    EXPECT_FALSE(sampler.Sample(std::vector<float>(4, -kInfinity)).ok());
    EXPECT_EQ(sampler.Sample(std::vector<float>{-kInfinity, -kInfinity, -3, -kInfinity})->id, 2);
  }
}

TEST(SamplerTest, TheSameSeedGivesTheSameTokensWhateverElseRuns) {
  std::mt19937 random(5);
  std::normal_distribution<float> normal(0, 1);
  std::vector<std::vector<float>> logits(40, std::vector<float>(100));
  for (auto& row : logits) {
    for (float& x : row) x = normal(random);
  }
  const auto run = [&](Sampler& sampler, size_t step) { return sampler.Sample(logits[step])->id; };
  // One after the other, and the two sequences interleaved.
  std::vector<int32_t> alone[2], together[2];
  for (uint64_t s = 0; s < 2; ++s) {
    Sampler sampler = MakeSampler({}, 100, /*seed=*/9, /*stream=*/s);
    for (size_t i = 0; i < logits.size(); ++i) alone[s].push_back(run(sampler, i));
  }
  Sampler first = MakeSampler({}, 100, 9, 0), second = MakeSampler({}, 100, 9, 1);
  for (size_t i = 0; i < logits.size(); ++i) {
    together[1].push_back(run(second, i));
    together[0].push_back(run(first, i));
  }
  EXPECT_EQ(alone[0], together[0]);
  EXPECT_EQ(alone[1], together[1]);
  EXPECT_NE(alone[0], alone[1]);
  Sampler other_seed = MakeSampler({}, 100, 10, 0);
  std::vector<int32_t> other;
  for (size_t i = 0; i < logits.size(); ++i) other.push_back(run(other_seed, i));
  EXPECT_NE(other, alone[0]);
}

TEST(SamplerTest, FieldsThatChangeNothingLeaveTheTokensAlone) {
  // A draw has the position's own random number, so that asking for log-probabilities or adding a bias of 0 cannot
  // shift it.
  std::vector<float> logits(50);
  for (size_t i = 0; i < logits.size(); ++i) logits[i] = static_cast<float>(i % 7);
  SamplingParams plain, loud;
  loud.logprobs = true;
  loud.top_logprobs = 3;
  loud.logit_bias = {{4, 0.0f}};
  Sampler a = MakeSampler(plain, 50), b = MakeSampler(loud, 50);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(a.Sample(logits)->id, b.Sample(logits)->id);
}

// The bounds are about ten times what a desktop core takes, so that a loaded test machine passes and sorting the
// vocabulary does not.
TEST(SamplerTest, TheVocabularyIsNotSorted) {
  constexpr int32_t kVocabulary = 151936;
  std::mt19937 random(3);
  std::normal_distribution<float> normal(0, 2);
  std::vector<float> logits(kVocabulary);
  for (float& x : logits) x = normal(random);
  const auto best_milliseconds = [&](const SamplingParams& params) {
    Sampler sampler = MakeSampler(params, kVocabulary);
    double best = 1e9;
    for (int i = 0; i < 20; ++i) {
      const auto start = std::chrono::steady_clock::now();
      EXPECT_TRUE(sampler.Sample(logits).ok());
      best =
          std::min(best, std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count());
    }
    return best;
  };
  SamplingParams usual;
  usual.temperature = 0.7;
  usual.top_k = 20;
  usual.top_p = 0.8;
  SamplingParams nucleus;
  nucleus.top_p = 0.95;
  const double greedy_ms = best_milliseconds(Greedy()), usual_ms = best_milliseconds(usual);
  const double nucleus_ms = best_milliseconds(nucleus);
  RecordProperty("greedy_us", static_cast<int>(greedy_ms * 1000));
  RecordProperty("top_k_us", static_cast<int>(usual_ms * 1000));
  RecordProperty("top_p_us", static_cast<int>(nucleus_ms * 1000));
#if defined(NDEBUG) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  EXPECT_LT(greedy_ms, 1);
  EXPECT_LT(usual_ms, 1);
  EXPECT_LT(nucleus_ms, 25);
#endif
}

TEST(ValidateSamplingTest, NamesFieldAndRange) {
  const auto message = [](auto&& change) {
    SamplingParams params;
    change(params);
    const Status status = ValidateSampling(params, 100);
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
    return status.message();
  };
  EXPECT_EQ(message([](auto& p) { p.temperature = 2.5; }), "temperature: must be in [0, 2], not 2.5");
  EXPECT_EQ(message([](auto& p) { p.temperature = static_cast<double>(kNaN); }),
            "temperature: must be in [0, 2], not nan");
  EXPECT_EQ(message([](auto& p) { p.top_p = -0.1; }), "top_p: must be in [0, 1], not -0.1");
  EXPECT_EQ(message([](auto& p) { p.min_p = 1.1; }), "min_p: must be in [0, 1], not 1.1");
  EXPECT_EQ(message([](auto& p) { p.top_k = -2; }), "top_k: must be positive, or 0 or -1 for no limit, not -2");
  EXPECT_EQ(message([](auto& p) { p.presence_penalty = 3; }), "presence_penalty: must be in [-2, 2], not 3");
  EXPECT_EQ(message([](auto& p) { p.frequency_penalty = -3; }), "frequency_penalty: must be in [-2, 2], not -3");
  EXPECT_EQ(message([](auto& p) { p.repetition_penalty = 0; }), "repetition_penalty: must be in [0.01, 100], not 0");
  EXPECT_EQ(message([](auto& p) { p.logit_bias[100] = 1; }),
            "logit_bias: token 100 is outside the vocabulary of 100 tokens");
  EXPECT_EQ(message([](auto& p) { p.logit_bias[-1] = 1; }),
            "logit_bias: token -1 is outside the vocabulary of 100 tokens");
  EXPECT_EQ(message([](auto& p) { p.logit_bias[5] = 101; }),
            "logit_bias: the bias of token 5 must be in [-100, 100], not 101");
  EXPECT_EQ(message([](auto& p) { p.top_logprobs = 21, p.logprobs = true; }),
            "top_logprobs: must be in [0, 20], not 21");
  EXPECT_EQ(message([](auto& p) { p.top_logprobs = 2; }), "top_logprobs: needs logprobs");
  EXPECT_TRUE(ValidateSampling({}, 100).ok());
}

}  // namespace
}  // namespace qnext
