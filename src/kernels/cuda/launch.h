// What all CUDA launchers share. Including this needs no CUDA headers: a launcher is called by plain C++.
//
// A launcher takes one argument struct and a stream, checks shapes and alignment, launches, and returns what the launch
// said. It never allocates, synchronises or reads device memory, so that it may be captured into a graph. Every pointer
// is device memory (or mapped host memory where a field says so); sizes are in elements unless named bytes. Results are
// the same bits for every run, and a row's result does not depend on the other rows of the call.
#pragma once

#include <cstdint>

#include "base/status.h"

struct CUstream_st;

namespace qnext::cuda {

using Stream = CUstream_st*;  // a cudaStream_t

// The most activation rows that the decode kernels take (one token of up to eight sequences, or a verified draft).
// Products of more rows go through the matrix-matrix kernels.
constexpr int64_t kMaxDecodeRows = 8;

}  // namespace qnext::cuda
