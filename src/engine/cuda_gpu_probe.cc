#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <random>
#include <utility>

#include "base/arena.h"
#include "engine/gpu_probe.h"
#include "hw/cuda/buffers.h"
#include "hw/cuda/gpu.h"
#include "hw/cuda/handles.h"
#include "hw/cuda/link_probe.h"
#include "hw/cuda/pinned_range.h"
#include "hw/cuda/read_probe.h"
#include "hw/cuda/timer.h"
#include "hw/cuda/wait.h"
#include "kernels/cuda/experts.h"
#include "kernels/cuda/hybrid.h"

namespace qnext {
namespace {

using cuda::DeviceBuffer;
using cuda::PinnedBuffer;

// The experts of the 80B: [512, 2048] twice and [2048, 512], groups of 128.
constexpr int64_t kHidden = 2048, kInner = 512;
constexpr Int4Layout kGateUp = {.out = kInner, .in = kHidden, .group_size = 128};
constexpr Int4Layout kDown = {.out = kHidden, .in = kInner, .group_size = 128};
// Rows of a prompt: 160 for each of as many experts, as a prompt of 8 192 tokens has them.
constexpr int64_t kExperts = 64, kEntries = 10, kRows = 1024, kPairs = kRows * kEntries;
// As a step fetches: up to a layer's choice, by as many blocks (model/cuda/hybrid_experts.cc).
constexpr int64_t kFetched = 10, kFetchBlocks = 32, kFetches = 64;
constexpr std::chrono::milliseconds kLimit{20000};

std::string FirstLineOf(const std::string& path) {
  std::string line;
  std::ifstream file(path);
  std::getline(file, line);
  return line;
}

std::string LinkOf(const std::string& bus) {
  const std::string folder = "/sys/bus/pci/devices/" + bus + "/";
  const std::string speed = FirstLineOf(folder + "current_link_speed"),
                    width = FirstLineOf(folder + "current_link_width");
  return speed.empty() ? bus : fmt::format("{}, {} x{}", bus, speed, width);
}

class GpuProbeRun {
 public:
  GpuProbeRun(const ProbeMemory& memory, const GpuProbeOptions& options) : memory_(memory), options_(options) {}

  Result<GpuMeasurements> Run() {
    const cuda::GpuProbe probe = cuda::ProbeGpus();
    QNEXT_ASSIGN_OR_RETURN(const cuda::GpuInfo gpu, cuda::ChooseGpu(probe));
    QNEXT_RETURN_IF_ERROR(cuda::OpenGpu(gpu));
    QNEXT_ASSIGN_OR_RETURN(stream_, cuda::MakeStream());
    Describe(probe, gpu);
    Step("GPU memory");
    QNEXT_RETURN_IF_ERROR(MeasureRead());
    Step("int4 products of a prompt");
    QNEXT_RETURN_IF_ERROR(MeasureProducts());
    Step("handshakes");
    QNEXT_ASSIGN_OR_RETURN(out_.handshake_seconds, cuda::MeasureHandshakes(3 * options_.repeats, stream_.get()));
    Step("link");
    // The GPU writes nothing there: pinning alone wants a pointer that it could write through.
    QNEXT_ASSIGN_OR_RETURN(const cuda::PinnedRange pinned,
                           cuda::PinnedRange::Pin(const_cast<std::byte*>(memory_.data()), memory_.size()));
    out_.pinned = pinned.complete();
    QNEXT_RETURN_IF_ERROR(MeasureLink({.memory = memory_, .pinned = pinned}));
    Step("CPU and link together");
    QNEXT_RETURN_IF_ERROR(MeasureTogether({.memory = memory_, .pinned = pinned}));
    return std::move(out_);
  }

 private:
  void Step(const std::string& what) const {
    if (options_.progress) options_.progress(what);
  }

  void Describe(const cuda::GpuProbe& probe, const cuda::GpuInfo& gpu) {
    out_.name = gpu.name;
    out_.compute_capability = fmt::format("{}.{}", gpu.major, gpu.minor);
    out_.cuda = fmt::format("driver {}, built with {}", cuda::CudaVersionName(probe.driver_version),
                            cuda::CudaVersionName(probe.runtime_version));
    out_.driver = FirstLineOf("/proc/driver/nvidia/version");
    out_.pci = LinkOf(gpu.pci_bus_id);
    out_.memory_bytes = gpu.total_bytes;
    out_.l2_bytes = gpu.l2_bytes;
    out_.multiprocessors = gpu.multiprocessors;
    out_.clock_hertz = gpu.clock_hertz;
    out_.memory_probe_bytes = memory_.size();
  }

  Status MeasureRead() {
    constexpr int64_t kBytes = int64_t{512} << 20;  // several times the largest L2 cache
    QNEXT_ASSIGN_OR_RETURN(const DeviceBuffer data, DeviceBuffer::Allocate(kBytes, "measuring the GPU's memory"));
    for (int i = 0; i < options_.repeats; ++i) {
      QNEXT_ASSIGN_OR_RETURN(const double rate, cuda::MeasureReadRate(data.data(), kBytes, stream_.get()));
      out_.read.push_back(rate);
    }
    return Status();
  }

  Status MeasureLink(const cuda::LinkMemory& link) {
    for (const int64_t bytes : {kProbeExpertBytes, int64_t{512} << 10, int64_t{16} << 20}) {
      QNEXT_ASSIGN_OR_RETURN(std::vector<double> rate,
                             cuda::MeasureCopies(link, bytes, options_.repeats, stream_.get()));
      out_.links.push_back({.way = "copy", .bytes = bytes, .rate = std::move(rate)});
    }
    return out_.pinned ? MeasureGather() : Status();
  }

  Status MeasureGather() {
    const int64_t experts = memory_.size() / kProbeExpertBytes;
    QNEXT_ASSIGN_OR_RETURN(const DeviceBuffer target,
                           DeviceBuffer::Allocate(kFetched * kProbeExpertBytes, "measuring fetches"));
    QNEXT_ASSIGN_OR_RETURN(const PinnedBuffer lists,
                           PinnedBuffer::Allocate((1 + kFetched + experts + kFetched) * 4, "measuring fetches"));
    auto* count = reinterpret_cast<int32_t*>(lists.data());
    int32_t *slots = count + 1, *order = slots + kFetched;
    *count = kFetched;
    for (int32_t i = 0; i < kFetched; ++i) slots[i] = i;
    for (int64_t i = 0; i < experts; ++i) order[i] = static_cast<int32_t>(i);
    std::shuffle(order, order + experts, std::mt19937(1));
    for (int64_t i = 0; i < kFetched; ++i) order[experts + i] = order[i % experts];  // a list may run over the end
    // Every thread reads them: from mapped memory that would be what is measured.
    QNEXT_ASSIGN_OR_RETURN(const DeviceBuffer device_lists, DeviceBuffer::Allocate(lists.bytes(), "measuring fetches"));
    auto* device_count = reinterpret_cast<int32_t*>(device_lists.data());
    QNEXT_RETURN_IF_ERROR(cuda::LaunchCopyWords(count, device_count, lists.bytes() / 4, stream_.get()));
    int64_t next = 0;
    QNEXT_ASSIGN_OR_RETURN(
        std::vector<double> times, cuda::TimeRuns(stream_.get(), options_.repeats, [&] {
          for (int64_t i = 0; i < kFetches; ++i, next = (next + kFetched) % experts) {
            QNEXT_RETURN_IF_ERROR(cuda::LaunchFetchExperts({.source = memory_.data(),
                                                            .target = target.data(),
                                                            .stride = kProbeExpertBytes,
                                                            .bytes = kProbeExpertBytes,
                                                            .count = device_count,
                                                            .experts = device_count + (order - count) + next,
                                                            .slots = device_count + (slots - count),
                                                            .blocks = kFetchBlocks},
                                                           stream_.get()));
          }
          return Status();
        }));
    for (double& time : times) time = static_cast<double>(kFetches * kFetched * kProbeExpertBytes) / (time * 1e-6);
    out_.links.push_back({.way = "gather", .bytes = kProbeExpertBytes, .rate = std::move(times)});
    return Status();
  }

  // Both ways of reading, with and without prefetch: the better one, as in the figures of memory alone.
  Status MeasureTogether(const cuda::LinkMemory& link) {
    for (const int threads : options_.threads) {
      const std::unique_ptr<ThreadPool> pool = options_.pool(threads);
      cuda::SharedRates best;
      for (const bool prefetch : {false, true}) {
        QNEXT_ASSIGN_OR_RETURN(cuda::SharedRates rates, cuda::MeasureShared(link, *pool, prefetch, kProbeExpertBytes,
                                                                            options_.repeats, stream_.get()));
        if (best.cpu.empty() || rates.sum() > best.sum()) best = std::move(rates);
      }
      out_.shared.push_back({.threads = threads, .cpu = std::move(best.cpu), .link = std::move(best.link)});
    }
    return Status();
  }

  // Buffers of a prompt's block; once counted, once taken.
  cuda::ExpertsArgs LayOut(Arena& arena, cuda::ExpertGroupsScratch& scratch, int32_t*& slots) const {
    const auto int8 = [&](int64_t rows, int64_t width) {
      return Int8Rows{.codes = arena.Take<int8_t>(rows * width),
                      .scales = arena.Take<float>(rows * width / kInt4BlockInputs),
                      .sums = arena.Take<int32_t>(rows * width / kInt4BlockInputs),
                      .in_padded = width};
    };
    arena.Begin("products");
    const int64_t stride = cuda::ExpertSlots::BytesOf(kGateUp, kDown);
    cuda::ExpertsArgs args = {
        .slots = {.base = arena.TakeBytes(kExperts * stride), .stride = stride, .gate_up = kGateUp, .down = kDown},
        .entry_weights = arena.Take<float>(kPairs),
        .x = int8(kRows, kHidden),
        .x_up = Int8Rows{nullptr, nullptr, nullptr, 0},
        .x_per_entry = false,
        .m = kRows,
        .entries = kEntries};
    slots = arena.Take<int32_t>(kPairs);
    args.entry_slots = slots;
    args.hidden = int8(kPairs, kInner);
    args.out = arena.Take<float>(kRows * kHidden);
    scratch = {.counts = arena.Take<int32_t>(kExperts + 1),
               .pair_rows = arena.Take<int32_t>(kPairs),
               .pair_out = arena.Take<float>(kPairs * kHidden),
               .slots_begin = 0,
               .slots_count = kExperts,
               .shared_slot = -1};
    return args;
  }

  Status MeasureProducts() {
    cuda::ExpertGroupsScratch scratch;
    int32_t* slots = nullptr;
    Arena counting;
    LayOut(counting, scratch, slots);
    QNEXT_ASSIGN_OR_RETURN(const DeviceBuffer buffer, DeviceBuffer::Allocate(counting.used(), "measuring products"));
    Arena arena(buffer.data(), buffer.bytes());
    const cuda::ExpertsArgs args = LayOut(arena, scratch, slots);
    // Weights as large and as various as real ones: a GPU draws less power, and clocks higher, on zeros.
    for (int64_t at = 0; at < buffer.bytes(); at += memory_.size()) {
      QNEXT_RETURN_IF_ERROR(cuda::CopyToGpu(buffer.data() + at, memory_.data(),
                                            std::min(buffer.bytes() - at, memory_.size()), stream_.get()));
    }
    std::vector<int32_t> choice(kPairs);  // each row its own experts, every expert as many rows
    for (int64_t i = 0; i < kPairs; ++i) choice[static_cast<size_t>(i)] = static_cast<int32_t>(i * 7 % kExperts);
    QNEXT_RETURN_IF_ERROR(cuda::CopyToGpu(reinterpret_cast<std::byte*>(slots),
                                          reinterpret_cast<const std::byte*>(choice.data()), kPairs * 4,
                                          stream_.get()));
    QNEXT_ASSIGN_OR_RETURN(std::vector<double> times, cuda::TimeRuns(stream_.get(), 3 * options_.repeats, [&] {
                             return cuda::LaunchExpertsGrouped(args, scratch, stream_.get());
                           }));
    constexpr double kOperations = 2.0 * kPairs * 3 * kHidden * kInner;
    for (double& time : times) time = kOperations / (time * 1e-6);
    out_.matmul_flops = std::move(times);
    return cuda::Synchronize(stream_.get(), kLimit, "int4 products");
  }

  const ProbeMemory& memory_;
  const GpuProbeOptions& options_;
  cuda::OwnedStream stream_;
  GpuMeasurements out_;
};

}  // namespace

Result<GpuMeasurements> MeasureGpu(const ProbeMemory& memory, const GpuProbeOptions& options) {
  return GpuProbeRun(memory, options).Run();
}

}  // namespace qnext
