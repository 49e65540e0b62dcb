// The instructions that CUDA C++ has no name for. Nothing else in kernels/ holds PTX; all of it is there from compute
// capability 8.0 on.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

namespace qnext::cuda {

// Weights pass through once: read-only loads that do not displace the activations in L1. Outside (`inside` false)
// nothing is read and every word is `otherwise`.
__device__ inline uint32_t LoadStream4(const void* p, bool inside, uint32_t otherwise) {
  uint32_t v;
  asm volatile(
      "{\n .reg .pred p;\n setp.ne.s32 p, %2, 0;\n mov.b32 %0, %3;\n"
      " @p ld.global.nc.L1::no_allocate.u32 %0, [%1];\n}"
      : "=&r"(v)
      : "l"(p), "r"(static_cast<int>(inside)), "r"(otherwise));
  return v;
}

__device__ inline uint2 LoadStream8(const void* p, bool inside, uint32_t otherwise) {
  uint2 v;
  asm volatile(
      "{\n .reg .pred p;\n setp.ne.s32 p, %3, 0;\n mov.b32 %0, %4;\n mov.b32 %1, %4;\n"
      " @p ld.global.nc.L1::no_allocate.v2.u32 {%0, %1}, [%2];\n}"
      : "=&r"(v.x), "=&r"(v.y)
      : "l"(p), "r"(static_cast<int>(inside)), "r"(otherwise));
  return v;
}

__device__ inline uint4 LoadStream16(const void* p, bool inside, uint32_t otherwise) {
  uint4 v;
  asm volatile(
      "{\n .reg .pred p;\n setp.ne.s32 p, %5, 0;\n mov.b32 %0, %6;\n mov.b32 %1, %6;\n mov.b32 %2, %6;\n"
      " mov.b32 %3, %6;\n @p ld.global.nc.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4];\n}"
      : "=&r"(v.x), "=&r"(v.y), "=&r"(v.z), "=&r"(v.w)
      : "l"(p), "r"(static_cast<int>(inside)), "r"(otherwise));
  return v;
}

// (a ^ b) & c. The compiler would spend two instructions.
__device__ inline uint32_t XorAnd(uint32_t a, uint32_t b, uint32_t c) {
  uint32_t v;
  asm("lop3.b32 %0, %1, %2, %3, 0x28;" : "=r"(v) : "r"(a), "r"(b), "r"(c));
  return v;
}

// c += a · b: 16 rows of 32 signed bytes times 8 columns of 32 signed bytes, exact in int32. Lane 4g+t holds
//   a: row g, bytes 4t..4t+3 | row g+8, the same | row g, bytes 16+4t..19+4t | row g+8, the same
//   b: column g, bytes 4t..4t+3 | bytes 16+4t..19+4t
//   c: row g, columns 2t and 2t+1 | row g+8, columns 2t and 2t+1
__device__ inline void MultiplyBytes(int32_t (&c)[4], const uint4& a, const uint2& b) {
  asm("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+r"(c[0]), "+r"(c[1]), "+r"(c[2]), "+r"(c[3])
      : "r"(a.x), "r"(a.y), "r"(a.z), "r"(a.w), "r"(b.x), "r"(b.y));
}

// c += a · b: 16 rows of 16 halves times 8 columns of 16 halves, float32 sums. Lane 4g+t holds
//   a: row g, halves 2t, 2t+1 | row g+8, the same | row g, halves 8+2t, 9+2t | row g+8, the same
//   b: column g, halves 2t, 2t+1 | halves 8+2t, 9+2t          c: as above
__device__ inline void MultiplyBF16(float (&c)[4], const uint4& a, const uint2& b) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, "
      "%3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a.x), "r"(a.y), "r"(a.z), "r"(a.w), "r"(b.x), "r"(b.y));
}

__device__ inline void MultiplyF16(float (&c)[4], const uint4& a, const uint2& b) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, "
      "%3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a.x), "r"(a.y), "r"(a.z), "r"(a.w), "r"(b.x), "r"(b.y));
}

// Copies to shared memory that run beside the computation. Outside (`inside` false) zeros are written and nothing is
// read; `from` must be a valid address all the same.
__device__ inline void CopyAsync16(void* to, const void* from, bool inside) {
  const uint32_t shared = static_cast<uint32_t>(__cvta_generic_to_shared(to));
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared), "l"(from), "r"(inside ? 16 : 0)
               : "memory");
}

__device__ inline void CopyAsync4(void* to, const void* from, bool inside) {
  const uint32_t shared = static_cast<uint32_t>(__cvta_generic_to_shared(to));
  asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(shared), "l"(from), "r"(inside ? 4 : 0) : "memory");
}

__device__ inline void CommitCopies() { asm volatile("cp.async.commit_group;" ::: "memory"); }

// Waits until at most `kPending` of this thread's newest groups of copies are under way.
template <int kPending>
__device__ inline void WaitForCopies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
}

// The dynamic shared memory of the block.
__device__ inline uint8_t* SharedMemory() {
  extern __shared__ uint4 qnext_shared_memory[];
  return reinterpret_cast<uint8_t*>(qnext_shared_memory);
}

}  // namespace qnext::cuda
