// The matrix products compiled for AVX-512 F/BW/VL/DQ and VNNI (flags: src/kernels/CMakeLists.txt).
#define QNEXT_ISA isa_avx512_vnni

// clang-format off: the vectors come first
#include "kernels/cpu/vec_avx512-inl.h"
// clang-format on
#include "kernels/cpu/dense_matmul-inl.h"
#include "kernels/cpu/int4_f32-inl.h"
#include "kernels/cpu/int4_i8-inl.h"
#include "kernels/cpu/int8_matmul-inl.h"
#include "kernels/cpu/quantize_rows-inl.h"
