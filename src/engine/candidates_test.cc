#include "engine/candidates.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

namespace qnext {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

std::vector<float> RandomLogits(size_t n, uint32_t seed, float scale = 3) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, scale);
  std::vector<float> logits(n);
  for (float& x : logits) x = normal(random);
  return logits;
}

// All tokens by falling likelihood, the plain way.
std::vector<Candidate> Ranked(const std::vector<float>& logits, double temperature) {
  const float highest = *std::max_element(logits.begin(), logits.end());
  std::vector<Candidate> all;
  for (size_t i = 0; i < logits.size(); ++i) {
    const double z = (static_cast<double>(logits[i]) - static_cast<double>(highest)) / temperature;
    all.push_back({logits[i], static_cast<int32_t>(i), std::exp(static_cast<float>(z))});
  }
  std::sort(all.begin(), all.end(), Likelier);
  return all;
}

std::vector<int32_t> SortedIds(std::span<const Candidate> candidates) {
  std::vector<int32_t> ids;
  for (const Candidate& c : candidates) ids.push_back(c.id);
  std::sort(ids.begin(), ids.end());
  return ids;
}

TEST(ScanLogitsTest, FindsTheHighestAndTheLowestOfTies) {
  for (size_t n : {1, 5, 16, 17, 100}) {
    std::vector<float> logits(n, -1.0f);
    EXPECT_EQ(ScanLogits(logits).arg_max, 0);
    logits[n - 1] = 2;
    EXPECT_EQ(ScanLogits(logits).arg_max, static_cast<int32_t>(n - 1));
    logits[n / 2] = 2;
    EXPECT_EQ(ScanLogits(logits).arg_max, static_cast<int32_t>(n / 2));
    EXPECT_EQ(ScanLogits(logits).highest, 2);
    EXPECT_TRUE(ScanLogits(logits).finite);
  }
}

TEST(ScanLogitsTest, NoticesWhatIsNotANumberAnywhere) {
  for (size_t at = 0; at < 35; ++at) {
    for (float bad : {kNaN, -kNaN, kInfinity}) {
      std::vector<float> logits(35, 1.0f);
      logits[at] = bad;
      EXPECT_FALSE(ScanLogits(logits).finite) << at;
    }
    std::vector<float> logits(35, 1.0f);
    logits[at] = -kInfinity;
    EXPECT_TRUE(ScanLogits(logits).finite) << at;
  }
}

TEST(SelectLikeliestTest, EqualsSorting) {
  for (uint32_t seed = 0; seed < 20; ++seed) {
    std::vector<float> logits = RandomLogits(1000 + seed, seed);
    for (float& x : logits) x = std::round(x * 4) / 4;  // many ties
    const std::vector<Candidate> ranked = Ranked(logits, 1);
    for (int64_t n : {1, 2, 20, 300}) {
      std::vector<Candidate> selected;
      SelectLikeliest(logits, n, selected);
      ASSERT_EQ(selected.size(), static_cast<size_t>(n));
      for (size_t i = 0; i < selected.size(); ++i) ASSERT_EQ(selected[i].id, ranked[i].id) << "seed " << seed;
    }
  }
}

TEST(SelectLikeliestTest, LeavesOutExcludedTokens) {
  std::vector<float> logits(40, -kInfinity);
  logits[33] = -7;
  logits[2] = -9;
  std::vector<Candidate> selected;
  SelectLikeliest(logits, 5, selected);
  ASSERT_EQ(selected.size(), 2u);
  EXPECT_EQ(selected[0].id, 33);
  EXPECT_EQ(selected[1].id, 2);
}

// The reference for top_k and top_p: a prefix of the sorted list.
std::vector<int32_t> ExpectedKept(const std::vector<float>& logits, double temperature, size_t top_k, double top_p) {
  std::vector<Candidate> ranked = Ranked(logits, temperature);
  if (top_k > 0) ranked.resize(std::min(top_k, ranked.size()));
  double total = 0;
  for (const Candidate& c : ranked) total += static_cast<double>(c.weight);
  double sum = 0;
  size_t kept = 0;
  while (kept < ranked.size() && (kept == 0 || sum < top_p * total)) sum += static_cast<double>(ranked[kept++].weight);
  ranked.resize(kept);
  return SortedIds(ranked);
}

TEST(CandidateSetTest, TopKAndTopPEqualAPrefixOfTheSortedList) {
  for (uint32_t seed = 0; seed < 3; ++seed) {
    const std::vector<float> logits = RandomLogits(5000, seed);
    const float highest = *std::max_element(logits.begin(), logits.end());
    for (int64_t top_k : {0, 1, 20, 511, 512, 513, 2000, 5000, 9000}) {
      for (double top_p : {0.0, 0.3, 0.8, 0.999, 1.0}) {
        for (double temperature : {0.3, 1.0, 2.0}) {
          CandidateSet set(5000, top_k);
          set.Select(logits, highest, temperature);
          set.KeepTopP(top_p);
          const std::vector<int32_t> kept = SortedIds(set.candidates());
          const std::vector<int32_t> expected =
              top_p == 1 ? ExpectedKept(logits, temperature, static_cast<size_t>(top_k), 2)
                         : ExpectedKept(logits, temperature, static_cast<size_t>(top_k), top_p);
          // The last token of the prefix depends on the order of summation.
          std::vector<int32_t> difference;
          std::set_symmetric_difference(kept.begin(), kept.end(), expected.begin(), expected.end(),
                                        std::back_inserter(difference));
          EXPECT_LE(difference.size(), 1u) << "seed " << seed << " top_k " << top_k << " top_p " << top_p;
        }
      }
    }
  }
}

TEST(CandidateSetTest, TiesAreCutByRisingId) {
  const std::vector<float> logits(1000, 0.5f);
  CandidateSet few(1000, 3);
  few.Select(logits, 0.5f, 1);
  EXPECT_EQ(SortedIds(few.candidates()), (std::vector<int32_t>{0, 1, 2}));

  CandidateSet many(1000, 600);
  many.Select(logits, 0.5f, 1);
  EXPECT_EQ(many.candidates().size(), 600u);
  EXPECT_EQ(SortedIds(many.candidates()).back(), 599);

  CandidateSet all(1000, 0);
  all.Select(logits, 0.5f, 1);
  all.KeepTopP(0.25);
  EXPECT_EQ(all.candidates().size(), 250u);
  EXPECT_EQ(SortedIds(all.candidates()).back(), 249);
}

TEST(CandidateSetTest, MinPIsRelativeToTheLikeliest) {
  const std::vector<float> logits = {std::log(0.5f), std::log(0.3f), std::log(0.15f), std::log(0.05f)};
  CandidateSet set(4, 0);
  set.Select(logits, logits[0], 1);
  set.KeepMinP(0.5);
  EXPECT_EQ(SortedIds(set.candidates()), (std::vector<int32_t>{0, 1}));
  set.KeepMinP(1);
  EXPECT_EQ(SortedIds(set.candidates()), (std::vector<int32_t>{0}));
}

TEST(CandidateSetTest, DrawLaysTheWeightsEndToEnd) {
  const std::vector<float> logits = {std::log(0.2f), std::log(0.5f), std::log(0.3f)};
  CandidateSet all(3, 0);
  all.Select(logits, logits[1], 1);
  EXPECT_EQ(all.Draw(0.0), 0);
  EXPECT_EQ(all.Draw(0.19), 0);
  EXPECT_EQ(all.Draw(0.21), 1);
  EXPECT_EQ(all.Draw(0.69), 1);
  EXPECT_EQ(all.Draw(0.71), 2);
  EXPECT_EQ(all.Draw(0x1.fffffffffffffp-1), 2);

  CandidateSet two(3, 2);  // the likeliest first
  two.Select(logits, logits[1], 1);
  EXPECT_EQ(two.Draw(0.62), 1);
  EXPECT_EQ(two.Draw(0.63), 2);
}

TEST(CandidateSetTest, TinyTemperaturesAreTheArgMax) {
  const std::vector<float> logits = {1, 3, 2.9f, -1e30f};
  for (double temperature : {1e-6, 1e-60, 1e-310}) {
    for (int64_t top_k : {0, 2}) {
      CandidateSet set(4, top_k);
      set.Select(logits, 3, temperature);
      set.KeepTopP(0.9);
      EXPECT_EQ(set.Draw(0.99), 1) << temperature;
    }
  }
}

}  // namespace
}  // namespace qnext
