#include "cli/machine_probe.h"

#include <fmt/core.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <set>
#include <sstream>

#include "base/aligned_buffer.h"
#include "base/bytes.h"
#include "cli/machine.h"
#include "cli/version.h"
#include "engine/device.h"
#include "engine/gpu_probe.h"
#include "hw/cgroup.h"
#include "hw/disk_probe.h"
#include "hw/memory_probe.h"
#include "hw/pool_probe.h"
#include "hw/topology.h"
#include "kernels/cpu/cpu_kernels.h"
#include "quant/int4_matrix.h"

namespace qnext {
namespace {

// The gate_proj of an expert of the 80B.
constexpr Int4Layout kExpertLayout = {.out = 512, .in = 2048, .group_size = 128};

constexpr int64_t kLeastMemory = int64_t{64} << 20, kMostMemory = int64_t{4} << 30, kUsualMemory = int64_t{512} << 20;

std::string FirstLine(const std::string& text) { return text.substr(0, text.find('\n')); }

// Seconds of CPU time that this process has used.
double OwnCpuSeconds() {
  rusage usage = {};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec);
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

double BusySeconds() {
  return static_cast<double>(BusyTicks(ReadSystemFile("/proc/stat"))) / static_cast<double>(sysconf(_SC_CLK_TCK));
}

// Random bytes whose every 16-bit pair is a small finite F16, so that they serve as codes and as scales.
void FillWithWeights(ProbeMemory& memory, ThreadPool& pool) {
  constexpr int64_t kPiece = int64_t{1} << 20;
  pool.ParallelFor(memory.size() / kPiece, 1, [&](Range pieces, int) {
    auto* words = reinterpret_cast<uint64_t*>(memory.data());
    for (int64_t i = pieces.begin * kPiece / 8; i < pieces.end * kPiece / 8; ++i) {
      const uint64_t bits = static_cast<uint64_t>(i) * 0x9e3779b97f4a7c15u;
      words[i] = ((bits ^ bits >> 29) & 0x83ff83ff83ff83ffu) | 0x2c002c002c002c00u;
    }
  });
}

// Walks over expert matrices that fill `memory`.
class Int4Walk {
 public:
  Int4Walk(const Kernels& kernels, const ProbeMemory& memory, int threads)
      : kernels_(kernels),
        memory_(memory),
        codes_(kExpertLayout.in_padded()),
        scales_(kExpertLayout.in_padded() / kInt4BlockInputs),
        sums_(kExpertLayout.in_padded() / kInt4BlockInputs),
        out_(threads * kExpertLayout.out) {
    AlignedBuffer<float> x(kExpertLayout.in);
    for (int64_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i % 17 - 8) / 8;
    kernels.quantize_rows({.x = x.data(),
                           .permutation = nullptr,
                           .out = Input(),
                           .m = 1,
                           .in = kExpertLayout.in,
                           .x_stride = kExpertLayout.in},
                          Range{0, 1});
  }

  // Bytes of weights per second of one walk.
  double Measure(ThreadPool& pool) {
    const int64_t matrices = memory_.size() / kExpertLayout.bytes();
    const auto start = std::chrono::steady_clock::now();
    pool.ParallelFor(matrices, 1, [&](Range part, int thread) {
      kernels_.int4_matmul_i8({.weight = {kExpertLayout, memory_.data() + part.begin * kExpertLayout.bytes()},
                               .x = Input(),
                               .y = out_.data() + thread * kExpertLayout.out,
                               .m = 1,
                               .y_stride = kExpertLayout.out},
                              Range{0, kExpertLayout.tiles()});
    });
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
    return static_cast<double>(matrices * kExpertLayout.bytes()) / elapsed.count();
  }

 private:
  Int8Rows Input() {
    return {
        .codes = codes_.data(), .scales = scales_.data(), .sums = sums_.data(), .in_padded = kExpertLayout.in_padded()};
  }

  const Kernels& kernels_;
  const ProbeMemory& memory_;
  AlignedBuffer<int8_t> codes_;
  AlignedBuffer<float> scales_;
  AlignedBuffer<int32_t> sums_;
  AlignedBuffer<float> out_;
};

// Where a thread may run, as it was at first: pools pin their calling thread.
class Affinity {
 public:
  Affinity() { known_ = sched_getaffinity(0, sizeof(cpus_), &cpus_) == 0; }
  void Restore() const {
    if (known_) sched_setaffinity(0, sizeof(cpus_), &cpus_);
  }

 private:
  cpu_set_t cpus_ = {};
  bool known_ = false;
};

GpuFigures ToFigures(GpuMeasurements gpu) {
  GpuFigures figures{.name = std::move(gpu.name),
                     .compute_capability = std::move(gpu.compute_capability),
                     .driver = std::move(gpu.driver),
                     .cuda = std::move(gpu.cuda),
                     .pci = std::move(gpu.pci),
                     .memory_bytes = gpu.memory_bytes,
                     .l2_bytes = gpu.l2_bytes,
                     .multiprocessors = gpu.multiprocessors,
                     .clock_hertz = gpu.clock_hertz,
                     .memory_probe_bytes = gpu.memory_probe_bytes,
                     .pinned = gpu.pinned,
                     .read = SpreadOf(gpu.read),
                     .links = {},
                     .shared = {},
                     .handshake_seconds = SpreadOf(gpu.handshake_seconds),
                     .matmul_flops = SpreadOf(gpu.matmul_flops)};
  for (const GpuMeasurements::Link& link : gpu.links) {
    figures.links.push_back({.way = link.way, .bytes = link.bytes, .bytes_per_second = SpreadOf(link.rate)});
  }
  for (const GpuMeasurements::Shared& both : gpu.shared) {
    figures.shared.push_back({.threads = both.threads, .cpu = SpreadOf(both.cpu), .link = SpreadOf(both.link)});
  }
  return figures;
}

class MachineProbe {
 public:
  MachineProbe(const MachineProbeOptions& options, CpuTopology topology)
      : options_(options), topology_(std::move(topology)) {}

  Result<MachineReport> Run();

 private:
  void Describe();
  int64_t MemoryBytes() const;
  void MeasureRates(ProbeMemory& memory);
  Status MeasureProducts(ProbeMemory& memory);
  Status MeasureGpuSide(const ProbeMemory& memory);
  void MeasureLoops();
  Status MeasureDisk();

  void Step(const std::string& what) {
    if (options_.progress) options_.progress(++step_, options_.disk_path.empty() ? 5 : 6, what);
  }
  int cores() const { return static_cast<int>(topology_.cores.size()); }
  // Few threads walk through gigabytes for long.
  int Repeats(int threads) const { return threads <= 2 ? std::min(options_.repeats, 3) : options_.repeats; }
  std::unique_ptr<ThreadPool> UnpinnedPool(int threads) const {
    return std::make_unique<ThreadPool>(ThreadPoolOptions{.threads = threads, .cpus = topology_.PinnedCpus(threads)});
  }
  std::unique_ptr<ThreadPool> Pool(int threads) const {
    std::unique_ptr<ThreadPool> pool = UnpinnedPool(threads);
    pool->PinCallingThread();
    return pool;
  }

  const MachineProbeOptions& options_;
  const CpuTopology topology_;
  const Affinity affinity_;
  MachineReport report_;
  int64_t step_ = 0;
};

Result<MachineReport> MachineProbe::Run() {
  const auto start = std::chrono::steady_clock::now();
  const double busy_before = BusySeconds(), own_before = OwnCpuSeconds();
  if (options_.device == "cuda") {
    if (const Status gpu = DescribeGpu().status(); !gpu.ok()) return gpu.WithContext("--device cuda");
  }
  Describe();
  if (!options_.disk_path.empty()) QNEXT_RETURN_IF_ERROR(MeasureDisk());  // first: a wrong path is found at once
  {
    const std::unique_ptr<ThreadPool> all = Pool(cores());
    ProbeMemory memory(MemoryBytes(), *all);
    report_.memory_probe_bytes = memory.size();
    FillWithWeights(memory, *all);
    QNEXT_RETURN_IF_ERROR(MeasureProducts(memory));
    QNEXT_RETURN_IF_ERROR(MeasureGpuSide(memory));
    MeasureRates(memory);  // writes over the weights
  }
  MeasureLoops();
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  report_.busy_elsewhere =
      std::max(0.0, (BusySeconds() - busy_before) - (OwnCpuSeconds() - own_before)) / std::max(seconds, 1e-3);
  return std::move(report_);
}

void MachineProbe::Describe() {
  Step("what the machine is");
  const std::string meminfo = ReadSystemFile("/proc/meminfo"), cpuinfo = ReadSystemFile("/proc/cpuinfo");
  report_.cpu = topology_.model_name;
  report_.features = DetectCpuFeatures().ToString();
  report_.packages = topology_.packages;
  report_.numa_nodes = topology_.numa_nodes;
  report_.cores = cores();
  report_.fast_cores = static_cast<int>(std::ranges::count_if(
      topology_.cores, [&](const CpuCore& core) { return core.kind == topology_.cores.front().kind; }));
  report_.logical_cpus = topology_.logical_cpus;
  report_.cpu_quota = topology_.cpu_quota;
  report_.l3_bytes = topology_.l3_bytes;
  report_.memory_bytes = ProcBytes(meminfo, "MemTotal");
  report_.memory_available_bytes = ProcBytes(meminfo, "MemAvailable");
  report_.memory_limit_bytes = CgroupMemoryLimit();
  report_.clock_hertz = MeasureClock();
  std::istringstream(ReadSystemFile("/proc/loadavg")) >> report_.load_average;

  const auto add = [&](const char* name, const std::string& value) {
    if (!value.empty()) report_.facts.push_back({.name = name, .value = value});
  };
  utsname system = {};
  if (uname(&system) == 0) add("system", fmt::format("{} {}", system.sysname, system.release));
  const std::string frequency = "/sys/devices/system/cpu/cpu0/cpufreq/";
  add("frequency governor", FirstLine(ReadSystemFile(frequency + "scaling_governor")));
  const std::string most = FirstLine(ReadSystemFile(frequency + "cpuinfo_max_freq"));
  if (!most.empty()) add("highest frequency", most + " kHz");
  add("huge pages", FirstLine(ReadSystemFile("/sys/kernel/mm/transparent_hugepage/enabled")));
  add("hypervisor", cpuinfo.find(" hypervisor") != std::string::npos ? "yes" : "none seen");
  add("qnext", VersionText());
}

int64_t MachineProbe::MemoryBytes() const {
  if (options_.memory_bytes > 0) return options_.memory_bytes;
  int64_t free = report_.memory_available_bytes;
  if (report_.memory_limit_bytes > 0) free = std::min(free, report_.memory_limit_bytes);
  // What the link reads must not come from a cache; and CPU and link walk through a half each.
  const bool gpu = options_.device != "cpu" && DescribeGpu().ok();
  const int64_t wanted = gpu ? kMostMemory : std::clamp(16 * report_.l3_bytes, kUsualMemory, kMostMemory);
  return std::max(kLeastMemory, std::min(wanted, free / 4));
}

void MachineProbe::MeasureRates(ProbeMemory& memory) {
  Step("memory");
  for (const int threads : ThreadCounts(cores(), topology_.DefaultThreads())) {
    const std::unique_ptr<ThreadPool> pool = Pool(threads);
    const auto rate = [&](MemoryOperation operation) {
      return ThreadRate{.threads = threads,
                        .bytes_per_second = SpreadOf(MeasureMemory(operation, memory, *pool, Repeats(threads)))};
    };
    report_.read.push_back(rate(MemoryOperation::kRead));
    report_.write.push_back(rate(MemoryOperation::kWrite));
    report_.copy.push_back(rate(MemoryOperation::kCopy));
  }
}

Status MachineProbe::MeasureProducts(ProbeMemory& memory) {
  Step("int4 products");
  const CpuFeatures features = DetectCpuFeatures();
  QNEXT_ASSIGN_OR_RETURN(const Kernels* best, SelectCpuKernels(features, std::nullopt));
  std::vector<const Kernels*> paths = {best};
  for (const CpuIsa isa : {CpuIsa::kAvxVnni, CpuIsa::kAvx2}) {
    if (CpuIsaSupported(isa, features) && &CpuKernels(isa) != best) paths.push_back(&CpuKernels(isa));
  }
  for (const Kernels* path : paths) {
    for (const int threads : std::set<int>{1, std::max(1, cores() / 2), topology_.DefaultThreads(), cores()}) {
      const std::unique_ptr<ThreadPool> pool = Pool(threads);
      Int4Walk walk(*path, memory, threads);
      walk.Measure(*pool);
      std::vector<double> products, reads;
      for (int i = 0; i < Repeats(threads); ++i) {  // in turn, so that a share compares neighbours in time
        reads.push_back(MeasureMemory(MemoryOperation::kRead, memory, *pool));
        products.push_back(walk.Measure(*pool));
      }
      const Spread rate = SpreadOf(products);
      report_.int4_products.push_back({.path = path->name,
                                       .threads = threads,
                                       .bytes_per_second = rate,
                                       .share_of_read = rate.median / SpreadOf(reads).median});
    }
  }
  return {};
}

Status MachineProbe::MeasureGpuSide(const ProbeMemory& memory) {
  Step("GPU and link");
  if (options_.device == "cpu") {
    report_.no_gpu = "--device cpu";
    return {};
  }
  affinity_.Restore();  // this thread feeds the link, beside the pools' threads
  std::set<int> threads = {1, 2, 4, 8, topology_.DefaultThreads(), cores()};
  std::erase_if(threads, [this](int count) { return count > cores(); });
  Result<GpuMeasurements> gpu = MeasureGpu(
      memory,
      {.repeats = options_.repeats,
       .threads = {threads.begin(), threads.end()},
       .pool = [this](int count) { return UnpinnedPool(count); },
       .progress =
           options_.progress
               ? [this](const std::string& what) { options_.progress(step_, options_.disk_path.empty() ? 5 : 6, what); }
               : std::function<void(const std::string&)>()});
  if (!gpu.ok()) {
    if (options_.device == "cuda") return gpu.status().WithContext("--device cuda");
    report_.no_gpu = gpu.status().message();
    return {};
  }
  report_.gpu = ToFigures(*std::move(gpu));
  return {};
}

void MachineProbe::MeasureLoops() {
  Step("parallel loops");
  for (const int threads : ThreadCounts(cores(), topology_.DefaultThreads())) {
    const std::unique_ptr<ThreadPool> pool = Pool(threads);
    report_.loops.push_back({.threads = threads,
                             .seconds = SpreadOf(MeasureForkJoin(*pool, 3 * options_.repeats)),
                             .wake_up_seconds = SpreadOf(MeasureWakeUp(*pool, 15 * options_.repeats))});
  }
}

Status MachineProbe::MeasureDisk() {
  Step("disk");
  QNEXT_ASSIGN_OR_RETURN(const DiskRate rate, MeasureDiskRead(options_.disk_path, {.passes = options_.repeats}));
  report_.disk = {.path = rate.path,
                  .direct = rate.direct,
                  .threads = rate.threads,
                  .bytes = rate.bytes,
                  .bytes_per_second = SpreadOf(rate.bytes_per_second)};
  return {};
}

}  // namespace

Result<MachineReport> MeasureMachine(const MachineProbeOptions& options) {
  QNEXT_ASSIGN_OR_RETURN(CpuTopology topology, DetectCpuTopology());
  return MachineProbe(options, std::move(topology)).Run();
}

std::vector<int> ThreadCounts(int cores, int default_threads) {
  std::set<int> counts = {1, std::clamp(default_threads, 1, cores), cores};
  for (int threads = 2; threads < cores; threads *= 2) counts.insert(threads);
  return {counts.begin(), counts.end()};
}

int64_t BusyTicks(const std::string& proc_stat) {
  std::istringstream in(proc_stat);
  std::string name;
  int64_t user = 0, nice = 0, system = 0, idle = 0, wait = 0, interrupts = 0, soft_interrupts = 0, stolen = 0;
  if (!(in >> name >> user >> nice >> system >> idle >> wait >> interrupts >> soft_interrupts >> stolen)) return 0;
  return name == "cpu" ? user + nice + system + interrupts + soft_interrupts + stolen : 0;
}

}  // namespace qnext
