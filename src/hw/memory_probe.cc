#include "hw/memory_probe.h"

#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <new>
#include <utility>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace qnext {
namespace {

constexpr int64_t kHugePage = int64_t{2} << 20;
constexpr int64_t kPiece = kHugePage;

// Sums a piece with enough independent accumulators that loads, not additions, set the pace.
uint64_t SumWords(const std::byte* data, int64_t bytes) {
  constexpr int64_t kAccumulators = 8;
  uint64_t sums[kAccumulators] = {};
  for (int64_t at = 0; at + kAccumulators * 8 <= bytes; at += kAccumulators * 8) {
    uint64_t words[kAccumulators];
    std::memcpy(words, data + at, sizeof(words));
    for (int64_t i = 0; i < kAccumulators; ++i) sums[i] += words[i];
  }
  uint64_t total = 0;
  for (const uint64_t sum : sums) total += sum;
  return total;
}

#if defined(__x86_64__)
// The loads that the products use: narrower ones keep a fast core from its memory's rate.
__attribute__((target("avx2"))) uint64_t SumAvx2(const std::byte* data, int64_t bytes) {
  constexpr int64_t kAccumulators = 4, kWidth = sizeof(__m256i);
  __m256i sums[kAccumulators] = {};
  for (int64_t at = 0; at + kAccumulators * kWidth <= bytes; at += kAccumulators * kWidth) {
    for (int64_t i = 0; i < kAccumulators; ++i) {
      const auto* from = reinterpret_cast<const __m256i*>(data + at + i * kWidth);
      sums[i] = _mm256_add_epi64(sums[i], _mm256_loadu_si256(from));
    }
  }
  const __m256i sum = _mm256_add_epi64(_mm256_add_epi64(sums[0], sums[1]), _mm256_add_epi64(sums[2], sums[3]));
  uint64_t words[4];
  std::memcpy(words, &sum, sizeof(words));
  return words[0] + words[1] + words[2] + words[3];
}
#endif

// `prefetch`: ask for each line some pages ahead, which lets some processors read more than their own prefetchers do
// and others less.
uint64_t SumPiece(const std::byte* data, int64_t bytes, bool prefetch) {
  constexpr int64_t kBlock = 4096, kAhead = 4096;
  uint64_t sum = 0;
  for (int64_t at = 0; at < bytes; at += kBlock) {
    if (prefetch && at + kAhead < bytes) {
      for (int64_t line = 0; line < kBlock; line += 64) __builtin_prefetch(data + at + kAhead + line);
    }
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2") != 0) {
      sum += SumAvx2(data + at, kBlock);
      continue;
    }
#endif
    sum += SumWords(data + at, kBlock);
  }
  return sum;
}

void WritePiece(std::byte* to, int64_t bytes) {
#if defined(__x86_64__)
  const __m128i zero = _mm_setzero_si128();
  for (int64_t at = 0; at < bytes; at += 16) _mm_stream_si128(reinterpret_cast<__m128i*>(to + at), zero);
  _mm_sfence();
#else
  std::memset(to, 0, static_cast<size_t>(bytes));
#endif
}

void CopyPiece(std::byte* to, const std::byte* from, int64_t bytes) {
#if defined(__x86_64__)
  for (int64_t at = 0; at < bytes; at += 16) {
    _mm_stream_si128(reinterpret_cast<__m128i*>(to + at), _mm_load_si128(reinterpret_cast<const __m128i*>(from + at)));
  }
  _mm_sfence();
#else
  std::memcpy(to, from, static_cast<size_t>(bytes));
#endif
}

}  // namespace

ProbeMemory::ProbeMemory(int64_t bytes, ThreadPool& pool) : size_(RoundUp(bytes, 2 * kHugePage)) {
  void* mapped =
      ::mmap(nullptr, static_cast<size_t>(size_), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) throw std::bad_alloc();
  data_ = static_cast<std::byte*>(mapped);
  ::madvise(data_, static_cast<size_t>(size_), MADV_HUGEPAGE);  // advice: the figures are those of what was granted
  pool.ParallelFor(size_ / kPiece, 1, [&](Range pieces, int) {
    std::memset(data_ + pieces.begin * kPiece, 1, static_cast<size_t>(pieces.size() * kPiece));
  });
}

ProbeMemory::~ProbeMemory() {
  if (data_ != nullptr) ::munmap(data_, static_cast<size_t>(size_));
}

ProbeMemory::ProbeMemory(ProbeMemory&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

int64_t BytesMoved(MemoryOperation operation, const ProbeMemory& memory) {
  return operation == MemoryOperation::kCopy ? memory.size() / 2 : memory.size();
}

namespace {

double MeasurePass(MemoryOperation operation, bool prefetch, ProbeMemory& memory, ThreadPool& pool) {
  const int64_t bytes = BytesMoved(operation, memory);
  std::atomic<uint64_t> sink{0};  // keeps the reads from being optimised away
  const auto start = std::chrono::steady_clock::now();
  pool.ParallelFor(bytes / kPiece, 1, [&](Range pieces, int) {
    std::byte* at = memory.data() + pieces.begin * kPiece;
    const int64_t size = pieces.size() * kPiece;
    switch (operation) {
      case MemoryOperation::kRead:
        sink.fetch_add(SumPiece(at, size, prefetch), std::memory_order_relaxed);
        break;
      case MemoryOperation::kWrite:
        WritePiece(at, size);
        break;
      case MemoryOperation::kCopy:
        CopyPiece(at + bytes, at, size);
        break;
    }
  });
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
  return static_cast<double>(bytes) / elapsed.count();
}

}  // namespace

double MeasureMemory(MemoryOperation operation, ProbeMemory& memory, ThreadPool& pool) {
  const double rate = MeasurePass(operation, /*prefetch=*/false, memory, pool);
  if (operation != MemoryOperation::kRead) return rate;
  return std::max(rate, MeasurePass(operation, /*prefetch=*/true, memory, pool));
}

std::vector<double> MeasureMemory(MemoryOperation operation, ProbeMemory& memory, ThreadPool& pool, int repeats) {
  MeasureMemory(operation, memory, pool);
  std::vector<double> rates;
  for (int i = 0; i < repeats; ++i) rates.push_back(MeasureMemory(operation, memory, pool));
  return rates;
}

void ReadUntil(const std::atomic<bool>& stop, const ProbeMemory& memory, Range part, bool prefetch, ThreadPool& pool,
               std::atomic<int64_t>& read) {
  const int64_t first = part.begin / kPiece, pieces = part.size() / kPiece;
  if (pieces <= 0) return;
  std::atomic<int64_t> next{0};
  std::atomic<uint64_t> sink{0};
  pool.ParallelFor(pool.threads(), 1, [&](Range, int) {
    uint64_t sum = 0;
    while (!stop.load(std::memory_order_relaxed)) {
      const int64_t piece = first + next.fetch_add(1, std::memory_order_relaxed) % pieces;
      sum += SumPiece(memory.data() + piece * kPiece, kPiece, prefetch);
      read.fetch_add(kPiece, std::memory_order_relaxed);
    }
    sink.fetch_add(sum, std::memory_order_relaxed);
  });
}

}  // namespace qnext
