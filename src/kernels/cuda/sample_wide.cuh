// Draws among more tokens than are worth finding one after another: a block of 1024 threads a row passes over all
// logits a few times and never sorts them.
//
// Weights are integers, exp((logit - highest) / temperature) in units of 2^-42: their sums do not depend on the order
// of adding, so that atomics may build them, any two runs agree to the bit, and every step below is exact. Tokens
// below half a unit (1e-13 of the likeliest) cannot be drawn.
//
// Two searches do everything, each for the first token at which a running sum reaches a target:
//   by rank (the likeliest first, the lower id among equals): the cuts of top_k and top_p, and draws among ranked
//   tokens.
//     Three histograms over 11, 11 and 10 bits of the logit's rank, then the id among equal logits.
//   by id: draws among all others. The ids are cut into 32 ranges, of which one is cut again, down to one id a lane.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

namespace qnext::cuda {

constexpr int kWideThreads = 1024;
constexpr int kWideWarps = kWideThreads / 32;
static_assert(kWideWarps == 32, "a lane for each warp's sum");
constexpr int kRankBins = 2048;
constexpr float kWeightUnits = 4398046511104.0f;  // 2^42: 2^20 tokens of the highest weight stay below 2^63

struct WideShared {
  uint32_t low[kRankBins], high[kRankBins];  // sums of 64 bits, for which there is no atomic in shared memory
  uint64_t sums[kWideWarps];
  uint64_t before, inside;
  uint32_t bin;
};

// Lower is likelier; -0 and 0 are the same logit.
__device__ inline uint32_t RankOf(float logit) {
  const uint32_t bits = logit == 0 ? 0 : __float_as_uint(logit);
  return (bits >> 31) != 0 ? bits : ~(bits | 0x80000000u);
}
__device__ inline float LogitOfRank(uint32_t rank) {
  return __uint_as_float((rank >> 31) != 0 ? rank : ~rank & 0x7fffffffu);
}

// Weights of a row's logits. The distance (highest - logit) / temperature is one rounding of the quotient of doubles
// that the host computes, but from pairs of floats: consumer cards have next to no doubles.
struct WideWeights {
  float highest, inverse, inverse_rest;

  __device__ WideWeights(float highest_logit, double temperature) : highest(highest_logit) {
    const double exact = 1 / temperature;
    inverse = static_cast<float>(exact);
    inverse_rest = static_cast<float>(exact - static_cast<double>(inverse));
  }
  __device__ float Of(float logit) const {
    const float difference = __fsub_rn(highest, logit);
    if (difference == 0) return 1;
    const float distance = __fmul_rn(difference, inverse);
    if (!(distance < 64)) return 0;  // also where the temperature is so low that its inverse is no float
    const float back = __fadd_rn(difference, logit);  // the error of a difference, exactly
    const float error = __fadd_rn(__fsub_rn(highest, back), __fsub_rn(__fsub_rn(back, difference), logit));
    const float rest = __fmaf_rn(difference, inverse, -distance);
    return expf(-__fadd_rn(distance, __fmaf_rn(difference, inverse_rest, __fmaf_rn(error, inverse, rest))));
  }
  __device__ static uint64_t Units(float weight) { return __float2ull_rn(weight * kWeightUnits); }
};

// The tokens that are left: up to a place in the ranking. Everything at first.
struct WideCut {
  uint32_t rank = 0xffffffffu;
  int32_t id = INT32_MAX;

  __device__ bool Keeps(uint32_t token_rank, int32_t token_id) const {
    return token_rank < rank || (token_rank == rank && token_id <= id);
  }
};

// Calls use(logit, id) for the ids from `first` in steps of kStep below `end` that are not excluded; the loads of eight
// are on their way together.
template <int kStep, typename Logit, typename Use>
__device__ void ForLogits(const Logit& logit, int32_t first, int32_t end, const Use& use) {
  constexpr int kLoads = 8;
  for (int32_t base = first; base < end; base += kLoads * kStep) {
    float x[kLoads];
#pragma unroll
    for (int i = 0; i < kLoads; ++i) x[i] = base + i * kStep < end ? logit(base + i * kStep) : -INFINITY;
#pragma unroll
    for (int i = 0; i < kLoads; ++i) {
      if (x[i] > -INFINITY) use(x[i], base + i * kStep);
    }
  }
}

__device__ inline uint64_t WarpSum(uint64_t x) {
  for (int step = 16; step > 0; step /= 2) x += __shfl_xor_sync(0xffffffffu, x, step);
  return x;
}
// The sum of this and all lower lanes.
__device__ inline uint64_t WarpScan(uint64_t x) {
  const int lane = static_cast<int>(threadIdx.x % 32);
  for (int step = 1; step < 32; step *= 2) {
    const uint64_t other = __shfl_up_sync(0xffffffffu, x, step);
    if (lane >= step) x += other;
  }
  return x;
}

// What a search by rank found: all tokens of lower rank and the first `nth` (from 1) of the `ties` with `rank`.
struct RankPlace {
  bool found;
  uint32_t rank;
  uint64_t nth, ties;
};

// The first place at which the sum of amount(logit, id), by rank, reaches target(total of all amounts), which is at
// least 1; not found if that is more than the total. An amount is each(logit), or 0 for a token that takes no part. All
// threads of the block call this and get the same.
template <typename Logit, typename Amount, typename Each, typename Target>
__device__ RankPlace SearchByRank(WideShared& shared, const Logit& logit, int32_t vocab, const Amount& amount,
                                  const Each& each, const Target& target_of) {
  const int thread = static_cast<int>(threadIdx.x), lane = thread % 32, warp = thread / 32;
  uint32_t prefix = 0;
  uint64_t before = 0, target = 0, inside = 0;
  for (int pass = 0; pass < 3; ++pass) {
    const int bits = pass == 2 ? 10 : 11, shift = pass == 0 ? 21 : pass == 1 ? 10 : 0;
    for (int bin = thread; bin < kRankBins; bin += kWideThreads) shared.low[bin] = shared.high[bin] = 0;
    __syncthreads();
    ForLogits<kWideThreads>(logit, thread, vocab, [&](float x, int32_t id) {
      const uint32_t rank = RankOf(x);
      if (pass > 0 && rank >> (shift + bits) != prefix) return;
      const uint64_t added = amount(x, id);
      if (added == 0) return;
      const uint32_t bin = rank >> shift & ((1u << bits) - 1), low = static_cast<uint32_t>(added);
      const uint32_t old = atomicAdd(&shared.low[bin], low);
      const uint32_t high = static_cast<uint32_t>(added >> 32) + (old + low < old ? 1u : 0u);
      if (high != 0) atomicAdd(&shared.high[bin], high);
    });
    __syncthreads();
    const auto bin_sum = [&](int bin) { return uint64_t{shared.high[bin]} << 32 | shared.low[bin]; };
    const uint64_t first = bin_sum(2 * thread), second = bin_sum(2 * thread + 1);
    const uint64_t to_here = WarpScan(first + second);
    if (lane == 31) shared.sums[warp] = to_here;
    __syncthreads();
    const uint64_t warps = WarpScan(shared.sums[lane]), total = __shfl_sync(0xffffffffu, warps, 31);
    const uint64_t lower_warps = warp == 0 ? 0 : __shfl_sync(0xffffffffu, warps, warp - 1);
    if (pass == 0) {
      target = target_of(total);
      if (target > total) {
        __syncthreads();  // whoever comes next may write the sums
        return {.found = false, .rank = 0, .nth = 0, .ties = 0};
      }
    }
    const uint64_t start = before + lower_warps + to_here - first - second;
    if (start < target && start + first >= target) {
      shared.bin = static_cast<uint32_t>(2 * thread), shared.before = start, shared.inside = first;
    } else if (start + first < target && start + first + second >= target) {
      shared.bin = static_cast<uint32_t>(2 * thread + 1), shared.before = start + first, shared.inside = second;
    }
    __syncthreads();
    prefix = prefix << bits | shared.bin;
    before = shared.before, inside = shared.inside;
    __syncthreads();
  }
  const uint64_t one = each(LogitOfRank(prefix));
  return {.found = true, .rank = prefix, .nth = (target - before + one - 1) / one, .ties = inside / one};
}

// The first id at which the sum of amount(logit, id), by id, exceeds target(total of all amounts), which is below the
// total. All threads of the block call this and get the same.
template <typename Logit, typename Amount, typename Target>
__device__ int32_t SearchById(WideShared& shared, const Logit& logit, int32_t vocab, const Amount& amount,
                              const Target& target_of) {
  const int lane = static_cast<int>(threadIdx.x % 32), warp = static_cast<int>(threadIdx.x / 32);
  int32_t begin = 0, end = vocab;
  uint64_t target = 0;
  for (bool first = true; first || end - begin > 32; first = false) {
    const int32_t range = (end - begin + kWideWarps - 1) / kWideWarps;
    const int32_t from = min(end, begin + warp * range), to = min(end, from + range);
    uint64_t mine = 0;
    ForLogits<32>(logit, from + lane, to, [&](float x, int32_t id) { mine += amount(x, id); });
    mine = WarpSum(mine);
    if (lane == 0) shared.sums[warp] = mine;
    __syncthreads();
    const uint64_t sum = shared.sums[lane], to_here = WarpScan(sum);
    __syncthreads();
    if (first) target = target_of(__shfl_sync(0xffffffffu, to_here, 31));
    const int chosen = __ffs(static_cast<int>(__ballot_sync(0xffffffffu, to_here > target))) - 1;
    target -= __shfl_sync(0xffffffffu, to_here - sum, chosen);
    begin = begin + chosen * range;
    end = min(end, begin + range);
  }
  const int32_t id = begin + lane;
  const float x = id < end ? logit(id) : -INFINITY;
  const uint64_t to_here = WarpScan(x > -INFINITY ? amount(x, id) : 0);
  return begin + __ffs(static_cast<int>(__ballot_sync(0xffffffffu, to_here > target))) - 1;
}

// A row's draw: top_k, top_p, min_p and one number, as CandidateSet (engine/candidates.h) does it. `highest` is the
// row's highest logit; `random` has 53 bits. Every thread of the block calls this and gets the id.
template <typename Row, typename Logit>
__device__ int32_t DrawWide(WideShared& shared, const Row& row, const Logit& logit, int32_t vocab, float highest,
                            uint64_t random, int32_t most_ranked) {
  const WideWeights weights(highest, row.temperature);
  const bool limited = row.top_k > 0 && row.top_k < vocab;
  const float min_p = __double2float_ru(row.min_p);  // a float is below min_p where it is below this
  WideCut cut;
  const auto nth_of_rank = [&](uint32_t rank, uint64_t nth) {
    return SearchById(
        shared, logit, vocab, [&](float x, int32_t) { return uint64_t{RankOf(x) == rank}; },
        [&](uint64_t) { return nth - 1; });
  };
  const auto cut_at = [&](const RankPlace& place) {
    if (!place.found) return;
    const int32_t last = place.nth < place.ties   ? nth_of_rank(place.rank, place.nth)
                         : place.rank == cut.rank ? cut.id
                                                  : INT32_MAX;
    cut = {place.rank, last};
  };
  if (limited) {
    const auto one = [](float) { return uint64_t{1}; };
    cut_at(SearchByRank(
        shared, logit, vocab, [](float, int32_t) { return uint64_t{1}; }, one,
        [&](uint64_t) { return static_cast<uint64_t>(row.top_k); }));
  }
  const auto units = [&](float x) { return WideWeights::Units(weights.Of(x)); };
  if (row.top_p < 1) {
    cut_at(SearchByRank(
        shared, logit, vocab, [&](float x, int32_t id) { return cut.Keeps(RankOf(x), id) ? units(x) : 0; }, units,
        [&](uint64_t total) {
          const uint64_t target = __double2ull_ru(row.top_p * __ull2double_rn(total));
          return max(uint64_t{1}, min(target, total));
        }));
  }
  const auto left = [&](float x, int32_t id) -> uint64_t {
    if (!cut.Keeps(RankOf(x), id)) return 0;
    const float weight = weights.Of(x);
    return weight < min_p ? 0 : WideWeights::Units(weight);
  };
  // floor(random / 2^53 * total), exactly.
  const auto drawn_of = [&](uint64_t total) { return __umul64hi(random << 11, total); };
  if (limited && row.top_k <= most_ranked) {
    const RankPlace place =
        SearchByRank(shared, logit, vocab, left, units, [&](uint64_t total) { return drawn_of(total) + 1; });
    return nth_of_rank(place.rank, place.nth);
  }
  return SearchById(shared, logit, vocab, left, drawn_of);
}

}  // namespace qnext::cuda
