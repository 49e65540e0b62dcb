#include "hw/memory_probe.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>

#include "base/aligned_buffer.h"

namespace qnext {
namespace {

using Lanes = uint64_t __attribute__((vector_size(32)));

// Sums a piece with enough independent accumulators that loads, not additions, set the pace.
uint64_t SumPiece(const std::byte* data, int64_t bytes) {
  constexpr int kAccumulators = 8;
  Lanes sums[kAccumulators] = {};
  for (int64_t at = 0; at + static_cast<int64_t>(sizeof(sums)) <= bytes; at += static_cast<int64_t>(sizeof(sums))) {
    for (int i = 0; i < kAccumulators; ++i) {
      Lanes lanes;
      std::memcpy(&lanes, data + at + i * static_cast<int64_t>(sizeof(Lanes)), sizeof(lanes));
      sums[i] += lanes;
    }
  }
  uint64_t total = 0;
  for (const Lanes& lanes : sums) total += lanes[0] + lanes[1] + lanes[2] + lanes[3];
  return total;
}

}  // namespace

MemoryRate MeasureMemoryRead(ThreadPool& pool, int64_t bytes, int repeats) {
  constexpr int64_t kPiece = int64_t{1} << 20;
  const int64_t pieces = std::max<int64_t>(1, bytes / kPiece);
  AlignedBuffer<std::byte> memory(pieces * kPiece);
  std::atomic<uint64_t> sink{0};  // keeps the reads from being optimised away
  std::vector<double> rates;
  for (int i = 0; i <= repeats; ++i) {
    const auto start = std::chrono::steady_clock::now();
    pool.ParallelFor(pieces, std::max<int64_t>(1, pieces / (8 * pool.threads())), [&](Range part, int) {
      sink.fetch_add(SumPiece(memory.data() + part.begin * kPiece, part.size() * kPiece), std::memory_order_relaxed);
    });
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
    if (i > 0) rates.push_back(static_cast<double>(memory.size()) / elapsed.count() * 1e-9);  // the first one warms up
  }
  std::ranges::sort(rates);
  return {.threads = pool.threads(),
          .median_gb_per_s = rates[rates.size() / 2],
          .min_gb_per_s = rates.front(),
          .max_gb_per_s = rates.back()};
}

}  // namespace qnext
