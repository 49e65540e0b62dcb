// How fast the GPU reads its memory: the roofline that kernels are held against, measured in the same run.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/status.h"
#include "hw/cuda/gpu.h"

struct CUstream_st;

namespace qnext::cuda {

// Bytes per second, the median of several readings of [data, data + bytes): GPU memory, 16-byte aligned, far larger
// than the L2 cache.
Result<double> MeasureReadRate(const std::byte* data, int64_t bytes, CUstream_st* stream);

// The same of `gpu`, through 512 MiB that are taken for it and given back.
Result<double> ProbeReadRate(const GpuInfo& gpu);

// The launch alone; `sink` is a word of GPU memory.
Status LaunchRead(const std::byte* data, int64_t bytes, int blocks, uint32_t* sink, CUstream_st* stream);

}  // namespace qnext::cuda
