#include "hw/cuda/pinned_range.h"

#include <cuda_runtime_api.h>

#include <algorithm>

#include "hw/cuda/cuda_status.h"

namespace qnext::cuda {
namespace {

// One call for all would keep the driver from answering anybody else for seconds.
constexpr int64_t kPiece = int64_t{1} << 30;

}  // namespace

PinnedRange::~PinnedRange() {
  for (int64_t at = 0; at < pinned_; at += kPiece) cudaHostUnregister(data_ + at);
}

Result<PinnedRange> PinnedRange::Pin(std::byte* data, int64_t bytes) {
  PinnedRange range;
  range.data_ = data;
  range.bytes_ = bytes;
  while (range.pinned_ < bytes) {
    const int64_t piece = std::min(kPiece, bytes - range.pinned_);
    const cudaError_t error = cudaHostRegister(data + range.pinned_, static_cast<size_t>(piece),
                                               cudaHostRegisterMapped | cudaHostRegisterPortable);
    if (error == cudaErrorMemoryAllocation || error == cudaErrorNotSupported || error == cudaErrorNotPermitted) {
      cudaGetLastError();
      return Refused(data, bytes);  // what was pinned goes back
    }
    QNEXT_RETURN_IF_ERROR(ToStatus(error, "pinning the routed experts"));
    range.pinned_ += piece;
  }
  return range;
}

PinnedRange PinnedRange::Refused(std::byte* data, int64_t bytes) {
  PinnedRange range;
  range.data_ = data;
  range.bytes_ = bytes;
  return range;
}

Status PinnedRange::CopyToGpu(std::byte* to, const std::byte* from, int64_t bytes, CUstream_st* stream) const {
  // No copy may reach from one pinned piece into the next.
  while (bytes > 0) {
    const int64_t in_piece = std::min(bytes, kPiece - (from - data_) % kPiece);
    QNEXT_RETURN_IF_ERROR(ToStatus(
        cudaMemcpyAsync(to, from, static_cast<size_t>(in_piece), cudaMemcpyHostToDevice, stream), "copies of experts"));
    to += in_piece;
    from += in_piece;
    bytes -= in_piece;
  }
  return Status();
}

}  // namespace qnext::cuda
