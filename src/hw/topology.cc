#include "hw/topology.h"

#include <hwloc.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <memory>

#include "hw/cgroup.h"

namespace qnext {
namespace {

struct TopologyDeleter {
  void operator()(hwloc_topology* topology) const { hwloc_topology_destroy(topology); }
};
using TopologyPtr = std::unique_ptr<hwloc_topology, TopologyDeleter>;

}  // namespace

int CpuTopology::DefaultThreads() const {
  int fast = 0;
  for (const CpuCore& core : cores) fast += core.kind == cores.front().kind ? 1 : 0;
  int threads = fast - 1;
  if (cpu_quota > 0) threads = std::min(threads, static_cast<int>(std::floor(cpu_quota)));
  return std::max(threads, 1);
}

std::vector<int> CpuTopology::PinnedCpus(int threads) const {
  if (threads > static_cast<int>(cores.size()) || (cpu_quota > 0 && cpu_quota < threads)) return {};
  std::vector<int> chosen;
  for (int i = 0; i < threads; ++i) chosen.push_back(cores[static_cast<size_t>(i)].cpu);
  return chosen;
}

std::vector<int> CpuTopology::OtherCpus(int threads) const {
  const std::vector<int> pinned = PinnedCpus(threads);
  if (pinned.empty()) return {};
  std::vector<int> others;
  for (size_t i = pinned.size(); i < cores.size(); ++i) others.push_back(cores[i].cpu);
  if (!others.empty()) return others;
  const auto taken = [&](int cpu) { return std::ranges::find(pinned, cpu) != pinned.end(); };
  std::ranges::copy_if(cpus, std::back_inserter(others), [&](int cpu) { return !taken(cpu); });
  return others.empty() ? pinned : others;
}

Result<CpuTopology> DetectCpuTopology() {
  hwloc_topology_t raw = nullptr;
  if (hwloc_topology_init(&raw) != 0) return Internal("hwloc: cannot be initialised");
  const TopologyPtr topology(raw);
  if (hwloc_topology_load(raw) != 0) return Internal("hwloc: cannot read the machine's topology");

  CpuTopology out;
  hwloc_bitmap_t bound = hwloc_bitmap_alloc();
  // The affinity mask of this process, within what the cgroup allows.
  if (hwloc_get_cpubind(raw, bound, HWLOC_CPUBIND_PROCESS) != 0 || hwloc_bitmap_iszero(bound) != 0) {
    hwloc_bitmap_copy(bound, hwloc_topology_get_allowed_cpuset(raw));
  }
  const int cores = hwloc_get_nbobjs_by_type(raw, HWLOC_OBJ_CORE);
  for (int i = 0; i < cores; ++i) {
    hwloc_obj_t core = hwloc_get_obj_by_type(raw, HWLOC_OBJ_CORE, static_cast<unsigned>(i));
    for (int cpu = hwloc_bitmap_first(core->cpuset); cpu >= 0; cpu = hwloc_bitmap_next(core->cpuset, cpu)) {
      if (hwloc_bitmap_isset(bound, static_cast<unsigned>(cpu)) == 0) continue;
      hwloc_bitmap_t one = hwloc_bitmap_alloc();
      hwloc_bitmap_only(one, static_cast<unsigned>(cpu));
      out.cores.push_back({.cpu = cpu, .kind = hwloc_cpukinds_get_by_cpuset(raw, one, 0)});
      hwloc_bitmap_free(one);
      break;
    }
  }
  for (int cpu = hwloc_bitmap_first(bound); cpu >= 0; cpu = hwloc_bitmap_next(bound, cpu)) out.cpus.push_back(cpu);
  out.logical_cpus = static_cast<int>(out.cpus.size());
  hwloc_bitmap_free(bound);
  out.packages = std::max(1, hwloc_get_nbobjs_by_type(raw, HWLOC_OBJ_PACKAGE));
  out.numa_nodes = std::max(1, hwloc_get_nbobjs_by_type(raw, HWLOC_OBJ_NUMANODE));
  out.cpu_quota = CgroupCpuQuota();
  for (hwloc_obj_t l3 = nullptr; (l3 = hwloc_get_next_obj_by_type(raw, HWLOC_OBJ_L3CACHE, l3)) != nullptr;) {
    out.l3_bytes += static_cast<int64_t>(l3->attr->cache.size);
  }
  if (hwloc_obj_t package = hwloc_get_obj_by_type(raw, HWLOC_OBJ_PACKAGE, 0); package != nullptr) {
    if (const char* name = hwloc_obj_get_info_by_name(package, "CPUModel"); name != nullptr) out.model_name = name;
  }
  if (out.cores.empty()) return Internal("hwloc: reports no core that this process may use");
  std::ranges::stable_sort(out.cores, [](const CpuCore& a, const CpuCore& b) { return a.kind > b.kind; });
  return out;
}

}  // namespace qnext
