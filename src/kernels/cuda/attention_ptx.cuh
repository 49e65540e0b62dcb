// The instructions of the attention kernels that CUDA C++ has no name for; all there from compute capability 8.0 on,
// but for one that says so.
#pragma once

#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <cstdint>

namespace qnext::cuda::attention {

__device__ inline uint32_t SharedAddress(const void* p) { return static_cast<uint32_t>(__cvta_generic_to_shared(p)); }

// 16 or 4 bytes to shared memory beside the computation; zeros where not `inside`, and then nothing is read.
__device__ inline void CopyAsync(uint32_t to, const void* from, bool inside) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(inside ? 16 : 0) : "memory");
}
__device__ inline void CopyAsync4(uint32_t to, const void* from, bool inside) {
  asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(to), "l"(from), "r"(inside ? 4 : 0) : "memory");
}
__device__ inline void CommitCopies() { asm volatile("cp.async.commit_group;" ::: "memory"); }
// Until at most kPending of this thread's newest groups are under way.
template <int kPending>
__device__ inline void WaitForCopies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
}

// Four matrices of 8 rows of 16 bytes; lane i gives the address of row i % 8 of matrix i / 8. Lane 4g+t gets of each
// matrix the 32-bit word t of row g; transposed, the 16-bit halves g of rows 2t (low) and 2t+1.
__device__ inline void LoadMatrices(uint32_t (&r)[4], uint32_t address) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(address)
               : "memory");
}
__device__ inline void LoadMatricesTransposed(uint32_t (&r)[4], uint32_t address) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(address)
               : "memory");
}

__device__ inline uint32_t LoadShared(uint32_t address) {
  uint32_t word;
  asm volatile("ld.shared.u32 %0, [%1];" : "=r"(word) : "r"(address) : "memory");
  return word;
}

// c += a b, 16 x 16 times 16 x 8 with float32 sums. Lane 4g+t holds
//   a  row g, columns 2t and 2t+1 | row g+8, the same | row g, columns 2t+8 and 2t+9 | row g+8, the same
//   b  column g, rows 2t and 2t+1 | rows 2t+8 and 2t+9
//   c  row g, columns 2t and 2t+1 | row g+8, the same
__device__ inline void MultiplyF16(float (&c)[4], const uint4& a, const uint2& b) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, "
      "%3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a.x), "r"(a.y), "r"(a.z), "r"(a.w), "r"(b.x), "r"(b.y));
}
__device__ inline void MultiplyBF16(float (&c)[4], const uint4& a, const uint2& b) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, "
      "%3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a.x), "r"(a.y), "r"(a.z), "r"(a.w), "r"(b.x), "r"(b.y));
}

// The two E4M3 numbers in the low half of `codes` as F16, which holds all of them; NaN stays NaN.
__device__ inline uint32_t E4M3PairToF16(uint32_t codes) {
#if __CUDA_ARCH__ >= 890
  uint32_t pair;
  asm("cvt.rn.f16x2.e4m3x2 %0, %1;" : "=r"(pair) : "h"(static_cast<uint16_t>(codes)));
  return pair;
#else
  // As F16 bits, exponent and mantissa of E4M3 mean 2^-8 of their value, subnormals included.
  const uint32_t spread = __byte_perm(codes, 0, 0x1404);  // the bytes as the upper halves of 16 bits
  const uint32_t bits = (spread & 0x80008000u) | ((spread >> 1) & 0x3f803f80u);
  const __half2 value = __hmul2(reinterpret_cast<const __half2&>(bits), __float2half2_rn(256.0f));
  // The code of NaN has come out as 480, beyond the largest number.
  const uint32_t nan = __hgt2_mask(__habs2(value), __float2half2_rn(448.0f));
  return reinterpret_cast<const uint32_t&>(value) | (nan & 0x7fff7fffu);
#endif
}

// Two bytes of `codes` (selected from its four, with 0x64 between) as F16: signed 8-bit numbers, exactly.
template <uint32_t kSelect>
__device__ inline uint32_t BytesToF16(uint32_t codes_with_flipped_signs) {
  // 0x6400 + b is 1024 + b.
  const uint32_t bits = __byte_perm(codes_with_flipped_signs, 0x64646464u, kSelect);
  const __half2 value = __hsub2(reinterpret_cast<const __half2&>(bits), __float2half2_rn(1152.0f));
  return reinterpret_cast<const uint32_t&>(value);
}

}  // namespace qnext::cuda::attention
