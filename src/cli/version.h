// What this build is.
#pragma once

#include <string>

namespace qnext {

std::string Version();      // "0.1.0"
std::string GitCommit();    // of the source tree when it was configured, or "unknown"
std::string BuildType();    // "Release", and what else a reader of figures must know
std::string VersionText();  // "qnext 0.1.0 (commit 1234567, Release, GCC 12.2)"

}  // namespace qnext
