#include "hw/cuda/timer.h"

#include <cuda_runtime_api.h>

#include <algorithm>

#include "base/check.h"
#include "hw/cuda/cuda_status.h"

namespace qnext::cuda {

Result<std::vector<double>> TimeRuns(CUstream_st* stream, int repeats, FunctionRef<Status()> launch) {
  std::vector<OwnedEvent> marks;
  for (int i = 0; i <= repeats; ++i) {
    QNEXT_ASSIGN_OR_RETURN(OwnedEvent mark, MakeEvent(EventKind::kTiming));
    marks.push_back(std::move(mark));
  }
  QNEXT_RETURN_IF_ERROR(launch());
  for (int i = 0; i <= repeats; ++i) {
    if (i > 0) QNEXT_RETURN_IF_ERROR(launch());
    QNEXT_RETURN_IF_ERROR(ToStatus(cudaEventRecord(marks[static_cast<size_t>(i)].get(), stream), "timing"));
  }
  QNEXT_RETURN_IF_ERROR(ToStatus(cudaEventSynchronize(marks.back().get()), "timing"));
  std::vector<double> microseconds;
  for (size_t i = 1; i < marks.size(); ++i) {
    float milliseconds = 0;
    QNEXT_RETURN_IF_ERROR(ToStatus(cudaEventElapsedTime(&milliseconds, marks[i - 1].get(), marks[i].get()), "timing"));
    microseconds.push_back(static_cast<double>(milliseconds) * 1e3);
  }
  return microseconds;
}

double Median(std::vector<double> values) {
  QNEXT_CHECK(!values.empty(), "a median of something");
  const size_t middle = values.size() / 2;
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(middle), values.end());
  return values[middle];
}

}  // namespace qnext::cuda
