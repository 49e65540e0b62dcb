#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "kernels/reference/kv_row.h"
#include "kernels/reference/reference.h"
#include "kernels/reference/scalar_math.h"

namespace qnext::reference {
namespace {

double Element(const AttentionArgs& args, int64_t kv_head, int64_t position, bool values, int64_t i) {
  return LoadKvElement(args.layout, kv_head, position % kKvPageTokens, values, i, args.pages[position / kKvPageTokens]);
}

// An unnormalised softmax average: values = sum of exp(score - maximum) * v, sum = the same without v.
struct Partial {
  std::vector<double> values;
  double maximum = -std::numeric_limits<double>::infinity();
  double sum = 0;
};

// Query row (t, head) over positions [first, end).
Partial Attend(const AttentionArgs& args, int64_t t, int64_t head, int64_t first, int64_t end) {
  const int64_t size = args.layout.head_dim;
  const int64_t kv_head = head / (args.query_heads / args.layout.kv_heads);
  const float* q = args.q + (t * args.query_heads + head) * size;
  Partial partial = {.values = std::vector<double>(static_cast<size_t>(size))};
  std::vector<double> scores;
  for (int64_t position = first; position < end; ++position) {
    double score = 0;
    for (int64_t i = 0; i < size; ++i) score += q[i] * Element(args, kv_head, position, /*values=*/false, i);
    scores.push_back(score * static_cast<double>(args.scale));
    partial.maximum = std::max(partial.maximum, scores.back());
  }
  for (int64_t position = first; position < end; ++position) {
    const double p = std::exp(scores[static_cast<size_t>(position - first)] - partial.maximum);
    partial.sum += p;
    for (int64_t i = 0; i < size; ++i) {
      partial.values[static_cast<size_t>(i)] += p * Element(args, kv_head, position, /*values=*/true, i);
    }
  }
  return partial;
}

// out = values / sum * sigmoid(gate)
void Finish(const AttentionArgs& args, int64_t t, int64_t head, const Partial& partial) {
  const int64_t size = args.layout.head_dim;
  const float* gate = args.gate + t * args.gate_token_stride + head * args.gate_head_stride;
  float* out = args.out + (t * args.query_heads + head) * size;
  for (int64_t i = 0; i < size; ++i) {
    out[i] = static_cast<float>(partial.values[static_cast<size_t>(i)] / partial.sum * Sigmoid(gate[i]));
  }
}

float* PartialAt(const AttentionArgs& args, int64_t t, int64_t head, int64_t split) {
  return args.partial + ((t * args.query_heads + head) * args.splits + split) * (args.layout.head_dim + 2);
}

// The positions of `split` for a query at `position`: whole pages, as evenly as they go; perhaps none.
Range SplitOf(const AttentionArgs& args, int64_t position, int64_t split) {
  const int64_t pages = CeilDiv(position / kKvPageTokens + 1, args.splits);
  const int64_t first = split * pages * kKvPageTokens;
  return {first, std::clamp(first + pages * kKvPageTokens, first, std::max(first, position + 1))};
}

}  // namespace

void Attention(const AttentionArgs& args, Range items) {
  const int64_t size = args.layout.head_dim;
  const int64_t group = args.query_heads / args.layout.kv_heads;
  for (int64_t item = items.begin; item < items.end; ++item) {
    const int64_t split = item % args.splits;
    const int64_t kv_head = item / args.splits % args.layout.kv_heads;
    const int64_t block = item / args.splits / args.layout.kv_heads;
    const int64_t last = std::min((block + 1) * kAttentionBlockTokens, args.tokens);
    for (int64_t t = block * kAttentionBlockTokens; t < last; ++t) {
      const Range positions = SplitOf(args, args.start + t, split);
      for (int64_t head = kv_head * group; head < (kv_head + 1) * group; ++head) {
        const Partial partial = Attend(args, t, head, positions.begin, positions.end);
        if (args.splits == 1) {
          Finish(args, t, head, partial);
          continue;
        }
        float* out = PartialAt(args, t, head, split);
        for (int64_t i = 0; i < size; ++i) out[i] = static_cast<float>(partial.values[static_cast<size_t>(i)]);
        out[size] = static_cast<float>(partial.maximum);
        out[size + 1] = static_cast<float>(partial.sum);
      }
    }
  }
}

void AttentionCombine(const AttentionArgs& args, Range token_heads) {
  const int64_t size = args.layout.head_dim;
  for (int64_t item = token_heads.begin; item < token_heads.end; ++item) {
    const int64_t t = item / args.query_heads, head = item % args.query_heads;
    Partial total = {.values = std::vector<double>(static_cast<size_t>(size))};
    for (int64_t s = 0; s < args.splits; ++s) {
      total.maximum = std::max(total.maximum, static_cast<double>(PartialAt(args, t, head, s)[size]));
    }
    for (int64_t s = 0; s < args.splits; ++s) {
      const float* partial = PartialAt(args, t, head, s);
      const double weight = std::exp(static_cast<double>(partial[size]) - total.maximum);
      total.sum += weight * static_cast<double>(partial[size + 1]);
      for (int64_t i = 0; i < size; ++i)
        total.values[static_cast<size_t>(i)] += weight * static_cast<double>(partial[i]);
    }
    Finish(args, t, head, total);
  }
}

}  // namespace qnext::reference
