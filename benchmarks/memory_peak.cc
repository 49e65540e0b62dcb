#include "memory_peak.h"

#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <ctime>

#include "base/check.h"
#include "base/range.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace qnext {
namespace {

constexpr int64_t kHugePage = int64_t{2} << 20;

#if defined(__x86_64__)
__attribute__((target("avx2"))) uint64_t SumAvx2(const std::byte* p, int64_t bytes) {
  __m256i sums[4] = {};
  for (int64_t i = 0; i + 128 <= bytes; i += 128) {
    for (int64_t k = 0; k < 4; ++k) {
      const auto* at = reinterpret_cast<const __m256i*>(p + i + 32 * k);
      sums[k] = _mm256_add_epi64(sums[k], _mm256_loadu_si256(at));
    }
  }
  const __m256i sum = _mm256_add_epi64(_mm256_add_epi64(sums[0], sums[1]), _mm256_add_epi64(sums[2], sums[3]));
  uint64_t words[4];
  std::memcpy(words, &sum, sizeof(words));
  return words[0] + words[1] + words[2] + words[3];
}
#endif

uint64_t Sum(const std::byte* p, int64_t bytes) {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2") != 0) return SumAvx2(p, bytes);
#endif
  uint64_t sums[4] = {};
  const auto* words = reinterpret_cast<const uint64_t*>(p);
  for (int64_t i = 0; i + 4 <= bytes / 8; i += 4) {
    for (int64_t k = 0; k < 4; ++k) sums[k] += words[i + k];
  }
  return sums[0] + sums[1] + sums[2] + sums[3];
}

}  // namespace

HugeBuffer::HugeBuffer(int64_t bytes) : size_(bytes) {
  const auto rounded = static_cast<size_t>(RoundUp(bytes, kHugePage));
  data_.reset(static_cast<std::byte*>(std::aligned_alloc(static_cast<size_t>(kHugePage), rounded)));
  QNEXT_CHECK(data_ != nullptr, "out of memory");
  madvise(data_.get(), rounded, MADV_HUGEPAGE);  // a hint: without it the figures are those of small pages
  std::fill(data_.get(), data_.get() + rounded, std::byte{0});
}

void HugeBuffer::Free::operator()(std::byte* p) const { std::free(p); }

Stopwatch::Stopwatch(int threads) : cpu_time_(threads == 1), begin_(Now()) {}

double Stopwatch::Now() const {
  timespec now = {};
  QNEXT_CHECK(clock_gettime(cpu_time_ ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &now) == 0, "no clock");
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

double Stopwatch::Seconds() const { return Now() - begin_; }

double MeasureReadRate(std::span<const std::byte> bytes, ThreadPool& pool) {
  constexpr int64_t kPart = int64_t{4} << 20;
  const auto size = static_cast<int64_t>(bytes.size());
  std::atomic<uint64_t> total{0};
  const Stopwatch stopwatch(pool.threads());
  pool.ParallelFor(CeilDiv(size, kPart), 1, [&](Range parts, int) {
    const int64_t first = parts.begin * kPart, last = std::min(size, parts.end * kPart);
    total += Sum(bytes.data() + first, last - first);
  });
  const double seconds = stopwatch.Seconds();
  QNEXT_CHECK(total != 1, "keeps the sum alive");
  return static_cast<double>(size) / seconds;
}

}  // namespace qnext
