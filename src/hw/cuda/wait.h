// Waiting for the GPU: with a limit, and awake to errors, so that a kernel that never ends is an error and not a hang.
#pragma once

#include <chrono>

#include "base/function_ref.h"
#include "base/status.h"

struct CUstream_st;

namespace qnext::cuda {

// Polls until `done` (which reads mapped host memory) is true. An error of the stream ends the wait, and so does a
// stream that has run dry without making `done` true; after `limit`, kInternal. `what` begins the message.
Status PollUntil(FunctionRef<bool()> done, CUstream_st* stream, std::chrono::milliseconds limit, const char* what);

// Until the stream has done everything that was put into it.
Status Synchronize(CUstream_st* stream, std::chrono::milliseconds limit, const char* what);

}  // namespace qnext::cuda
