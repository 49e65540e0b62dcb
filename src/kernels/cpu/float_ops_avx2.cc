// The float ops for AVX2 with FMA. Compiled with -mavx2 -mfma -mf16c.
#define QNEXT_FLOAT_OPS_ISA float_ops_avx2
#define QNEXT_FLOAT_OPS_WIDTH 8
#include "kernels/cpu/float_ops-inl.h"

namespace qnext {

void SetFloatOpsAvx2(Kernels* kernels) { float_ops_avx2::Fill(kernels); }

}  // namespace qnext
