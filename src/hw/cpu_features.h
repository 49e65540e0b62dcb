// What the processor offers, as far as this program uses it.
#pragma once

#include <string>

namespace qnext {

struct CpuFeatures {
  bool avx2 = false;      // with FMA and F16C
  bool avx_vnni = false;  // 256-bit, VEX-encoded
  bool avx512 = false;    // F, BW, DQ, VL
  bool avx512_vnni = false;
  bool avx512_bf16 = false;
  bool amx_int8 = false;

  std::string ToString() const;  // "avx2 avx-vnni avx512-vnni"
};

// Asks the processor and the operating system (which must save the wide registers).
CpuFeatures DetectCpuFeatures();

}  // namespace qnext
