// The float ops for the compiler's baseline instruction set.
#define QNEXT_FLOAT_OPS_ISA float_ops_generic
#define QNEXT_FLOAT_OPS_WIDTH 4
#include "kernels/cpu/float_ops-inl.h"

namespace qnext {

void SetFloatOpsGeneric(Kernels* kernels) { float_ops_generic::Fill(kernels); }

}  // namespace qnext
