#include "engine/candidates.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "base/check.h"

namespace qnext {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr size_t kLanes = 16;  // independent lanes, so that the compiler makes vector code of the scans
// Up to this many, a heap beats looking at all logits twice. kernels/cuda/sampling.h has the same as kMostRanked: the
// order of the draw, and so the token that a random number means, depends on it.
constexpr int64_t kHeapLimit = 512;

// The cells cover 32 units of (highest - logit) / temperature; exp(-32) of a weight is nothing, and the last cell holds
// all that is further off.
constexpr size_t kCells = 1024;
constexpr double kCellsPerUnit = 32;

// Divided in double: a temperature that is tiny but not zero must not become 0 / 0.
double Distance(float logit, float highest, double temperature) {
  return (static_cast<double>(highest) - static_cast<double>(logit)) / temperature;
}

size_t CellOf(float logit, float highest, double temperature) {
  const double distance = Distance(logit, highest, temperature) * kCellsPerUnit;
  return distance < static_cast<double>(kCells - 1) ? static_cast<size_t>(distance) : kCells - 1;
}

}  // namespace

LogitScan ScanLogits(std::span<const float> logits) {
  std::array<float, kLanes> best;
  std::array<uint32_t, kLanes> bad{};
  best.fill(-kInfinity);
  size_t i = 0;
  for (; i + kLanes <= logits.size(); i += kLanes) {
    for (size_t lane = 0; lane < kLanes; ++lane) {
      const float x = logits[i + lane];
      best[lane] = x > best[lane] ? x : best[lane];
      bad[lane] |= static_cast<uint32_t>(!(x <= std::numeric_limits<float>::max()));
    }
  }
  for (; i < logits.size(); ++i) {
    best[0] = logits[i] > best[0] ? logits[i] : best[0];
    bad[0] |= static_cast<uint32_t>(!(logits[i] <= std::numeric_limits<float>::max()));
  }
  LogitScan scan{.highest = *std::max_element(best.begin(), best.end()), .arg_max = 0, .finite = true};
  scan.finite = std::all_of(bad.begin(), bad.end(), [](uint32_t lane) { return lane == 0; });
  scan.arg_max = static_cast<int32_t>(std::find(logits.begin(), logits.end(), scan.highest) - logits.begin());
  return scan;
}

void SelectLikeliest(std::span<const float> logits, int64_t n, std::vector<Candidate>& out) {
  out.clear();
  const size_t wanted = static_cast<size_t>(std::clamp<int64_t>(n, 0, static_cast<int64_t>(logits.size())));
  if (wanted == 0) return;
  // A heap with its least likely token in front. Ids rise, so a later token must be strictly better to get in.
  float threshold = -kInfinity;
  const auto offer = [&](size_t id) {
    if (!(logits[id] > threshold)) return;
    if (out.size() == wanted) {
      std::pop_heap(out.begin(), out.end(), Likelier);
      out.pop_back();
    }
    out.push_back({.logit = logits[id], .id = static_cast<int32_t>(id)});
    std::push_heap(out.begin(), out.end(), Likelier);
    if (out.size() == wanted) threshold = out.front().logit;
  };
  size_t i = 0;
  for (; i + kLanes <= logits.size(); i += kLanes) {
    uint32_t any = 0;
    for (size_t lane = 0; lane < kLanes; ++lane) any |= static_cast<uint32_t>(logits[i + lane] > threshold);
    if (any == 0) continue;
    for (size_t lane = 0; lane < kLanes; ++lane) offer(i + lane);
  }
  for (; i < logits.size(); ++i) offer(i);
  std::sort_heap(out.begin(), out.end(), Likelier);
}

CandidateSet::CandidateSet(int32_t vocab_end, int64_t top_k)
    : top_k_(top_k > 0 && top_k < vocab_end ? top_k : 0), sorted_(top_k_ > 0 && top_k_ <= kHeapLimit) {
  const size_t most = static_cast<size_t>(sorted_ ? top_k_ : vocab_end);
  candidates_.reserve(most);
  if (!sorted_) scratch_.reserve(most);
  cells_.resize(kCells);
}

void CandidateSet::Select(std::span<const float> logits, float highest, double temperature) {
  highest_ = highest;
  temperature_ = temperature;
  if (sorted_) {
    SelectLikeliest(logits, top_k_, candidates_);
  } else {
    SelectMany(logits);
  }
  for (Candidate& candidate : candidates_) {
    candidate.weight = std::exp(-static_cast<float>(Distance(candidate.logit, highest, temperature)));
  }
}

void CandidateSet::SelectMany(std::span<const float> logits) {
  candidates_.clear();
  for (size_t id = 0; id < logits.size(); ++id) {
    if (logits[id] > -kInfinity) candidates_.push_back({.logit = logits[id], .id = static_cast<int32_t>(id)});
  }
  if (top_k_ == 0 || static_cast<int64_t>(candidates_.size()) <= top_k_) return;
  scratch_ = candidates_;
  std::nth_element(scratch_.begin(), scratch_.begin() + (top_k_ - 1), scratch_.end(), Likelier);
  DropAfter(scratch_[static_cast<size_t>(top_k_ - 1)]);
}

void CandidateSet::KeepTopP(double top_p) {
  if (top_p >= 1) return;
  const double target = top_p * TotalWeight();
  DropAfter(sorted_ ? TopPCutSorted(target) : TopPCutUnsorted(target));
}

void CandidateSet::KeepMinP(double min_p) {
  if (min_p <= 0) return;
  // The highest weight is exp(0) = 1.
  std::erase_if(candidates_, [&](const Candidate& c) { return static_cast<double>(c.weight) < min_p; });
}

int32_t CandidateSet::Draw(double uniform) const {
  const double target = uniform * TotalWeight();
  double sum = 0;
  const Candidate* chosen = nullptr;  // should rounding let the target pass the sum, the last that has a weight
  for (const Candidate& candidate : candidates_) {
    if (candidate.weight == 0) continue;
    chosen = &candidate;
    sum += static_cast<double>(candidate.weight);
    if (sum > target) break;
  }
  QNEXT_CHECK(chosen != nullptr, "a draw needs a candidate");
  return chosen->id;
}

double CandidateSet::TotalWeight() const {
  double total = 0;
  for (const Candidate& candidate : candidates_) total += static_cast<double>(candidate.weight);
  return total;
}

Candidate CandidateSet::TopPCutSorted(double target) const {
  double sum = 0;
  for (const Candidate& candidate : candidates_) {
    sum += static_cast<double>(candidate.weight);
    if (sum >= target) return candidate;
  }
  return candidates_.back();
}

Candidate CandidateSet::TopPCutUnsorted(double target) {
  std::fill(cells_.begin(), cells_.end(), 0.0);
  for (const Candidate& c : candidates_)
    cells_[CellOf(c.logit, highest_, temperature_)] += static_cast<double>(c.weight);
  // The cell in which the sum of the weights, falling, reaches the target; at least the one of the likeliest token.
  size_t cell = 0;
  double before = 0;
  while (cell + 1 < kCells && before + cells_[cell] < target) before += cells_[cell++];
  scratch_.clear();
  for (const Candidate& c : candidates_) {
    if (CellOf(c.logit, highest_, temperature_) == cell) scratch_.push_back(c);
  }
  // Rounding may leave the sum short of the target in the last cell, which may be empty then: nothing is cut.
  if (scratch_.empty()) return {.logit = -kInfinity};
  std::sort(scratch_.begin(), scratch_.end(), Likelier);
  double sum = before;
  for (const Candidate& c : scratch_) {
    sum += static_cast<double>(c.weight);
    if (sum >= target) return c;
  }
  return scratch_.back();
}

void CandidateSet::DropAfter(const Candidate& last) {
  std::erase_if(candidates_, [&](const Candidate& c) { return Likelier(last, c); });
}

}  // namespace qnext
