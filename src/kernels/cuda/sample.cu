// The choice of the next token: every block finds the likeliest of its slice of the vocabulary; then one warp a row
// merges them and draws, or, where the choice is among more than kFewCandidates tokens, one block (sample_wide.cuh).
#include <cfloat>

#include "base/range.h"
#include "hw/cuda/cuda_status.h"
#include "kernels/cuda/kernel_launch.h"
#include "kernels/cuda/sample_wide.cuh"
#include "kernels/cuda/sampling.h"

namespace qnext::cuda {
namespace {

constexpr int kSlices = SampleArgs::kSlices;
constexpr int kSliceThreads = 256;

struct Candidate {
  float logit;
  int32_t id;
};
// The likeliest of one slice, falling, and whether its logits are numbers.
struct Slice {
  Candidate candidates[kFewCandidates];
  int32_t count;
  int32_t broken;
};
static_assert(sizeof(Slice) == SampleArgs::kSliceBytes);

// The higher logit, on ties the lower id; ids of nothing are INT32_MAX.
__device__ bool Likelier(const Candidate& a, const Candidate& b) {
  return a.logit > b.logit || (a.logit == b.logit && a.id < b.id);
}
__device__ Candidate WarpLikeliest(Candidate c) {
  for (int step = 16; step > 0; step /= 2) {
    const Candidate other = {__shfl_xor_sync(0xffffffffu, c.logit, step), __shfl_xor_sync(0xffffffffu, c.id, step)};
    if (Likelier(other, c)) c = other;
  }
  return c;
}

__device__ bool IsWide(const SamplingRow& row, int64_t vocab) {
  return row.temperature != 0 && (row.top_k <= 0 || row.top_k > kFewCandidates || row.top_k >= vocab);
}
// How many tokens are found one after another; a wide draw needs the highest logit.
__device__ int Wanted(const SamplingRow& row, int64_t vocab) {
  return row.temperature == 0 || IsWide(row, vocab) ? 1 : row.top_k;
}

// The host's Sampler::Adjust.
__device__ float Adjusted(const SampleArgs& args, const SamplingRow& row, int64_t slot, float logit, int64_t id) {
  const int64_t at = slot * args.vocab_end + id;
  if (row.biased != 0) logit += args.bias[at];
  if (row.penalizes != 0 && args.seen[at] != 0) {
    const float repetition = static_cast<float>(row.repetition_penalty);
    const uint32_t count = args.answer_counts[at];
    logit = logit > 0 ? __fdiv_rn(logit, repetition) : logit * repetition;
    logit = __fsub_rn(logit, __fmul_rn(static_cast<float>(row.frequency_penalty), static_cast<float>(count)));
    if (count > 0) logit -= static_cast<float>(row.presence_penalty);
  }
  return logit;
}

__device__ int64_t SlotOf(const SampleArgs& args, int64_t row) { return args.slots != nullptr ? args.slots[row] : row; }

__global__ void __launch_bounds__(kSliceThreads) LikeliestOfSlice(SampleArgs args, int64_t slice_size) {
  extern __shared__ float logits[];  // [slice_size] of this slice, what was taken is -infinity
  __shared__ Candidate best[kSliceThreads / 32];
  __shared__ int broken;
  const int64_t row = blockIdx.y, slot = SlotOf(args, row), first = blockIdx.x * slice_size;
  const int size = static_cast<int>(max(int64_t{0}, min(slice_size, args.vocab_end - first)));
  const SamplingRow& choice = args.rows[slot];
  Slice& slice = reinterpret_cast<Slice*>(args.scratch)[row * kSlices + blockIdx.x];
  const int lane = static_cast<int>(threadIdx.x % 32), warp = static_cast<int>(threadIdx.x / 32);
  if (threadIdx.x == 0) broken = 0;
  __syncthreads();
  for (int i = static_cast<int>(threadIdx.x); i < size; i += kSliceThreads) {
    const float logit = args.logits[row * args.logits_stride + first + i];
    const float adjusted = Adjusted(args, choice, slot, logit, first + i);
    logits[i] = adjusted;
    if (!(logit <= FLT_MAX) || !(adjusted <= FLT_MAX)) broken = 1;
  }
  __syncthreads();
  const int wanted = min(Wanted(choice, args.vocab_end), size);
  int count = 0;
  for (; count < wanted; ++count) {
    Candidate mine = {-INFINITY, INT32_MAX};
    for (int i = static_cast<int>(threadIdx.x); i < size; i += kSliceThreads) {
      if (logits[i] > mine.logit) mine = {logits[i], static_cast<int32_t>(first + i)};
    }
    mine = WarpLikeliest(mine);
    if (lane == 0) best[warp] = mine;
    __syncthreads();
    mine = best[0];
    for (const Candidate& other : best) {
      if (Likelier(other, mine)) mine = other;
    }
    if (mine.id == INT32_MAX) break;  // nothing but -infinity is left; the same for all threads
    if (threadIdx.x == 0) {
      slice.candidates[count] = mine;
      logits[mine.id - first] = -INFINITY;
    }
    __syncthreads();
  }
  if (threadIdx.x == 0) slice.count = count, slice.broken = broken;
}

// Philox-4x32-10, as engine/random.cc has it.
__device__ uint64_t RandomBits53(uint64_t seed, uint64_t stream, uint64_t position) {
  uint32_t c0 = static_cast<uint32_t>(position), c1 = static_cast<uint32_t>(position >> 32);
  uint32_t c2 = static_cast<uint32_t>(stream), c3 = static_cast<uint32_t>(stream >> 32);
  uint32_t k0 = static_cast<uint32_t>(seed), k1 = static_cast<uint32_t>(seed >> 32);
  for (int round = 0; round < 10; ++round) {
    const uint64_t p0 = uint64_t{0xD2511F53u} * c0, p1 = uint64_t{0xCD9E8D57u} * c2;
    const uint32_t n0 = static_cast<uint32_t>(p1 >> 32) ^ c1 ^ k0, n2 = static_cast<uint32_t>(p0 >> 32) ^ c3 ^ k1;
    c0 = n0, c1 = static_cast<uint32_t>(p1), c2 = n2, c3 = static_cast<uint32_t>(p0);
    k0 += 0x9E3779B9u, k1 += 0xBB67AE85u;
  }
  return (uint64_t{c0} << 32 | c1) >> 11;
}

// The draw among `count` candidates, falling, as CandidateSet does it: top_p, then min_p, then one number.
__device__ int32_t Draw(const SamplingRow& row, const Candidate* candidates, int count) {
  const auto weight = [&](int i) {
    const double distance =
        (static_cast<double>(candidates[0].logit) - static_cast<double>(candidates[i].logit)) / row.temperature;
    return static_cast<double>(expf(-static_cast<float>(distance)));
  };
  double total = 0;
  for (int i = 0; i < count; ++i) total += weight(i);
  if (row.top_p < 1) {
    const double target = row.top_p * total;
    double sum = 0;
    int kept = 0;
    while (kept < count) {
      sum += weight(kept++);
      if (sum >= target) break;
    }
    count = kept;
  }
  if (row.min_p > 0) {
    while (count > 1 && weight(count - 1) < row.min_p) --count;
  }
  total = 0;
  for (int i = 0; i < count; ++i) total += weight(i);
  const double uniform = static_cast<double>(RandomBits53(row.seed, row.stream, row.drawn)) * 0x1p-53;
  const double target = uniform * total;
  double sum = 0;
  int32_t chosen = candidates[0].id;
  for (int i = 0; i < count; ++i) {
    const double w = weight(i);
    if (w == 0) continue;
    chosen = candidates[i].id;
    sum += w;
    if (sum > target) break;
  }
  return chosen;
}

// The likeliest of the row's slices, merged, of which warp 0 needs `wanted`: lane l holds the heads of the slices l and
// l + 32. Returns how many there are.
__device__ int MergeSlices(const Slice* slices, int wanted, Candidate* kept) {
  const int lane = static_cast<int>(threadIdx.x % 32);
  int head[2] = {0, 0};
  int count = 0;
  for (; count < wanted; ++count) {
    Candidate mine = {-INFINITY, INT32_MAX};
    for (int half = 0; half < 2; ++half) {
      const Slice& slice = slices[lane + 32 * half];
      if (head[half] < slice.count && Likelier(slice.candidates[head[half]], mine)) mine = slice.candidates[head[half]];
    }
    const Candidate best = WarpLikeliest(mine);
    if (best.id == INT32_MAX) break;
    for (int half = 0; half < 2; ++half) {
      const Slice& slice = slices[lane + 32 * half];
      if (head[half] < slice.count && slice.candidates[head[half]].id == best.id) ++head[half];
    }
    if (lane == 0) kept[count] = best;
  }
  __syncwarp();
  return count;
}

// One block a row; only wide draws need more than its first warp.
__global__ void __launch_bounds__(kWideThreads) Choose(SampleArgs args) {
  __shared__ Candidate kept[kFewCandidates];
  __shared__ WideShared wide;
  __shared__ int found;
  const int64_t row = blockIdx.x, slot = SlotOf(args, row);
  SamplingRow& choice = args.rows[slot];
  const bool is_wide = IsWide(choice, args.vocab_end);
  const int lane = static_cast<int>(threadIdx.x % 32);
  if (!is_wide && threadIdx.x >= 32) return;
  const Slice* slices = reinterpret_cast<const Slice*>(args.scratch) + row * kSlices;
  const bool broken = __any_sync(0xffffffffu, slices[lane].broken != 0 || slices[lane + 32].broken != 0) != 0;
  int count = 0;
  if (threadIdx.x < 32) count = MergeSlices(slices, Wanted(choice, args.vocab_end), kept);
  int32_t token = -1;
  if (is_wide) {
    if (threadIdx.x == 0) found = count;
    __syncthreads();
    count = found;
    if (!broken && count > 0) {
      const float* logits = args.logits + row * args.logits_stride;
      token = DrawWide(
          wide, choice, [&](int32_t id) { return Adjusted(args, choice, slot, logits[id], id); },
          static_cast<int32_t>(args.vocab_end), kept[0].logit, RandomBits53(choice.seed, choice.stream, choice.drawn),
          kMostRanked);
    }
    __syncthreads();  // all have read what the first thread changes now
  }
  if (threadIdx.x != 0) return;
  if (!broken && count > 0) {
    if (!is_wide) token = choice.temperature == 0 ? kept[0].id : Draw(choice, kept, count);
    ++choice.drawn;
    if (choice.penalizes != 0) {
      args.seen[slot * args.vocab_end + token] = 1;
      ++args.answer_counts[slot * args.vocab_end + token];
    }
  }
  // A token that stands for "broken" must not be read as an embedding row by a step that is already queued.
  args.tokens[row] = token;
  if (args.host_tokens != nullptr) args.host_tokens[row] = token;
}

}  // namespace

Status LaunchSample(const SampleArgs& args, Stream stream) {
  const int64_t slice = CeilDiv(args.vocab_end, int64_t{kSlices});
  const int64_t shared = slice * static_cast<int64_t>(sizeof(float));
  if (shared > kMostSharedBytes) return Unsupported("sample: a vocabulary of more than 1.6 million tokens");
  QNEXT_RETURN_IF_ERROR(
      LaunchKernel("sample_slices", LikeliestOfSlice,
                   {.blocks_x = kSlices, .blocks_y = args.m, .threads_x = kSliceThreads, .shared_bytes = shared},
                   stream, args, slice));
  return LaunchKernel("sample_choose", Choose, {.blocks_x = args.m, .threads_x = kWideThreads}, stream, args);
}

}  // namespace qnext::cuda
