// The C library's allocation functions, replaced for the whole program by counting ones (a replacement that glibc
// documents and supports). They do the work through glibc's own entry points.
#include "allocation_counter.h"

#include <atomic>
#include <cerrno>
#include <cstddef>

#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define QNEXT_COUNT_ALLOCATIONS 1
#else
#define QNEXT_COUNT_ALLOCATIONS 0
#endif

namespace {

constinit std::atomic<bool> counting{false};
constinit std::atomic<int64_t> allocations{0};

}  // namespace

#if QNEXT_COUNT_ALLOCATIONS

namespace {

void CountOne() {
  if (counting.load(std::memory_order_relaxed)) allocations.fetch_add(1, std::memory_order_relaxed);
}

}  // namespace

extern "C" {

void* __libc_malloc(size_t size);
void* __libc_calloc(size_t count, size_t size);
void* __libc_realloc(void* old, size_t size);
void* __libc_memalign(size_t alignment, size_t size);

void* malloc(size_t size) {
  CountOne();
  return __libc_malloc(size);
}

void* calloc(size_t count, size_t size) {
  CountOne();
  return __libc_calloc(count, size);
}

void* realloc(void* old, size_t size) {
  CountOne();
  return __libc_realloc(old, size);
}

void* memalign(size_t alignment, size_t size) {
  CountOne();
  return __libc_memalign(alignment, size);
}

void* aligned_alloc(size_t alignment, size_t size) { return memalign(alignment, size); }

int posix_memalign(void** out, size_t alignment, size_t size) {
  void* data = memalign(alignment, size);
  if (data == nullptr) return ENOMEM;
  *out = data;
  return 0;
}

}  // extern "C"

#endif

namespace qnext {

bool AllocationsAreCounted() { return QNEXT_COUNT_ALLOCATIONS != 0; }

AllocationCount::AllocationCount() {
  allocations = 0;
  counting = true;
}

AllocationCount::~AllocationCount() { counting = false; }

int64_t AllocationCount::count() const { return allocations; }

}  // namespace qnext
