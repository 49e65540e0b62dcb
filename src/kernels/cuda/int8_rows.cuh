// A run of 32 values of a row into Int8Rows, one value a lane.
#pragma once

#include "kernels/cuda/quantize_run.cuh"
#include "kernels/kernels.h"

namespace qnext::cuda {

// Run `run` of row `row`; every lane of the warp takes part, values past the row's end are 0.
__device__ inline void StoreRun(const Int8Rows& rows, int64_t row, int64_t run, float x, int lane) {
  const int64_t at = row * (rows.in_padded / 32) + run;
  QuantizeRun(x, rows.codes + row * rows.in_padded + run * 32, rows.scales + at, rows.sums + at, lane);
}

}  // namespace qnext::cuda
