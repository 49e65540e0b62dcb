#include <nlohmann/json.hpp>

#include "bench/machine_report.h"

namespace qnext {
namespace {

using Json = nlohmann::ordered_json;

Json ToJson(const Spread& spread) {
  return {{"samples", spread.samples}, {"median", spread.median}, {"min", spread.min}, {"max", spread.max}};
}

Json ToJson(const std::vector<ThreadRate>& rates) {
  Json array = Json::array();
  for (const ThreadRate& rate : rates) {
    array.push_back({{"threads", rate.threads}, {"bytes_per_second", ToJson(rate.bytes_per_second)}});
  }
  return array;
}

Json ToJson(const GpuFigures& gpu) {
  Json links = Json::array(), shared = Json::array();
  for (const GpuFigures::Link& link : gpu.links) {
    links.push_back({{"way", link.way}, {"bytes", link.bytes}, {"bytes_per_second", ToJson(link.bytes_per_second)}});
  }
  for (const GpuFigures::Shared& both : gpu.shared) {
    shared.push_back({{"threads", both.threads},
                      {"cpu_bytes_per_second", ToJson(both.cpu)},
                      {"link_bytes_per_second", ToJson(both.link)}});
  }
  Json json = {{"name", gpu.name},
               {"compute_capability", gpu.compute_capability},
               {"driver", gpu.driver},
               {"cuda", gpu.cuda},
               {"pci", gpu.pci},
               {"memory_bytes", gpu.memory_bytes},
               {"l2_bytes", gpu.l2_bytes},
               {"multiprocessors", gpu.multiprocessors},
               {"clock_hertz", gpu.clock_hertz},
               {"memory_probe_bytes", gpu.memory_probe_bytes},
               {"pinned", gpu.pinned},
               {"read_bytes_per_second", ToJson(gpu.read)}};
  if (!gpu.links.empty()) json["link_bytes_per_second"] = ToJson(gpu.links.front().bytes_per_second);
  json["links"] = std::move(links);
  json["shared"] = std::move(shared);
  json["handshake_seconds"] = ToJson(gpu.handshake_seconds);
  json["matmul_flops"] = ToJson(gpu.matmul_flops);
  return json;
}

}  // namespace

std::string FormatMachineJson(const MachineReport& report) {
  Json products = Json::array();
  for (const ProductRate& rate : report.int4_products) {
    products.push_back({{"path", rate.path},
                        {"threads", rate.threads},
                        {"bytes_per_second", ToJson(rate.bytes_per_second)},
                        {"share_of_read", rate.share_of_read}});
  }
  Json loops = Json::array();
  for (const LoopCost& cost : report.loops) {
    loops.push_back({{"threads", cost.threads},
                     {"seconds", ToJson(cost.seconds)},
                     {"wake_up_seconds", ToJson(cost.wake_up_seconds)}});
  }
  Json facts = Json::object();
  for (const Fact& fact : report.facts) facts[fact.name] = fact.value;
  Json disk;
  if (report.disk) {
    disk = {{"path", report.disk->path},
            {"direct", report.disk->direct},
            {"threads", report.disk->threads},
            {"bytes", report.disk->bytes},
            {"bytes_per_second", ToJson(report.disk->bytes_per_second)}};
  }
  Json json = {{"format", "qnext-machine"},
               {"format_version", 1},
               {"date", report.date},
               {"cpu",
                {{"model", report.cpu},
                 {"features", report.features},
                 {"packages", report.packages},
                 {"numa_nodes", report.numa_nodes},
                 {"cores", report.cores},
                 {"fast_cores", report.fast_cores},
                 {"logical_cpus", report.logical_cpus},
                 {"quota", report.cpu_quota},
                 {"l3_bytes", report.l3_bytes},
                 {"clock_hertz", report.clock_hertz}}},
               {"memory",
                {{"bytes", report.memory_bytes},
                 {"available_bytes", report.memory_available_bytes},
                 {"limit_bytes", report.memory_limit_bytes},
                 {"probe_bytes", report.memory_probe_bytes},
                 {"read", ToJson(report.read)},
                 {"write", ToJson(report.write)},
                 {"copy", ToJson(report.copy)}}},
               {"int4_products", std::move(products)},
               {"parallel_loops", std::move(loops)},
               {"disk", std::move(disk)},
               {"no_gpu", report.no_gpu},
               {"load_average", report.load_average},
               {"busy_elsewhere_cpus", report.busy_elsewhere},
               {"facts", std::move(facts)}};
  // A missing object and not null: that is how plans are told that there was no GPU.
  if (report.gpu) json["gpu"] = ToJson(*report.gpu);
  return json.dump(2, ' ', /*ensure_ascii=*/false, Json::error_handler_t::replace) + "\n";
}

}  // namespace qnext
