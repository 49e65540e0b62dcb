// The vectorised CPU implementations and the choice among them.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "hw/cpu_features.h"
#include "kernels/kernels.h"

namespace qnext {

enum class CpuIsa : uint8_t {
  kGeneric,     // portable C++, float32 sums
  kAvx2,        // AVX2 + FMA + F16C
  kAvxVnni,     // the same with the 256-bit VNNI integer dot product
  kAvx512Vnni,  // AVX-512 F/BW/VL/DQ + VNNI
};

std::string_view CpuIsaName(CpuIsa isa);  // "generic", "avx2", "avx-vnni", "avx512-vnni"
std::optional<CpuIsa> ParseCpuIsa(std::string_view name);

bool CpuIsaSupported(CpuIsa isa, const CpuFeatures& features);
// The best first.
std::vector<CpuIsa> SupportedCpuIsas(const CpuFeatures& features);

// The table of one path, which this machine must support. Except for kGeneric, x86-64 only.
const Kernels& CpuKernels(CpuIsa isa);

// The first of `paths` that passes its known-answer test; the error of the last where none does. Each that fails before
// adds a sentence to `warnings`, if that is not null.
Result<const Kernels*> FirstThatPasses(std::span<const Kernels* const> paths, std::vector<std::string>* warnings);

// The best supported path that passes its known-answer test (or `wanted`, an error when the machine lacks it or the
// test fails). Called once at start.
Result<const Kernels*> SelectCpuKernels(const CpuFeatures& features, std::optional<CpuIsa> wanted,
                                        std::vector<std::string>* warnings = nullptr);

// Runs the quantization, the int4, int8 and dense products of `kernels` on a fixed small problem and compares
// with stored answers, which are exact: the problem's numbers are small integers times powers of two.
Status KnownAnswerTest(const Kernels& kernels);

}  // namespace qnext
