// The int4 x int8 product of many rows compiled for AMX (flags: src/kernels/CMakeLists.txt). Everything else of this
// path is that of AVX-512 VNNI.
#define QNEXT_ISA isa_amx_int8

// clang-format off: the vectors come first
#include "kernels/cpu/vec_avx512-inl.h"
// clang-format on
#include "kernels/cpu/int4_i8_amx-inl.h"

namespace qnext::isa_amx_int8 {

void Int4MatmulI8(const Int4I8Job& job, int64_t begin, int64_t end) {
  // Few rows are bound by memory, which vectors read as fast; a group longer than a chunk is one spanning all inputs.
  constexpr int64_t kFewestRows = 5;
  if (job.m < kFewestRows || job.weight.runs_per_group > kChunkRuns) {
    isa_avx512_vnni::Int4MatmulI8(job, begin, end);
  } else {
    AmxTiles(job, begin, end);
  }
}

}  // namespace qnext::isa_amx_int8
