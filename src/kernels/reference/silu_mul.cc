#include "kernels/reference/reference.h"
#include "kernels/reference/scalar_math.h"

namespace qnext::reference {

void SiluMul(const SiluMulArgs& args, Range rows) {
  for (int64_t i = rows.begin * args.dim; i < rows.end * args.dim; ++i) {
    args.out[i] = static_cast<float>(Silu(args.gate[i]) * static_cast<double>(args.up[i]));
  }
}

}  // namespace qnext::reference
