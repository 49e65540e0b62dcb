// samples.jsonl in a benchmark's folder: every sample as soon as it was measured, so that nothing is lost when a long
// benchmark is interrupted, and the same command goes on where it ended.
#pragma once

#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"
#include "bench/benchmark_runner.h"

namespace qnext {

// What must be the same for samples to belong together, in the order in which differences are told.
using BenchmarkSettings = std::vector<std::pair<std::string, std::string>>;

// One process at a time has a folder's log; another gets an error.
class SampleLog {
 public:
  // Begins folder/samples.jsonl, or takes it up. kInvalidArgument: it was begun with other settings, which the message
  // names. kUnavailable: another process writes there, or the file cannot be written. A last line without its end (the
  // program was killed while it wrote) is dropped.
  static Result<SampleLog> Open(const std::string& folder, const BenchmarkSettings& settings);
  ~SampleLog();
  SampleLog(SampleLog&& other) noexcept;
  SampleLog& operator=(SampleLog&&) = delete;
  SampleLog(const SampleLog&) = delete;
  SampleLog& operator=(const SampleLog&) = delete;

  const std::vector<LoggedSample>& before() const { return before_; }  // what was there
  // Handed to the system when it returns.
  Status Append(const LoggedSample& sample);

 private:
  SampleLog(std::string path, std::FILE* file) : path_(std::move(path)), file_(file) {}
  Status ReadWhatIsThere(const BenchmarkSettings& settings);
  Status Write(const std::string& line);

  std::string path_;
  std::FILE* file_;
  std::vector<LoggedSample> before_;
};

}  // namespace qnext
