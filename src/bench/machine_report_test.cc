#include "bench/machine_report.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace qnext {
namespace {

MachineReport Abacus() {
  MachineReport report;
  report.date = "2030-01-02T03:04:05Z";
  report.cpu = "an abacus";
  report.features = "beads";
  report.packages = 1;
  report.numa_nodes = 1;
  report.cores = 12;
  report.fast_cores = 4;
  report.logical_cpus = 16;
  report.l3_bytes = 32 << 20;
  report.memory_bytes = int64_t{64} << 30;
  report.memory_available_bytes = int64_t{60} << 30;
  report.clock_hertz = 3.21e9;
  report.facts = {{.name = "system", .value = "wood"}};
  report.memory_probe_bytes = int64_t{1} << 30;
  report.read = {{.threads = 1, .bytes_per_second = SpreadOf({9e9, 10e9, 11.5e9})},
                 {.threads = 4, .bytes_per_second = SpreadOf({40e9})}};
  report.write = {{.threads = 4, .bytes_per_second = SpreadOf({20e9})}};
  report.copy = {{.threads = 4, .bytes_per_second = SpreadOf({15e9})}};
  report.int4_products = {
      {.path = "avx2", .threads = 4, .bytes_per_second = SpreadOf({36e9, 37e9}), .share_of_read = 0.91}};
  report.loops = {{.threads = 4, .seconds = SpreadOf({1.25e-6}), .wake_up_seconds = SpreadOf({50e-6})}};
  return report;
}

TEST(MachineReportTest, JsonHasNumbersUnderStableKeys) {
  MachineReport report = Abacus();
  nlohmann::json json = nlohmann::json::parse(FormatMachineJson(report));
  EXPECT_EQ(json["format"], "qnext-machine");
  EXPECT_EQ(json["format_version"], 1);
  EXPECT_EQ(json["cpu"]["fast_cores"], 4);
  EXPECT_EQ(json["memory"]["read"][0]["threads"], 1);
  EXPECT_EQ(json["memory"]["read"][0]["bytes_per_second"]["median"], 10e9);
  EXPECT_EQ(json["memory"]["read"][0]["bytes_per_second"]["max"], 11.5e9);
  EXPECT_EQ(json["memory"]["copy"][0]["bytes_per_second"]["samples"], 1);
  EXPECT_EQ(json["int4_products"][0]["share_of_read"], 0.91);
  EXPECT_EQ(json["parallel_loops"][0]["wake_up_seconds"]["median"], 50e-6);
  EXPECT_TRUE(json["disk"].is_null());
  EXPECT_EQ(json["facts"]["system"], "wood");
  report.disk = {.path = "/d/f", .direct = false, .threads = 4, .bytes = 1 << 30, .bytes_per_second = SpreadOf({2e9})};
  json = nlohmann::json::parse(FormatMachineJson(report));
  EXPECT_EQ(json["disk"]["direct"], false);
  EXPECT_EQ(json["disk"]["bytes_per_second"]["median"], 2e9);
}

GpuFigures Slide() {
  return {.name = "a slide rule",
          .compute_capability = "9.0",
          .driver = "brass",
          .cuda = "driver 13.0, built with 13.0",
          .pci = "0000:01:00.0",
          .memory_bytes = int64_t{16} << 30,
          .multiprocessors = 2,
          .memory_probe_bytes = int64_t{4} << 30,
          .read = SpreadOf({5e11, 6e11, 7e11}),
          .links = {{.way = "copy", .bytes = 1622016, .bytes_per_second = SpreadOf({12e9})},
                    {.way = "gather", .bytes = 1622016, .bytes_per_second = SpreadOf({11e9})}},
          .shared = {{.threads = 8, .cpu = SpreadOf({60e9, 62e9, 70e9}), .link = SpreadOf({10e9})}},
          .handshake_seconds = SpreadOf({10e-6}),
          .matmul_flops = SpreadOf({90e12})};
}

TEST(MachineReportTest, AGpuIsAnObjectUnderTheKeysThatPlansReadOrIsMissing) {
  MachineReport report = Abacus();
  report.no_gpu = "this build has no CUDA engine";
  nlohmann::json json = nlohmann::json::parse(FormatMachineJson(report));
  EXPECT_FALSE(json.contains("gpu"));
  EXPECT_EQ(json["no_gpu"], "this build has no CUDA engine");
  EXPECT_NE(FormatMachineMarkdown(report).find("No GPU was measured: this build has no CUDA engine."),
            std::string::npos);
  report.no_gpu.clear();
  report.gpu = Slide();
  json = nlohmann::json::parse(FormatMachineJson(report));
  EXPECT_EQ(json["gpu"]["read_bytes_per_second"]["median"], 6e11);
  EXPECT_EQ(json["gpu"]["link_bytes_per_second"]["median"], 12e9);
  EXPECT_EQ(json["gpu"]["links"][1]["way"], "gather");
  EXPECT_EQ(json["gpu"]["shared"][0]["threads"], 8);
  EXPECT_EQ(json["gpu"]["shared"][0]["cpu_bytes_per_second"]["median"], 62e9);
  EXPECT_EQ(json["gpu"]["shared"][0]["link_bytes_per_second"]["max"], 10e9);
  EXPECT_EQ(json["gpu"]["handshake_seconds"]["median"], 10e-6);
  EXPECT_EQ(json["gpu"]["matmul_flops"]["median"], 90e12);
  EXPECT_EQ(json["gpu"]["memory_bytes"], int64_t{16} << 30);
  const std::string text = FormatMachineMarkdown(report);
  EXPECT_NE(text.find("| 8 | 62.0 (60.0…70.0) | 10.0 (10.0…10.0) | 72.0 |"), std::string::npos) << text;
  EXPECT_NE(text.find("| link, gather of 1.55 MiB | 11.0 (11.0…11.0) GB/s |"), std::string::npos) << text;
}

TEST(MachineReportTest, MarkdownHasARowForEachNumberOfThreads) {
  MachineReport report = Abacus();
  const std::string text = FormatMachineMarkdown(report);
  EXPECT_NE(text.find("| 1 | 10.0 (9.0…11.5) | – | – |\n| 4 | 40.0 (40.0…40.0) | 20.0 (20.0…20.0) | 15.0"),
            std::string::npos)
      << text;
  EXPECT_NE(text.find("| avx2 | 4 | 36.5 (36.0…37.0) | 91% |"), std::string::npos) << text;
  EXPECT_NE(text.find("| 4 | 1.25 (1.25…1.25) | 50.0 (50.0…50.0) |"), std::string::npos) << text;
  EXPECT_EQ(text.find("not idle"), std::string::npos);
  EXPECT_EQ(text.find("Disk"), std::string::npos);
  report.busy_elsewhere = 1.5;
  report.disk = {.path = "/d/f", .direct = true, .threads = 4, .bytes = 1 << 30, .bytes_per_second = SpreadOf({2e9})};
  const std::string busy = FormatMachineMarkdown(report);
  EXPECT_NE(busy.find("**The machine was not idle: 1.5 of its CPUs"), std::string::npos);
  EXPECT_NE(busy.find("/d/f: 2.00 (2.00…2.00) GB/s, 4 reads at a time, past the page cache."), std::string::npos);
}

}  // namespace
}  // namespace qnext
