#include "workbench.h"

#include <cuda_runtime_api.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>

#include "base/range.h"
#include "hw/cuda/cuda_status.h"
#include "probes.h"

namespace qnext::workbench {
namespace {

constexpr int64_t kLeastRingBytes = int64_t{1} << 30;
constexpr int64_t kCachesInRing = 6;    // the ring is at least this many L2 caches
constexpr int64_t kMostLaunches = 256;  // in one graph
constexpr int kSamples = 9;
constexpr double kSampleMilliseconds = 4;

// The workbench has nobody to hand an error of its own set-up to.
void Require(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return;
  fmt::print(stderr, "cuda_workbench: {}\n", cuda::ToStatus(error, what).message());
  std::exit(1);
}

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

// Owns what one measurement makes.
class Replay {
 public:
  explicit Replay(cuda::Stream stream) : stream_(stream) {
    Require(cudaEventCreate(&begin_), "cudaEventCreate");
    Require(cudaEventCreate(&end_), "cudaEventCreate");
  }
  Replay(const Replay&) = delete;
  Replay& operator=(const Replay&) = delete;
  ~Replay() {
    cudaEventDestroy(begin_);
    cudaEventDestroy(end_);
    if (exec_ != nullptr) cudaGraphExecDestroy(exec_);
    if (graph_ != nullptr) cudaGraphDestroy(graph_);
  }

  Status Capture(int64_t launches, FunctionRef<Status(int64_t turn, cuda::Stream stream)> launch) {
    Require(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal), "cudaStreamBeginCapture");
    Status status;
    for (int64_t turn = 0; turn < launches && status.ok(); ++turn) status = launch(turn, stream_);
    const cudaError_t error = cudaStreamEndCapture(stream_, &graph_);
    QNEXT_RETURN_IF_ERROR(status);
    QNEXT_RETURN_IF_ERROR(cuda::ToStatus(error, "cudaStreamEndCapture"));
    return cuda::ToStatus(cudaGraphInstantiate(&exec_, graph_, 0), "cudaGraphInstantiate");
  }

  Result<double> Milliseconds(int64_t replays) {
    QNEXT_RETURN_IF_ERROR(cuda::ToStatus(cudaEventRecord(begin_, stream_), "cudaEventRecord"));
    for (int64_t i = 0; i < replays; ++i) {
      QNEXT_RETURN_IF_ERROR(cuda::ToStatus(cudaGraphLaunch(exec_, stream_), "cudaGraphLaunch"));
    }
    QNEXT_RETURN_IF_ERROR(cuda::ToStatus(cudaEventRecord(end_, stream_), "cudaEventRecord"));
    QNEXT_RETURN_IF_ERROR(cuda::ToStatus(cudaStreamSynchronize(stream_), "cudaStreamSynchronize"));
    float ms = 0;
    QNEXT_RETURN_IF_ERROR(cuda::ToStatus(cudaEventElapsedTime(&ms, begin_, end_), "cudaEventElapsedTime"));
    return static_cast<double>(ms);
  }

 private:
  cuda::Stream stream_;
  cudaEvent_t begin_ = nullptr, end_ = nullptr;
  cudaGraph_t graph_ = nullptr;
  cudaGraphExec_t exec_ = nullptr;
};

}  // namespace

Result<std::unique_ptr<Workbench>> Workbench::Create(std::string filter) {
  int device = 0;
  QNEXT_RETURN_IF_ERROR(cuda::ToStatus(cudaGetDevice(&device), "cudaGetDevice"));
  cudaDeviceProp properties;
  QNEXT_RETURN_IF_ERROR(cuda::ToStatus(cudaGetDeviceProperties(&properties, device), "cudaGetDeviceProperties"));
  std::unique_ptr<Workbench> bench(new Workbench(std::move(filter)));
  Require(cudaStreamCreateWithFlags(&bench->stream_, cudaStreamNonBlocking), "cudaStreamCreate");
  cudaFuncAttributes attributes;
  Require(ReadKernelAttributes(&attributes), "cudaFuncGetAttributes");
  bench->device_ = fmt::format("{} (compute {}.{}, {} processors, {} MiB of L2 cache, {} MiB)", properties.name,
                               properties.major, properties.minor, properties.multiProcessorCount,
                               properties.l2CacheSize >> 20, properties.totalGlobalMem >> 20);
  bench->builds_ = fmt::format("machine code {}.{} made from PTX {}.{}", attributes.binaryVersion / 10,
                               attributes.binaryVersion % 10, attributes.ptxVersion / 10, attributes.ptxVersion % 10);
  bench->ring_bytes_ = std::max<int64_t>(kLeastRingBytes, kCachesInRing * properties.l2CacheSize);
  fmt::print("{}\n{}\n", bench->device_, bench->builds_);

  const Ring ring = bench->MakeRing(bench->ring_bytes_);
  uint32_t* sink = bench->Zeros<uint32_t>(1);
  Status status;
  const Work read = {.name = "read rate", .bytes = ring.stride, .launches = 1};
  const Sample rate = bench->Time(
      read, [&](int64_t, cuda::Stream stream) { return LaunchRead(ring.base, ring.stride, sink, stream); }, &status);
  QNEXT_RETURN_IF_ERROR(status);
  bench->read_rate_ = rate.bytes_per_second();
  const Work nothing = {.name = "empty launch", .bytes = 0, .launches = kMostLaunches};
  bench->empty_us_ = bench
                         ->Time(
                             nothing, [](int64_t, cuda::Stream stream) { return LaunchNothing(stream); }, &status)
                         .us;
  QNEXT_RETURN_IF_ERROR(status);
  bench->Release();
  fmt::print("read rate {:.1f} GB/s; an empty launch in a graph {:.2f} us\n\n", bench->read_rate_ * 1e-9,
             bench->empty_us_);
  fmt::print("{:<44} {:>9} {:>9} {:>9} {:>9} {:>7} {:>7} {:>9}\n", "", "us", "min", "max", "GB/s", "share", "net",
             "TFLOP/s");
  return bench;
}

Workbench::~Workbench() {
  Release();
  if (ring_ != nullptr) cudaFree(ring_);
  if (stream_ != nullptr) cudaStreamDestroy(stream_);
}

void* Workbench::Allocate(int64_t bytes, const void* values) {
  void* memory = nullptr;
  const size_t size = static_cast<size_t>(std::max<int64_t>(bytes, 1));
  Require(cudaMalloc(&memory, size), "cudaMalloc");
  allocations_.push_back(memory);
  if (values != nullptr) {
    Require(cudaMemcpy(memory, values, static_cast<size_t>(bytes), cudaMemcpyHostToDevice), "cudaMemcpy");
  } else {
    Require(cudaMemset(memory, 0, size), "cudaMemset");
  }
  Require(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
  return memory;
}

Ring Workbench::MakeRing(int64_t bytes, Fill fill) {
  Ring ring;
  ring.stride = RoundUp(bytes, 256);
  if (ring_ == nullptr || ring.stride > ring_bytes_) {
    if (ring_ != nullptr) Require(cudaFree(ring_), "cudaFree");
    ring_bytes_ = std::max(ring_bytes_, ring.stride);
    void* memory = nullptr;
    Require(cudaMalloc(&memory, static_cast<size_t>(ring_bytes_)), "cudaMalloc");
    ring_ = static_cast<std::byte*>(memory);
  }
  const Status status = fill == Fill::kWeights ? LaunchFillWeights(ring_, ring_bytes_, stream_)
                                               : LaunchFillFloats(ring_, ring_bytes_, stream_);
  QNEXT_CHECK(status.ok(), "filling the ring");
  Require(cudaStreamSynchronize(stream_), "cudaStreamSynchronize");
  ring.base = ring_;
  ring.turns = std::min(ring_bytes_ / ring.stride, kMostLaunches);
  return ring;
}

void Workbench::Release() {
  for (void* memory : allocations_) cudaFree(memory);
  allocations_.clear();
}

Sample Workbench::Time(const Work& work, FunctionRef<Status(int64_t turn, cuda::Stream stream)> launch,
                       Status* status) {
  Sample sample = {.name = work.name, .bytes = work.bytes, .operations = work.operations};
  Replay replay(stream_);
  *status = replay.Capture(work.launches, launch);
  if (!status->ok()) return sample;
  double milliseconds = 0;
  for (int warmup = 0; warmup < 2; ++warmup) {
    const Result<double> measured = replay.Milliseconds(1);
    if (!measured.ok()) return *status = measured.status(), sample;
    milliseconds = measured.value();
  }
  const int64_t replays =
      std::max<int64_t>(1, static_cast<int64_t>(kSampleMilliseconds / std::max(milliseconds, 1e-3)));
  std::vector<double> us;
  for (int i = 0; i < kSamples; ++i) {
    const Result<double> measured = replay.Milliseconds(replays);
    if (!measured.ok()) return *status = measured.status(), sample;
    us.push_back(measured.value() * 1e3 / static_cast<double>(replays * work.launches));
  }
  sample.us = Median(us);
  sample.us_min = *std::min_element(us.begin(), us.end());
  sample.us_max = *std::max_element(us.begin(), us.end());
  return sample;
}

void Workbench::Measure(const Work& work, FunctionRef<Status(int64_t turn, cuda::Stream stream)> launch) {
  if (!Wanted(work.name)) return;
  Status status;
  const Sample sample = Time(work, launch, &status);
  if (!status.ok()) {
    fmt::print("{:<44} failed: {}\n", work.name, status.message());
    failed_ = true;
    return;
  }
  samples_.push_back(sample);
  const double ideal_us = static_cast<double>(sample.bytes) / read_rate_ * 1e6;
  fmt::print("{:<44} {:>9.2f} {:>9.2f} {:>9.2f}", sample.name, sample.us, sample.us_min, sample.us_max);
  if (sample.bytes > 0) {
    fmt::print(" {:>9.1f} {:>6.1f}% {:>6.1f}%", sample.bytes_per_second() * 1e-9, 100 * ideal_us / sample.us,
               100 * ideal_us / std::max(sample.us - empty_us_, 1e-3));
  } else {
    fmt::print(" {:>9} {:>7} {:>7}", "", "", "");
  }
  if (sample.operations > 0) fmt::print(" {:>9.2f}", sample.operations / (sample.us * 1e-6) * 1e-12);
  fmt::print("\n");
  std::fflush(stdout);
}

Status Workbench::Finish(const std::string& path) {
  const Ring ring = MakeRing(ring_bytes_);
  uint32_t* sink = Zeros<uint32_t>(1);
  Status status;
  const Work read = {.name = "read rate", .bytes = ring.stride, .launches = 1};
  const double again =
      Time(
          read, [&](int64_t, cuda::Stream stream) { return LaunchRead(ring.base, ring.stride, sink, stream); }, &status)
          .bytes_per_second();
  QNEXT_RETURN_IF_ERROR(status);
  Release();
  fmt::print(
      "\nread rate at the end {:.1f} GB/s. share: of the read rate at the start; net: the same without the {:.2f} us "
      "of an empty launch\n",
      again * 1e-9, empty_us_);
  if (path.empty()) return Status();

  nlohmann::json report = {{"device", device_},
                           {"builds", builds_},
                           {"read_bytes_per_second", read_rate_},
                           {"read_bytes_per_second_at_end", again},
                           {"empty_launch_us", empty_us_}};
  for (const Sample& s : samples_) {
    report["samples"].push_back({{"name", s.name},
                                 {"bytes", s.bytes},
                                 {"operations", s.operations},
                                 {"us", s.us},
                                 {"us_min", s.us_min},
                                 {"us_max", s.us_max}});
  }
  std::ofstream file(path);
  file << report.dump(1) << "\n";
  file.close();
  return file ? Status() : Internal(path + ": cannot be written");
}

}  // namespace qnext::workbench
