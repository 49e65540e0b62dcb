// The CPU's experts of a decode step (experts/cpu_experts.h) at the 80B's shapes, as a share of what the machine reads
// from memory: random experts out of a store far beyond the caches, some at a time, as a hybrid step asks for them.
//
//   experts_workbench [threads ...]
#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <random>
#include <vector>

#include "experts/cpu_experts.h"
#include "experts/expert_store.h"
#include "hw/memory_probe.h"
#include "hw/topology.h"
#include "kernels/cpu/cpu_kernels.h"

namespace qnext {
namespace {

constexpr int64_t kHidden = 2048, kIntermediate = 512, kExperts = 1024;
constexpr int kCalls = 400, kRepeats = 7;

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

void Measure(int threads, const CpuTopology& topology, int64_t group_size) {
  ThreadPool pool(ThreadPoolOptions{
      .threads = threads, .spin = std::chrono::microseconds(2000), .cpus = topology.PinnedCpus(threads)});
  pool.PinCallingThread();
  CpuExpertLayer layer = {
      .base = nullptr,
      .stride = 0,
      .gate_up = {.out = kIntermediate, .in = kHidden, .group_size = group_size, .scale_dtype = DType::kF16},
      .down = {.out = kHidden, .in = kIntermediate, .group_size = group_size, .scale_dtype = DType::kF16}};
  layer.stride = 2 * layer.gate_up.bytes() + layer.down.bytes();
  const ExpertStore store = ExpertStore::Make(1, kExperts, layer.stride).value();
  layer.base = store.data();
  // Codes are any bits; scales are small positive F16.
  pool.ParallelFor(kExperts, 1, [&](Range part, int) {
    std::mt19937_64 random(static_cast<uint64_t>(part.begin));
    for (int64_t e = part.begin; e < part.end; ++e) {
      auto* words = reinterpret_cast<uint64_t*>(store.Expert(0, e));
      for (int64_t i = 0; i < layer.stride / 8; ++i) words[i] = (random() & 0x83ff83ff83ff83ffu) | 0x1c001c001c001c00u;
    }
  });
  ProbeMemory memory(int64_t{1} << 30, pool);
  std::vector<int8_t> codes(kHidden, 3);
  std::vector<float> scales(kHidden / 32, 0.01f), sum(kHidden);
  std::vector<int32_t> sums(kHidden / 32, 96);
  const Int8Rows x = {.codes = codes.data(), .scales = scales.data(), .sums = sums.data(), .in_padded = kHidden};
  std::mt19937 random(1);
  for (const CpuIsa isa : SupportedCpuIsas(DetectCpuFeatures())) {
    if (isa == CpuIsa::kGeneric) continue;
    CpuExperts experts(CpuKernels(isa), pool, 1, 10, kHidden, kIntermediate);
    for (const int64_t count : {1, 2, 4, 7, 10}) {
      const std::vector<int32_t> rows(static_cast<size_t>(count));
      const std::vector<float> weights(rows.size(), 0.1f);
      std::vector<int32_t> chosen(rows.size());
      std::vector<double> rates, reads;
      for (int repeat = 0; repeat <= kRepeats; ++repeat) {
        reads.push_back(MeasureMemory(MemoryOperation::kRead, memory, pool));
        const auto start = std::chrono::steady_clock::now();
        for (int call = 0; call < kCalls; ++call) {
          const auto first = static_cast<int32_t>(random() % kExperts);
          for (size_t i = 0; i < chosen.size(); ++i) {
            chosen[i] = static_cast<int32_t>((first + static_cast<int32_t>(i) * 97) % kExperts);
          }
          experts.Run(layer, {.rows = rows, .experts = chosen, .weights = weights}, x, 1, sum.data());
        }
        const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
        if (repeat == 0) continue;
        rates.push_back(static_cast<double>(kCalls * count * layer.stride) / seconds);
      }
      const double rate = Median(rates), read = Median(reads);
      fmt::print(
          "{:>3} threads {:<12} group {:<4} {:>2} experts: {:>6.1f} GB/s, {:>3.0f}% of {:.1f}, {:>6.1f} us a call\n",
          threads, CpuIsaName(isa), group_size, count, rate / 1e9, 100 * rate / read, read / 1e9,
          1e6 * static_cast<double>(count * layer.stride) / rate);
    }
  }
}

}  // namespace
}  // namespace qnext

int main(int argc, char** argv) {
  const qnext::CpuTopology topology = qnext::DetectCpuTopology().value();
  if (argc == 1) qnext::Measure(topology.DefaultThreads(), topology, 128);
  for (int i = 1; i < argc; ++i) qnext::Measure(std::max(1, std::atoi(argv[i])), topology, 128);
  return 0;
}
