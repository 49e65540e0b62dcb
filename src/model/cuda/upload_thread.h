// UploadThread: puts copies of experts into a stream of their own, so that the thread that runs the steps does not
// spend its time on them (a call of the driver for each expert, up to a hundred a step).
#pragma once

#include <array>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <thread>
#include <vector>

#include "base/status.h"
#include "base/thread_pool.h"
#include "hw/cuda/gpu.h"
#include "hw/cuda/handles.h"
#include "hw/cuda/pinned_range.h"

namespace qnext::cuda {

struct ExpertCopy {
  std::byte* to = nullptr;  // GPU memory
  const std::byte* from = nullptr;
};

// Start and Collect are one thread's. Allocates when made and never after.
class UploadThread {
 public:
  static constexpr size_t kBatches = 8;
  static constexpr size_t kMostCopies = 128;  // of a batch

  // Copies are of `bytes` each and come from `source`, which must outlive this. The thread keeps clear of those of
  // `pool`, if there is one. Throws std::system_error where the system starts no thread.
  static Result<std::unique_ptr<UploadThread>> Make(const GpuInfo& gpu, const PinnedRange& source, int64_t bytes,
                                                    const ThreadPool* pool);
  ~UploadThread();  // waits for what was started

  // At most kMostCopies; false: all batches are under way, and nothing was started.
  bool Start(std::span<const ExpertCopy> copies, int64_t epoch);
  // The epoch of the newest batch that has arrived, with all before it, since the last call; 0: none has. Epochs of 0
  // are counted with the next. An error of the GPU is final.
  Result<int64_t> Collect();
  // Waits for everything that was started.
  Result<int64_t> CollectAll();

 private:
  struct Batch {
    OwnedEvent event;
    std::vector<ExpertCopy> copies;
    int64_t epoch = 0;
  };

  UploadThread(const GpuInfo& gpu, const PinnedRange& source, int64_t bytes)
      : gpu_(gpu), source_(source), bytes_(bytes) {}
  void Run(const ThreadPool* pool);
  Status Enqueue(Batch& batch);

  const GpuInfo gpu_;
  const PinnedRange& source_;
  const int64_t bytes_;
  OwnedStream stream_;
  std::array<Batch, kBatches> batches_;
  // Numbers of batches since the start: started, put into the stream, arrived. The first two are behind mutex_.
  uint64_t started_ = 0, enqueued_ = 0, arrived_ = 0;
  bool stop_ = false;
  Status failed_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::thread thread_;
};

}  // namespace qnext::cuda
