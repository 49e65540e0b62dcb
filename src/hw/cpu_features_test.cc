#include "hw/cpu_features.h"

#include <gtest/gtest.h>

namespace qnext {
namespace {

// A processor with everything, under an operating system that saves every register set.
CpuidLeaves Everything() {
  CpuidLeaves leaves;
  leaves.leaf1_ecx = (1u << 12) | (1u << 27) | (1u << 28) | (1u << 29);
  leaves.leaf7_ebx = (1u << 5) | (1u << 16) | (1u << 17) | (1u << 30) | (1u << 31);
  leaves.leaf7_ecx = 1u << 11;
  leaves.leaf7_edx = (1u << 24) | (1u << 25);
  leaves.leaf7_1_eax = (1u << 4) | (1u << 5);
  leaves.xcr0 = 0x600e7;
  return leaves;
}

TEST(CpuFeatures, NamesEverything) {
  EXPECT_EQ(DecodeCpuFeatures(Everything()).ToString(), "avx2 avx-vnni avx512 avx512-vnni avx512-bf16");
  EXPECT_EQ(DecodeCpuFeatures({}).ToString(), "none");
}

TEST(CpuFeatures, RegistersThatTheSystemDoesNotSaveDoNotCount) {
  CpuidLeaves leaves = Everything();
  leaves.xcr0 = 0x60007;  // no mask or zmm state
  EXPECT_EQ(DecodeCpuFeatures(leaves).ToString(), "avx2 avx-vnni");
  leaves.xcr0 = 0x7;
  EXPECT_EQ(DecodeCpuFeatures(leaves).ToString(), "avx2 avx-vnni");
  leaves.xcr0 = 0x3;  // no ymm state
  EXPECT_EQ(DecodeCpuFeatures(leaves).ToString(), "none");
  leaves.xcr0 = 0xe3;  // zmm without ymm makes no sense and must not count
  EXPECT_EQ(DecodeCpuFeatures(leaves).ToString(), "none");
}

TEST(CpuFeatures, EachPartOfACombinationIsNeeded) {
  for (const int bit : {12, 28, 29}) {  // FMA, AVX, F16C
    CpuidLeaves leaves = Everything();
    leaves.leaf1_ecx &= ~(1u << bit);
    EXPECT_FALSE(DecodeCpuFeatures(leaves).avx2) << bit;
    EXPECT_FALSE(DecodeCpuFeatures(leaves).avx512_vnni) << bit;
  }
  for (const int bit : {16, 17, 30, 31}) {  // F, DQ, BW, VL
    CpuidLeaves leaves = Everything();
    leaves.leaf7_ebx &= ~(1u << bit);
    EXPECT_EQ(DecodeCpuFeatures(leaves).ToString(), "avx2 avx-vnni") << bit;
  }
  CpuidLeaves leaves = Everything();
  leaves.leaf7_ecx = 0;
  EXPECT_EQ(DecodeCpuFeatures(leaves).ToString(), "avx2 avx-vnni avx512 avx512-bf16");
}

#if defined(__x86_64__)
TEST(CpuFeatures, AgreesWithTheCompilersOwnDetection) {
  const CpuFeatures features = DetectCpuFeatures();
  __builtin_cpu_init();
  EXPECT_EQ(features.avx2, __builtin_cpu_supports("avx2") != 0 && __builtin_cpu_supports("fma") != 0);
  EXPECT_EQ(features.avx512, __builtin_cpu_supports("avx512f") != 0 && __builtin_cpu_supports("avx512bw") != 0 &&
                                 __builtin_cpu_supports("avx512dq") != 0 && __builtin_cpu_supports("avx512vl") != 0);
  EXPECT_EQ(features.avx512_vnni, features.avx512 && __builtin_cpu_supports("avx512vnni") != 0);
}
#endif

}  // namespace
}  // namespace qnext
