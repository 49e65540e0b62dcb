// How fast a file is read from its disk.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/status.h"

namespace qnext {

struct DiskRate {
  std::string path;  // the file that was read
  bool direct =
      true;         // past the page cache (O_DIRECT); false: the file system refuses that, and memory may have answered
  int threads = 0;  // reads under way at a time
  int64_t bytes = 0;                     // read in one pass
  std::vector<double> bytes_per_second;  // of each pass, over different parts of the file where it is long enough
};

struct DiskProbeOptions {
  int threads = 4;
  int passes = 5;
  double pass_seconds = 1;  // a pass ends after this time, or at the end of the file
};

// `path` is a file, or a folder whose largest file is taken (a checkpoint's shard). kInvalidArgument where there is
// none of at least kLeastDiskProbeBytes.
Result<DiskRate> MeasureDiskRead(const std::string& path, const DiskProbeOptions& options);

constexpr int64_t kLeastDiskProbeBytes = int64_t{64} << 20;

}  // namespace qnext
