// The tokens that a draw may choose from: found among all logits without sorting them.
//
// Likelier means: the higher logit, on ties the lower id. A vocabulary has about 150 000 tokens and a draw should cost
// far less than a millisecond, so the few best are kept in a heap behind a threshold that most logits do not pass, and
// the top_p cut of a whole vocabulary is found in a histogram, of which only one cell is sorted.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace qnext {

struct Candidate {
  float logit = 0;
  int32_t id = 0;
  float weight = 0;  // exp((logit - highest logit) / temperature)
};

inline bool Likelier(const Candidate& a, const Candidate& b) {
  return a.logit > b.logit || (a.logit == b.logit && a.id < b.id);
}

struct LogitScan {
  float highest = 0;    // -infinity if all are
  int32_t arg_max = 0;  // the lowest id that has it
  bool finite = true;   // no NaN, no +infinity
};
LogitScan ScanLogits(std::span<const float> logits);

// The min(n, all) likeliest tokens that are not -infinity, the likeliest first. For n up to some hundreds. Allocates
// only if `out` has too little capacity.
void SelectLikeliest(std::span<const float> logits, int64_t n, std::vector<Candidate>& out);

// The steps top_k, top_p, min_p and draw of one position (sampler.h, 6 and 7). One thread at a time.
class CandidateSet {
 public:
  CandidateSet() = default;
  // Takes the memory that logits of up to `vocab_end` tokens need. top_k <= 0: no limit.
  CandidateSet(int32_t vocab_end, int64_t top_k);

  // `highest` is the highest of `logits` and finite.
  void Select(std::span<const float> logits, float highest, double temperature);
  void KeepTopP(double top_p);
  void KeepMinP(double min_p);
  // The token at `uniform` in [0, 1) of the weights laid end to end.
  int32_t Draw(double uniform) const;

  std::span<const Candidate> candidates() const { return candidates_; }  // with top_k: the likeliest first

 private:
  void SelectMany(std::span<const float> logits);
  double TotalWeight() const;
  Candidate TopPCutSorted(double target) const;
  Candidate TopPCutUnsorted(double target);
  void DropAfter(const Candidate& last);

  int64_t top_k_ = 0;    // 0: no limit
  bool sorted_ = false;  // few enough to be kept in order
  float highest_ = 0;
  double temperature_ = 1;
  std::vector<Candidate> candidates_;
  std::vector<Candidate> scratch_;
  std::vector<double> cells_;  // [kCells] weight by distance from the highest logit
};

}  // namespace qnext
