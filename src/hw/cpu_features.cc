#include "hw/cpu_features.h"

#include <string_view>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace qnext {
namespace {

constexpr bool Bit(uint64_t word, int bit) { return ((word >> bit) & 1u) != 0; }

constexpr int kOsxsaveBit = 27;  // leaf 1, ecx

#if defined(__x86_64__)
CpuidLeaves ReadLeaves() {
  CpuidLeaves leaves;
  uint32_t eax = 0, ebx = 0, ecx = 0, edx = 0;
  if (__get_cpuid(1, &eax, &ebx, &ecx, &edx) == 0) return leaves;
  leaves.leaf1_ecx = ecx;
  uint32_t last_subleaf = 0;
  if (__get_cpuid_count(7, 0, &last_subleaf, &ebx, &ecx, &edx) != 0) {
    leaves.leaf7_ebx = ebx;
    leaves.leaf7_ecx = ecx;
    leaves.leaf7_edx = edx;
    if (last_subleaf >= 1 && __get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx) != 0) leaves.leaf7_1_eax = eax;
  }
  if (Bit(leaves.leaf1_ecx, kOsxsaveBit)) {
    uint32_t low = 0, high = 0;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    leaves.xcr0 = (uint64_t{high} << 32) | low;
  }
  return leaves;
}
#else
CpuidLeaves ReadLeaves() { return {}; }
#endif

}  // namespace

CpuFeatures DecodeCpuFeatures(const CpuidLeaves& leaves) {
  const bool os_avx = (leaves.xcr0 & 0x6u) == 0x6u;                 // xmm and ymm
  const bool os_avx512 = os_avx && (leaves.xcr0 & 0xe0u) == 0xe0u;  // mask registers, zmm and the upper sixteen

  CpuFeatures features;
  const bool fma = Bit(leaves.leaf1_ecx, 12), avx = Bit(leaves.leaf1_ecx, 28), f16c = Bit(leaves.leaf1_ecx, 29);
  features.avx2 = os_avx && avx && fma && f16c && Bit(leaves.leaf7_ebx, 5);
  features.avx_vnni = features.avx2 && Bit(leaves.leaf7_1_eax, 4);
  const bool f = Bit(leaves.leaf7_ebx, 16), dq = Bit(leaves.leaf7_ebx, 17), bw = Bit(leaves.leaf7_ebx, 30),
             vl = Bit(leaves.leaf7_ebx, 31);
  features.avx512 = features.avx2 && os_avx512 && f && dq && bw && vl;
  features.avx512_vnni = features.avx512 && Bit(leaves.leaf7_ecx, 11);
  features.avx512_bf16 = features.avx512 && Bit(leaves.leaf7_1_eax, 5);
  return features;
}

CpuFeatures DetectCpuFeatures() { return DecodeCpuFeatures(ReadLeaves()); }

std::string CpuFeatures::ToString() const {
  std::string text;
  const auto add = [&text](bool present, std::string_view name) {
    if (!present) return;
    if (!text.empty()) text += ' ';
    text += name;
  };
  add(avx2, "avx2");
  add(avx_vnni, "avx-vnni");
  add(avx512, "avx512");
  add(avx512_vnni, "avx512-vnni");
  add(avx512_bf16, "avx512-bf16");
  return text.empty() ? "none" : text;
}

}  // namespace qnext
