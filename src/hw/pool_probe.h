// What it costs to start and end one parallel loop.
#pragma once

#include <vector>

#include "base/thread_pool.h"

namespace qnext {

// Seconds of one empty loop with a part for every thread of `pool`, while the workers still poll for the next one, as
// within a decode step. One sample is the mean of some hundred loops.
std::vector<double> MeasureForkJoin(ThreadPool& pool, int samples);

// The same after the workers have gone to sleep in the kernel, as for the first loop of a step. One sample is one loop.
std::vector<double> MeasureWakeUp(ThreadPool& pool, int samples);

// Cycles per second of this thread, from a chain of instructions of known length; 0 where that is not known.
double MeasureClock();

}  // namespace qnext
