// report.json: a BenchmarkReport as JSON and back. docs/benchmarking.md has the format.
#pragma once

#include <string>
#include <string_view>

#include "base/status.h"
#include "bench/benchmark_report.h"
#include "bench/benchmark_runner.h"

namespace qnext {

constexpr int kReportFormatVersion = 2;

// All of it, raw samples included, and the figures that follow (verdict, those of cells, drift), which the reader makes
// anew. Text that is no UTF-8 is mended.
std::string FormatBenchmarkJson(const BenchmarkReport& report);

// `path` begins the errors, which name the field. kUnsupported: another version of the format, or another program's
// file; kCorrupt: not what the format says.
Result<BenchmarkReport> ParseBenchmarkJson(std::string_view text, const std::string& path);

// One sample as one line without a line break, and back: for the file of samples so far.
std::string FormatSampleLine(const LoggedSample& sample);
Result<LoggedSample> ParseSampleLine(std::string_view line, const std::string& path);

}  // namespace qnext
