// What qnext prove does: options to a folder with everything that a stakeholder sends back.
#pragma once

#include <optional>
#include <string>

#include "base/status.h"
#include "cli/model_options.h"

namespace qnext {

struct ProveOptions {
  ModelFlags model;
  std::optional<int> repetitions;
  double seconds = 60;  // of decoding to look at, at least
  bool skip_rates = false;
  std::string out;
};

Status CheckProveOptions(const ProveOptions& options);

// `folder` where it holds a file that is large enough to measure a disk with, otherwise nothing.
std::string DiskToMeasure(const std::string& folder);

// The options have passed the check. An error where the verdict is FAIL (the folder is there all the same, and says
// why), where the folder cannot be written, and kCancelled after Ctrl-C.
Status RunProof(const ProveOptions& options);

}  // namespace qnext
