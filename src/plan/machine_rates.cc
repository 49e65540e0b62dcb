#include "plan/machine_rates.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "config/field_reader.h"
#include "config/json_value.h"

namespace qnext {
namespace {

constexpr double kLeastRate = 1e6, kMostRate = 1e15;

// A number, or the median of a measured spread.
Result<double> Rate(const FieldReader& fields, std::string_view key, double min, double max) {
  const JsonValue* value = fields.Find(key);
  if (value != nullptr && value->object() != nullptr) {
    return FieldReader(*value, fields.context() + ": " + std::string(key)).Number("median", min, max);
  }
  return fields.Number(key, min, max);
}

Result<const JsonValue*> Object(const FieldReader& fields, std::string_view key) {
  const JsonValue* value = fields.Find(key);
  if (value == nullptr) return fields.Invalid(key, "is missing");
  if (value->object() == nullptr) return fields.Invalid(key, "must be an object, not " + value->Describe());
  return value;
}

Status ReadMemory(const FieldReader& memory, MachineRates& rates) {
  const JsonValue* list = memory.Find("read");
  if (list == nullptr || list->array() == nullptr || list->array()->empty()) {
    return memory.Invalid("read", "must be a list of rates, one for each number of threads");
  }
  for (size_t i = 0; i < list->array()->size(); ++i) {
    const FieldReader entry((*list->array())[i], fmt::format("{}: read[{}]", memory.context(), i));
    QNEXT_ASSIGN_OR_RETURN(const int64_t threads, entry.Integer("threads", 1, 4096));
    QNEXT_ASSIGN_OR_RETURN(const double rate, Rate(entry, "bytes_per_second", kLeastRate, kMostRate));
    rates.memory_read.push_back({.threads = threads, .rate = rate});
  }
  std::ranges::sort(rates.memory_read, {}, &MachineRates::ThreadRate::threads);
  return Status();
}

Status ReadGpu(const FieldReader& gpu, MachineRates& rates) {
  QNEXT_ASSIGN_OR_RETURN(rates.gpu_read, Rate(gpu, "read_bytes_per_second", kLeastRate, kMostRate));
  QNEXT_ASSIGN_OR_RETURN(rates.link, Rate(gpu, "link_bytes_per_second", kLeastRate, kMostRate));
  if (gpu.Find("matmul_flops") != nullptr) {
    QNEXT_ASSIGN_OR_RETURN(rates.matmul_flops, Rate(gpu, "matmul_flops", 1e9, 1e18));
  }
  if (gpu.Find("step_overhead_seconds") != nullptr) {
    QNEXT_ASSIGN_OR_RETURN(rates.step_overhead, Rate(gpu, "step_overhead_seconds", 0, 1));
  }
  if (gpu.Find("memory_bytes") != nullptr) {
    QNEXT_ASSIGN_OR_RETURN(rates.vram_bytes, gpu.Integer("memory_bytes", 0, int64_t{1} << 50));
  }
  const JsonValue* list = gpu.Find("shared");
  if (list == nullptr) return Status();
  if (list->array() == nullptr) return gpu.Invalid("shared", "must be a list");
  for (size_t i = 0; i < list->array()->size(); ++i) {
    const FieldReader entry((*list->array())[i], fmt::format("{}: shared[{}]", gpu.context(), i));
    MachineRates::SharedRate shared;
    QNEXT_ASSIGN_OR_RETURN(shared.threads, entry.Integer("threads", 1, 4096));
    QNEXT_ASSIGN_OR_RETURN(shared.cpu, Rate(entry, "cpu_bytes_per_second", kLeastRate, kMostRate));
    QNEXT_ASSIGN_OR_RETURN(shared.link, Rate(entry, "link_bytes_per_second", kLeastRate, kMostRate));
    rates.shared.push_back(shared);
  }
  std::ranges::sort(rates.shared, {}, &MachineRates::SharedRate::threads);
  return Status();
}

// The two entries around `threads` and how far it lies between them; the ends go on for ever.
template <typename Entry>
std::pair<std::pair<const Entry*, const Entry*>, double> Around(const std::vector<Entry>& list, int64_t threads) {
  const auto above = std::ranges::find_if(list, [&](const Entry& entry) { return entry.threads >= threads; });
  if (above == list.end()) return {{&list.back(), &list.back()}, 0};
  if (above == list.begin() || above->threads == threads) return {{&*above, &*above}, 0};
  const auto below = above - 1;
  return {{&*below, &*above},
          static_cast<double>(threads - below->threads) / static_cast<double>(above->threads - below->threads)};
}

}  // namespace

double MachineRates::MemoryRead(int64_t threads) const {
  // Fewer threads than were measured: in proportion.
  if (threads < memory_read.front().threads) {
    return memory_read.front().rate * static_cast<double>(threads) / static_cast<double>(memory_read.front().threads);
  }
  const auto [entries, part] = Around(memory_read, threads);
  return entries.first->rate + part * (entries.second->rate - entries.first->rate);
}

MachineRates::SharedRate MachineRates::Both(int64_t threads) const {
  if (!shared.empty() && threads >= shared.front().threads) {
    const auto [entries, part] = Around(shared, threads);
    return {.threads = threads,
            .cpu = entries.first->cpu + part * (entries.second->cpu - entries.first->cpu),
            .link = entries.first->link + part * (entries.second->link - entries.first->link)};
  }
  double most = 0;
  for (const ThreadRate& rate : memory_read) most = std::max(most, rate.rate);
  const double left = std::max(0.1 * most, most - link);
  return {.threads = threads, .cpu = std::min(MemoryRead(threads), left), .link = std::min(link, most)};
}

std::optional<MachineRates> BuiltInMachine(std::string_view name) {
  MachineRates rates;
  if (name == "laptop") {
    rates.name = "laptop (16 GB Ada card at 576 GB/s, PCIe 12 GB/s, DDR5 85 GB/s; assumed)";
    rates.memory_read = {{1, 20e9}, {4, 60e9}, {8, 85e9}};
    rates.gpu_read = 576e9;
    rates.link = 12e9;
    rates.matmul_flops = 40e12;
    return rates;
  }
  if (name == "reference") {
    rates.name = "reference (H100, 16 cores of a Xeon)";
    rates.memory_read = {{1, 10e9}, {8, 81e9}, {15, 125e9}};
    rates.gpu_read = 3.06e12;
    rates.link = 50e9;
    rates.shared = {{8, 76e9, 45e9}, {12, 99e9, 38e9}, {15, 115e9, 35e9}};
    rates.matmul_flops = 180e12;
    return rates;
  }
  return std::nullopt;
}

Result<MachineRates> ParseMachineRates(const std::string& text, const std::string& path) {
  const Result<JsonValue> parsed = ParseJson(text);
  if (!parsed.ok()) return parsed.status().WithContext(path);
  if (parsed->object() == nullptr) return Corrupt(path + ": must be a JSON object");
  const FieldReader root(*parsed, path);
  QNEXT_ASSIGN_OR_RETURN(const std::string format, root.String("format"));
  if (format != "qnext-machine") return root.Invalid("format", "must be \"qnext-machine\", as bench machine writes it");
  QNEXT_ASSIGN_OR_RETURN(const int64_t version, root.Integer("format_version", 1, 1000));
  if (version != 1) return root.NotSupported("format_version", fmt::format("is {}; this program reads 1", version));

  MachineRates rates;
  rates.name = path;
  QNEXT_ASSIGN_OR_RETURN(const JsonValue* memory, Object(root, "memory"));
  const FieldReader memory_fields(*memory, path + ": memory");
  QNEXT_RETURN_IF_ERROR(ReadMemory(memory_fields, rates));
  if (memory_fields.Find("bytes") != nullptr) {
    QNEXT_ASSIGN_OR_RETURN(rates.ram_bytes, memory_fields.Integer("bytes", 0, int64_t{1} << 50));
  }
  if (root.Find("gpu") == nullptr) {
    return root.Invalid("gpu", "is missing: predictions need gpu.read_bytes_per_second and gpu.link_bytes_per_second");
  }
  QNEXT_ASSIGN_OR_RETURN(const JsonValue* gpu, Object(root, "gpu"));
  QNEXT_RETURN_IF_ERROR(ReadGpu(FieldReader(*gpu, path + ": gpu"), rates));
  return rates;
}

}  // namespace qnext
