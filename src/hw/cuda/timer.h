// Times on the GPU's own clock.
#pragma once

#include <cstdint>
#include <vector>

#include "base/function_ref.h"
#include "base/status.h"
#include "hw/cuda/handles.h"

namespace qnext::cuda {

// Microseconds of each of `repeats` runs of `launch`, which puts work into the stream; one run to warm up goes before.
Result<std::vector<double>> TimeRuns(CUstream_st* stream, int repeats, FunctionRef<Status()> launch);

double Median(std::vector<double> values);

}  // namespace qnext::cuda
