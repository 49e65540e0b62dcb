// What the processor offers, as far as this program uses it.
#pragma once

#include <cstdint>
#include <string>

namespace qnext {

struct CpuFeatures {
  bool avx2 = false;      // with FMA and F16C
  bool avx_vnni = false;  // 256-bit, VEX-encoded
  bool avx512 = false;    // F, BW, DQ, VL
  bool avx512_vnni = false;
  bool avx512_bf16 = false;

  std::string ToString() const;  // "avx2 avx-vnni avx512 avx512-vnni"; "none" without any

  friend bool operator==(const CpuFeatures&, const CpuFeatures&) = default;
};

// Asks the processor and the operating system (which must save the wide registers). Nothing on other architectures
// than x86-64.
CpuFeatures DetectCpuFeatures();

// The registers that DetectCpuFeatures reads, apart so that its rules can be tested with any processor's answers.
struct CpuidLeaves {
  uint32_t leaf1_ecx = 0;
  uint32_t leaf7_ebx = 0;
  uint32_t leaf7_ecx = 0;
  uint32_t leaf7_edx = 0;
  uint32_t leaf7_1_eax = 0;
  uint64_t xcr0 = 0;  // register sets that the operating system saves; 0 without OSXSAVE
};
CpuFeatures DecodeCpuFeatures(const CpuidLeaves& leaves);

}  // namespace qnext
