// Owners of streams, events and graphs. Free of CUDA's headers; each lives and dies with the GPU that was the thread's
// own when it was made.
#pragma once

#include <memory>

#include "base/status.h"

struct CUstream_st;
struct CUevent_st;
struct CUgraphExec_st;

namespace qnext::cuda {

struct HandleDeleter {
  void operator()(CUstream_st* stream) const;
  void operator()(CUevent_st* event) const;
  void operator()(CUgraphExec_st* graph) const;
};

using OwnedStream = std::unique_ptr<CUstream_st, HandleDeleter>;
using OwnedEvent = std::unique_ptr<CUevent_st, HandleDeleter>;
using OwnedGraph = std::unique_ptr<CUgraphExec_st, HandleDeleter>;

// A stream that does not wait for the default stream.
Result<OwnedStream> MakeStream();
enum class EventKind { kTiming, kOrder };  // kOrder: cheaper, tells no times
Result<OwnedEvent> MakeEvent(EventKind kind);

// The halves of CaptureGraph.
Status BeginCapture(CUstream_st* stream, const char* what);
Result<OwnedGraph> EndCapture(CUstream_st* stream, const char* what, const Status& recorded);

// Everything that `record` puts into the stream, as a graph that CUDA has prepared for launching; nothing of it runs.
// `what` names the graph in errors.
template <typename Record>
Result<OwnedGraph> CaptureGraph(CUstream_st* stream, const char* what, const Record& record) {
  QNEXT_RETURN_IF_ERROR(BeginCapture(stream, what));
  const Status recorded = record();
  return EndCapture(stream, what, recorded);
}

}  // namespace qnext::cuda
