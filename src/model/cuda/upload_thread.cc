#include "model/cuda/upload_thread.h"

#include <cuda_runtime_api.h>

#include <algorithm>
#include <memory>

#include "base/check.h"
#include "hw/cuda/cuda_status.h"

namespace qnext::cuda {

Result<std::unique_ptr<UploadThread>> UploadThread::Make(const GpuInfo& gpu, const PinnedRange& source, int64_t bytes,
                                                         const ThreadPool* pool) {
  std::unique_ptr<UploadThread> made(new UploadThread(gpu, source, bytes));
  QNEXT_ASSIGN_OR_RETURN(made->stream_, MakeStream());
  for (Batch& batch : made->batches_) {
    QNEXT_ASSIGN_OR_RETURN(batch.event, MakeEvent(EventKind::kOrder));
    batch.copies.reserve(kMostCopies);
  }
  made->thread_ = std::thread([upload = made.get(), pool] { upload->Run(pool); });
  return made;
}

UploadThread::~UploadThread() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
  if (stream_ != nullptr) cudaStreamSynchronize(stream_.get());
}

bool UploadThread::Start(std::span<const ExpertCopy> copies, int64_t epoch) {
  QNEXT_CHECK(copies.size() <= kMostCopies, "a batch is no larger than its room");
  {
    const std::lock_guard lock(mutex_);
    if (started_ - arrived_ == kBatches) return false;
    Batch& batch = batches_[started_ % kBatches];
    batch.copies.assign(copies.begin(), copies.end());
    batch.epoch = epoch;
    ++started_;
  }
  changed_.notify_all();
  return true;
}

Result<int64_t> UploadThread::Collect() {
  int64_t epoch = 0;
  while (true) {
    {
      const std::lock_guard lock(mutex_);
      QNEXT_RETURN_IF_ERROR(failed_);
      if (arrived_ == enqueued_) return epoch;
    }
    const Batch& batch = batches_[arrived_ % kBatches];
    const cudaError_t state = cudaEventQuery(batch.event.get());
    if (state == cudaErrorNotReady) return epoch;
    QNEXT_RETURN_IF_ERROR(ToStatus(state, "promotions"));
    epoch = std::max(epoch, batch.epoch);
    const std::lock_guard lock(mutex_);
    ++arrived_;
  }
}

Result<int64_t> UploadThread::CollectAll() {
  {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return enqueued_ == started_ || !failed_.ok(); });
  }
  QNEXT_RETURN_IF_ERROR(ToStatus(cudaStreamSynchronize(stream_.get()), "promotions"));
  return Collect();
}

void UploadThread::Run(const ThreadPool* pool) {
  if (pool != nullptr) pool->MoveOtherThread();
  const Status used = UseGpu(gpu_);
  std::unique_lock lock(mutex_);
  failed_ = used;
  while (true) {
    changed_.wait(lock, [this] { return stop_ || (failed_.ok() && enqueued_ < started_); });
    if (stop_) return;
    Batch& batch = batches_[enqueued_ % kBatches];
    lock.unlock();
    const Status status = Enqueue(batch);
    lock.lock();
    if (!status.ok()) failed_ = status;
    ++enqueued_;
    changed_.notify_all();
  }
}

Status UploadThread::Enqueue(Batch& batch) {
  for (const ExpertCopy& copy : batch.copies) {
    QNEXT_RETURN_IF_ERROR(source_.CopyToGpu(copy.to, copy.from, bytes_, stream_.get()));
  }
  return ToStatus(cudaEventRecord(batch.event.get(), stream_.get()), "promotions");
}

}  // namespace qnext::cuda
