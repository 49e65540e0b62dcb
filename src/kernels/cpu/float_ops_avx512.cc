// The float ops for AVX-512. Compiled with -mavx512f -mavx512bw -mavx512vl -mavx512dq -mfma -mf16c.
#define QNEXT_FLOAT_OPS_ISA float_ops_avx512
#define QNEXT_FLOAT_OPS_WIDTH 16
#include "kernels/cpu/float_ops-inl.h"

namespace qnext {

void SetFloatOpsAvx512(Kernels* kernels) { float_ops_avx512::Fill(kernels); }

}  // namespace qnext
