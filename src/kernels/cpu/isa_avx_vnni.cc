// The matrix products compiled for AVX2, FMA, F16C and AVX-VNNI (flags: src/kernels/CMakeLists.txt).
#define QNEXT_ISA isa_avx_vnni
#define QNEXT_ISA_HAS_VNNI

// clang-format off: the vectors come first
#include "kernels/cpu/vec_avx2-inl.h"
// clang-format on
#include "kernels/cpu/dense_matmul-inl.h"
#include "kernels/cpu/int4_f32-inl.h"
#include "kernels/cpu/int4_i8-inl.h"
#include "kernels/cpu/int8_matmul-inl.h"
#include "kernels/cpu/quantize_rows-inl.h"
