#include <fmt/core.h>

#include "base/bytes.h"
#include "bench/machine_report.h"

namespace qnext {
namespace {

std::string Cell(const Spread& spread, double scale, int decimals) {
  return fmt::format("{:.{}f} ({:.{}f}…{:.{}f})", spread.median * scale, decimals, spread.min * scale, decimals,
                     spread.max * scale, decimals);
}

// The rate with that many threads, if it was measured.
std::string RateCell(const std::vector<ThreadRate>& rates, int threads) {
  for (const ThreadRate& rate : rates) {
    if (rate.threads == threads) return Cell(rate.bytes_per_second, 1e-9, 1);
  }
  return "–";
}

std::string GpuSection(const GpuFigures& gpu) {
  std::string out = fmt::format("\n## GPU\n\n{}, compute capability {}, {} of memory, {} processors", gpu.name,
                                gpu.compute_capability, FormatBytes(gpu.memory_bytes), gpu.multiprocessors);
  if (gpu.clock_hertz > 0) out += fmt::format(" at {:.2f} GHz at most", gpu.clock_hertz * 1e-9);
  out += fmt::format(". {}. CUDA: {}. {}\n\n", gpu.pci, gpu.cuda, gpu.driver);
  if (!gpu.pinned) out += "**The system refused to pin memory: copies were staged by the driver.**\n\n";
  out += fmt::format("| | |\n|---|---|\n| GPU memory, read | {} GB/s |\n", Cell(gpu.read, 1e-9, 0));
  for (const GpuFigures::Link& link : gpu.links) {
    out += fmt::format("| link, {} of {} | {} GB/s |\n", link.way, FormatBytes(link.bytes),
                       Cell(link.bytes_per_second, 1e-9, 1));
  }
  out += fmt::format("| handshake within a graph | {} µs |\n| int4 products of a prompt | {} TFLOP/s |\n",
                     Cell(gpu.handshake_seconds, 1e6, 1), Cell(gpu.matmul_flops, 1e-12, 0));
  out += fmt::format("\nCPU and link at once, GB/s ({} walked, half by each):\n\n| threads | CPU | link | together |\n",
                     FormatBytes(gpu.memory_probe_bytes));
  out += "|---|---|---|---|\n";
  for (const GpuFigures::Shared& both : gpu.shared) {
    out += fmt::format("| {} | {} | {} | {:.1f} |\n", both.threads, Cell(both.cpu, 1e-9, 1), Cell(both.link, 1e-9, 1),
                       (both.cpu.median + both.link.median) * 1e-9);
  }
  return out;
}

}  // namespace

std::string FormatMachineMarkdown(const MachineReport& report) {
  std::string out = fmt::format("# qnext machine report\n\n{}\n\n", report.date);
  out += fmt::format("{}: {} cores ({} of the fastest kind), {} logical CPUs, {} of L3, {}", report.cpu, report.cores,
                     report.fast_cores, report.logical_cpus, FormatBytes(report.l3_bytes), report.features);
  if (report.clock_hertz > 0) out += fmt::format(", {:.2f} GHz measured", report.clock_hertz * 1e-9);
  if (report.cpu_quota > 0) out += fmt::format(", limited to {:.3g} CPUs", report.cpu_quota);
  out += fmt::format(". {} of RAM, {} available", FormatBytes(report.memory_bytes),
                     FormatBytes(report.memory_available_bytes));
  if (report.memory_limit_bytes > 0) out += fmt::format(", limited to {}", FormatBytes(report.memory_limit_bytes));
  out += ".\n";
  if (report.busy_elsewhere > 0.1) {
    out += fmt::format(
        "\n**The machine was not idle: {:.1f} of its CPUs did something else meanwhile. The figures are too low.**\n",
        report.busy_elsewhere);
  }
  out += fmt::format("\n## Memory, GB/s ({} walked)\n\n| threads | read | write | copy |\n|---|---|---|---|\n",
                     FormatBytes(report.memory_probe_bytes));
  for (const ThreadRate& rate : report.read) {
    out += fmt::format("| {} | {} | {} | {} |\n", rate.threads, Cell(rate.bytes_per_second, 1e-9, 1),
                       RateCell(report.write, rate.threads), RateCell(report.copy, rate.threads));
  }
  out +=
      "\n## Int4 products, one row, int8 activations\n\n| path | threads | GB/s of weights | share of read |\n"
      "|---|---|---|---|\n";
  for (const ProductRate& rate : report.int4_products) {
    out += fmt::format("| {} | {} | {} | {:.0f}% |\n", rate.path, rate.threads, Cell(rate.bytes_per_second, 1e-9, 1),
                       100 * rate.share_of_read);
  }
  out += "\n## Parallel loops, µs\n\n| threads | start and end | from sleep |\n|---|---|---|\n";
  for (const LoopCost& cost : report.loops) {
    out +=
        fmt::format("| {} | {} | {} |\n", cost.threads, Cell(cost.seconds, 1e6, 2), Cell(cost.wake_up_seconds, 1e6, 1));
  }
  if (report.disk) {
    out += fmt::format("\n## Disk\n\n{}: {} GB/s, {} reads at a time, {}.\n", report.disk->path,
                       Cell(report.disk->bytes_per_second, 1e-9, 2), report.disk->threads,
                       report.disk->direct ? "past the page cache"
                                           : "through the page cache (the file system refuses O_DIRECT), so perhaps "
                                             "from memory");
  }
  if (report.gpu) out += GpuSection(*report.gpu);
  if (!report.no_gpu.empty()) out += fmt::format("\nNo GPU was measured: {}.\n", report.no_gpu);
  out += "\nMedian (minimum…maximum).\n";
  if (!report.facts.empty()) out += "\n## More\n\n| | |\n|---|---|\n";
  for (const Fact& fact : report.facts) out += fmt::format("| {} | {} |\n", fact.name, fact.value);
  return out;
}

}  // namespace qnext
