// The vectorised float32 ops of the forward pass: all of Kernels except quantize_rows, gather_rows, int4_matmul_f32,
// int4_matmul_i8 and dense_matmul. Written once in float_ops-inl.h and its parts, compiled once per instruction set.
#pragma once

#include "kernels/kernels.h"

namespace qnext {

// Each fills the pointers of its ops and leaves the others alone. Calling a filled pointer needs the instruction set.
void SetFloatOpsGeneric(Kernels* kernels);  // the compiler's baseline, vectors of 4
void SetFloatOpsAvx2(Kernels* kernels);     // AVX2, FMA, F16C; vectors of 8
void SetFloatOpsAvx512(Kernels* kernels);   // AVX-512 F, BW, DQ, VL; vectors of 16

}  // namespace qnext
