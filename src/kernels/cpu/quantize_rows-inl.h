// Quantization of activations to int8 by runs of 32, one copy per ISA; included after a vec_*-inl.h.
//
// scale = max|x| / 127, code = x / scale rounded to nearest even and clamped to [-127, 127] (a subnormal scale is too
// coarse to keep the quotient inside); a scale of 0 gives codes of 0. Every step is one correctly rounded operation, so
// codes are equal bit for bit on every ISA.
#include "kernels/cpu/isa_ops.h"

namespace qnext::QNEXT_ISA {

void QuantizeRows(const QuantizeJob& job, int64_t begin, int64_t end) {
  for (int64_t row = begin; row < end; ++row) {
    const float* x = job.x + row * job.x_stride;
    for (int64_t run = 0; run < job.runs; ++run) {
      const int64_t first = run * 32;
      const int64_t count = job.in - first < 32 ? job.in - first : 32;
      const int64_t at = row * job.runs + run;
      if (job.permutation == nullptr && count == 32) {
        QuantizeRun(x + first, job.codes + at * 32, job.scales + at, job.sums + at);
        continue;
      }
      float gathered[32] = {};
      for (int64_t i = 0; i < count; ++i) {
        gathered[i] = x[job.permutation == nullptr ? first + i : job.permutation[first + i]];
      }
      QuantizeRun(gathered, job.codes + at * 32, job.scales + at, job.sums + at);
    }
  }
}

}  // namespace qnext::QNEXT_ISA
