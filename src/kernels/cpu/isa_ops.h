// The matrix products as the per-ISA files see them: plain structs and function declarations.
//
// A file compiled with wide ISA flags must not instantiate an inline function that other files use too: the linker
// keeps one copy, and it might be the one that older processors cannot run. So those files include this header and
// their -inl.h files only, which hold no shared inline code, and cpu_kernels.cc translates the arguments of kernels.h
// into these jobs. Items are counted from begin to end as in kernels.h.
#pragma once

#include <cstdint>

namespace qnext {

// One packed int4 matrix (quant/int4_matrix.h). A "run" is 32 inputs.
struct Int4Weight {
  const uint8_t* codes;    // [tiles][runs*4][64]
  const uint16_t* scales;  // [tiles][groups][16]
  const uint8_t* zeros;    // [tiles][groups][16], or null: every zero point is 8
  int64_t out;
  int64_t runs;            // in_padded / 32
  int64_t runs_per_group;  // the last group may have fewer
  int64_t groups;
  bool bf16_scales;
};

struct Int4I8Job {
  Int4Weight weight;
  const int8_t* codes;  // [m][runs*32]
  const float* scales;  // [m][runs]
  const int32_t* sums;  // [m][runs]
  float* y;             // [m][out], rows y_stride apart
  int64_t m, y_stride;
  const void* next;  // what is read after this job, or null
};

struct Int4F32Job {
  Int4Weight weight;
  const float* x;  // [m][runs*32], rows x_stride apart
  float* y;        // [m][out], rows y_stride apart
  int64_t m, x_stride, y_stride;
};

// One packed int8 matrix (quant/int8_matrix.h) and its int8 activations.
struct Int8Job {
  const int8_t* weight;        // [tiles][runs*8][64]
  const float* weight_scales;  // [tiles][groups][16]
  const int8_t* codes;         // [m][runs*32]
  const float* scales;         // [m][runs]
  const int32_t* sums;         // [m][runs]
  float* y;                    // [m][out], rows y_stride apart
  int64_t m, out, runs, y_stride;
};
constexpr int64_t kInt8JobGroupRuns = 4;  // runs that share a weight scale; the last group may have fewer

enum class DenseType : uint8_t { kF32, kF16, kBF16 };

struct DenseJob {
  const float* x;      // [m][in], rows x_stride apart
  const void* weight;  // [out][in]
  float* y;            // [m][out], rows y_stride apart
  int64_t m, in, out, x_stride, y_stride;
  DenseType type;
};

struct QuantizeJob {
  const float* x;              // [m][in], rows x_stride apart
  const int32_t* permutation;  // [in] or null
  int8_t* codes;               // [m][runs*32]
  float* scales;               // [m][runs]
  int32_t* sums;               // [m][runs]
  int64_t in, runs, x_stride;
};

constexpr int64_t kDenseJobRows = 16;  // output rows per item, kDenseBlockRows of kernels.h

#define QNEXT_DECLARE_ISA_OPS(isa)                                       \
  namespace isa {                                                        \
  void QuantizeRows(const QuantizeJob& job, int64_t begin, int64_t end); \
  void Int4MatmulI8(const Int4I8Job& job, int64_t begin, int64_t end);   \
  void Int4MatmulF32(const Int4F32Job& job, int64_t begin, int64_t end); \
  void Int8Matmul(const Int8Job& job, int64_t begin, int64_t end);       \
  void DenseMatmul(const DenseJob& job, int64_t begin, int64_t end);     \
  }
QNEXT_DECLARE_ISA_OPS(isa_generic)
QNEXT_DECLARE_ISA_OPS(isa_avx2)
QNEXT_DECLARE_ISA_OPS(isa_avx_vnni)
QNEXT_DECLARE_ISA_OPS(isa_avx512_vnni)
#undef QNEXT_DECLARE_ISA_OPS

}  // namespace qnext
