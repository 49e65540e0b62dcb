#include "hw/cuda/link_probe.h"

#include <cuda_runtime_api.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <thread>

#include "hw/cuda/buffers.h"
#include "hw/cuda/cuda_status.h"
#include "hw/cuda/handles.h"
#include "hw/cuda/timer.h"
#include "hw/cuda/wait.h"

namespace qnext::cuda {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int64_t kSampleBytes = int64_t{1} << 30;
constexpr std::chrono::milliseconds kWarmUp{50}, kWindow{100}, kLimit{5000};

// Copies that walk through a part of pinned memory and start over at its end.
class CopyWalk {
 public:
  static Result<CopyWalk> Make(const PinnedRange& pinned, const std::byte* from, int64_t bytes, int64_t piece) {
    CopyWalk walk;
    walk.pinned_ = &pinned;
    if (bytes < piece) return InvalidArgument("link probe: the memory is smaller than one copy");
    // A few targets in turn: a copy does not write where the one before it still may.
    QNEXT_ASSIGN_OR_RETURN(walk.target_, DeviceBuffer::Allocate(kTargets * piece, "measuring the link"));
    walk.from_ = from;
    walk.pieces_ = bytes / piece;
    walk.piece_ = piece;
    return walk;
  }

  Status Copy(CUstream_st* stream) {
    const int64_t at = next_++;
    return pinned_->CopyToGpu(target_.data() + at % kTargets * piece_, from_ + at % pieces_ * piece_, piece_, stream);
  }

 private:
  static constexpr int64_t kTargets = 8;
  DeviceBuffer target_;
  const PinnedRange* pinned_ = nullptr;
  const std::byte* from_ = nullptr;
  int64_t pieces_ = 0, piece_ = 0, next_ = 0;
};

// The link's half of MeasureShared: keeps batches of copies queued and counts those that have passed.
class LinkFeeder {
 public:
  LinkFeeder(CopyWalk& walk, int64_t piece, CUstream_st* stream) : walk_(walk), piece_(piece), stream_(stream) {}

  Status Prepare() {
    for (OwnedEvent& mark : marks_) {
      QNEXT_ASSIGN_OR_RETURN(mark, MakeEvent(EventKind::kOrder));
    }
    return Status();
  }

  // Queues a batch if there is room, and looks for one that has ended.
  Status Turn() {
    if (queued_ - passed_ < kBatches) {
      for (int i = 0; i < kBatch; ++i) QNEXT_RETURN_IF_ERROR(walk_.Copy(stream_));
      QNEXT_RETURN_IF_ERROR(ToStatus(cudaEventRecord(Mark(queued_), stream_), "link probe"));
      ++queued_;
      return Status();
    }
    const cudaError_t state = cudaEventQuery(Mark(passed_));
    if (state == cudaErrorNotReady) return Status();
    ++passed_;
    return ToStatus(state, "link probe");
  }

  int64_t bytes() const { return passed_ * kBatch * piece_; }

 private:
  static constexpr int kBatches = 8, kBatch = 2;

  CUevent_st* Mark(int64_t batch) const { return marks_[static_cast<size_t>(batch % kBatches)].get(); }

  CopyWalk& walk_;
  const int64_t piece_;
  CUstream_st* const stream_;
  std::array<OwnedEvent, kBatches> marks_;
  int64_t queued_ = 0, passed_ = 0;
};

double PerSecond(int64_t bytes, Clock::duration time) {
  return static_cast<double>(bytes) / std::chrono::duration<double>(time).count();
}

// Rates of `windows` windows that follow each other without a gap.
Status Watch(LinkFeeder& feeder, const std::atomic<int64_t>& read, int windows, SharedRates& rates) {
  Clock::time_point begin = Clock::now(), end = begin + kWarmUp;
  int64_t cpu = 0, link = 0;
  for (int window = -1; window < windows;) {
    QNEXT_RETURN_IF_ERROR(feeder.Turn());
    const Clock::time_point now = Clock::now();
    if (now < end) continue;
    if (window >= 0) {
      rates.cpu.push_back(PerSecond(read.load() - cpu, now - begin));
      rates.link.push_back(PerSecond(feeder.bytes() - link, now - begin));
    }
    cpu = read.load();
    link = feeder.bytes();
    begin = now;
    end = now + kWindow;
    ++window;
  }
  return Status();
}

}  // namespace

double SharedRates::sum() const { return Median(cpu) + Median(link); }

Result<std::vector<double>> MeasureCopies(const LinkMemory& from, int64_t piece, int repeats, CUstream_st* stream) {
  QNEXT_ASSIGN_OR_RETURN(CopyWalk walk, CopyWalk::Make(from.pinned, from.memory.data(), from.memory.size(), piece));
  const int64_t copies = std::max<int64_t>(1, std::min(kSampleBytes, from.memory.size()) / piece);
  QNEXT_ASSIGN_OR_RETURN(std::vector<double> rates, TimeRuns(stream, repeats, [&] {
                           for (int64_t i = 0; i < copies; ++i) QNEXT_RETURN_IF_ERROR(walk.Copy(stream));
                           return Status();
                         }));
  for (double& rate : rates) rate = static_cast<double>(copies * piece) / (rate * 1e-6);
  return rates;
}

Result<SharedRates> MeasureShared(const LinkMemory& from, ThreadPool& pool, bool prefetch, int64_t piece, int windows,
                                  CUstream_st* stream) {
  const ProbeMemory& memory = from.memory;
  const int64_t half = memory.size() / 2;
  QNEXT_ASSIGN_OR_RETURN(CopyWalk walk, CopyWalk::Make(from.pinned, memory.data() + half, memory.size() - half, piece));
  LinkFeeder feeder(walk, piece, stream);
  QNEXT_RETURN_IF_ERROR(feeder.Prepare());
  std::atomic<bool> stop{false};
  std::atomic<int64_t> read{0};
  std::thread reader([&] {
    pool.PinCallingThread();
    ReadUntil(stop, memory, Range{0, half}, prefetch, pool, read);
  });
  SharedRates rates;
  const Status status = Watch(feeder, read, windows, rates);
  stop = true;
  reader.join();
  const Status ended = Synchronize(stream, kLimit, "link probe");  // before the target goes
  QNEXT_RETURN_IF_ERROR(status);
  QNEXT_RETURN_IF_ERROR(ended);
  return rates;
}

namespace {

// What both sides of the handshakes see.
struct HandshakeMail {
  alignas(64) float to_cpu[kHandshakeFloats];
  alignas(64) float from_cpu[kHandshakeFloats];
  alignas(64) uint32_t posted;
  alignas(64) uint32_t done;
  alignas(64) uint32_t abort;
};

// Answers a graph's handshakes; the time between the first and the last, divided. Gives up after a second, and lets the
// kernels go.
Result<double> Answer(HandshakeMail& mail, uint32_t first) {
  const std::atomic_ref<uint32_t> posted(mail.posted), done(mail.done), abort(mail.abort);
  const Clock::time_point limit = Clock::now() + std::chrono::seconds(2);
  Clock::time_point begin;
  for (int i = 0; i < kHandshakesOfGraph; ++i) {
    const uint32_t number = first + static_cast<uint32_t>(i);
    for (uint32_t polls = 0; posted.load(std::memory_order_acquire) != number; ++polls) {
      if (polls % 1024 != 0 || Clock::now() < limit) continue;
      abort.store(1);
      return Internal("handshake probe: the GPU does not post");
    }
    if (i == 0) begin = Clock::now();
    for (int64_t k = 0; k < kHandshakeFloats; ++k) mail.from_cpu[k] = mail.to_cpu[k] + 1;
    if (i == kHandshakesOfGraph - 1) {
      const std::chrono::duration<double> time = Clock::now() - begin;
      done.store(number, std::memory_order_release);
      return time.count() / (kHandshakesOfGraph - 1);
    }
    done.store(number, std::memory_order_release);
  }
  return Internal("handshake probe: no handshakes");
}

}  // namespace

Result<std::vector<double>> MeasureHandshakes(int repeats, CUstream_st* stream) {
  constexpr int kWarmUps = 3;
  QNEXT_ASSIGN_OR_RETURN(const PinnedBuffer host,
                         PinnedBuffer::Allocate(static_cast<int64_t>(sizeof(HandshakeMail)), "measuring handshakes"));
  QNEXT_ASSIGN_OR_RETURN(const DeviceBuffer device,
                         DeviceBuffer::Allocate(kHandshakeFloats * 4 + 256, "measuring handshakes"));
  QNEXT_RETURN_IF_ERROR(
      ToStatus(cudaMemsetAsync(device.data(), 0, static_cast<size_t>(device.bytes()), stream), "handshake probe"));
  auto& mail = *reinterpret_cast<HandshakeMail*>(host.data());
  HandshakeArgs args = {.to_cpu = mail.to_cpu,
                        .from_cpu = mail.from_cpu,
                        .device = reinterpret_cast<float*>(device.data()),
                        .posted = &mail.posted,
                        .done = &mail.done,
                        .abort = &mail.abort,
                        .round = reinterpret_cast<uint32_t*>(device.data() + kHandshakeFloats * 4),
                        .index = 0};
  QNEXT_ASSIGN_OR_RETURN(const OwnedGraph graph, CaptureGraph(stream, "handshakes", [&] {
                           for (uint32_t i = 0; i < kHandshakesOfGraph; ++i) {
                             args.index = i;
                             QNEXT_RETURN_IF_ERROR(LaunchHandshake(args, stream));
                           }
                           return Status();
                         }));
  std::vector<double> seconds;
  for (int i = 0; i < kWarmUps + repeats; ++i) {
    QNEXT_RETURN_IF_ERROR(ToStatus(cudaGraphLaunch(graph.get(), stream), "handshake probe"));
    const Result<double> each = Answer(mail, static_cast<uint32_t>(i * kHandshakesOfGraph + 1));
    QNEXT_RETURN_IF_ERROR(Synchronize(stream, kLimit, "handshake probe"));
    QNEXT_RETURN_IF_ERROR(each.status());
    if (i >= kWarmUps) seconds.push_back(*each);
  }
  return seconds;
}

}  // namespace qnext::cuda
