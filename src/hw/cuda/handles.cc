#include "hw/cuda/handles.h"

#include <cuda_runtime_api.h>

#include "hw/cuda/cuda_status.h"

namespace qnext::cuda {

// Errors of destruction say that the context is broken, which whoever used it last has been told.
void HandleDeleter::operator()(CUstream_st* stream) const { cudaStreamDestroy(stream); }
void HandleDeleter::operator()(CUevent_st* event) const { cudaEventDestroy(event); }
void HandleDeleter::operator()(CUgraphExec_st* graph) const { cudaGraphExecDestroy(graph); }

Result<OwnedStream> MakeStream() {
  cudaStream_t stream = nullptr;
  QNEXT_RETURN_IF_ERROR(ToStatus(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "a stream"));
  return OwnedStream(stream);
}

Result<OwnedEvent> MakeEvent(EventKind kind) {
  cudaEvent_t event = nullptr;
  const unsigned flags = kind == EventKind::kTiming ? cudaEventDefault : cudaEventDisableTiming;
  QNEXT_RETURN_IF_ERROR(ToStatus(cudaEventCreateWithFlags(&event, flags), "an event"));
  return OwnedEvent(event);
}

Status BeginCapture(CUstream_st* stream, const char* what) {
  return ToStatus(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), what);
}

Result<OwnedGraph> EndCapture(CUstream_st* stream, const char* what, const Status& recorded) {
  cudaGraph_t graph = nullptr;
  const Status ended = ToStatus(cudaStreamEndCapture(stream, &graph), what);
  cudaGraphExec_t exec = nullptr;
  Status status = recorded.ok() ? ended : recorded.WithContext(what);
  if (status.ok()) status = ToStatus(cudaGraphInstantiate(&exec, graph, 0), what);
  if (graph != nullptr) cudaGraphDestroy(graph);
  OwnedGraph owned(exec);
  if (status.ok()) status = ToStatus(cudaGraphUpload(exec, stream), what);
  if (!status.ok()) return status;
  return owned;
}

}  // namespace qnext::cuda
