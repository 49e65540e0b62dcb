#include "cli/version.h"

#include <fmt/core.h>

namespace qnext {
namespace {

std::string Compiler() {
#if defined(__clang__)
  return fmt::format("Clang {}.{}", __clang_major__, __clang_minor__);
#else
  return fmt::format("GCC {}.{}", __GNUC__, __GNUC_MINOR__);
#endif
}

}  // namespace

std::string Version() { return QNEXT_VERSION; }

std::string GitCommit() { return QNEXT_GIT_COMMIT; }

std::string BuildType() {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  return QNEXT_BUILD_TYPE ", with sanitizers: figures mean nothing";
#elif !defined(__OPTIMIZE__)
  return QNEXT_BUILD_TYPE ", not optimised: figures mean nothing";
#else
  return QNEXT_BUILD_TYPE;
#endif
}

std::string VersionText() {
  return fmt::format("qnext {} (commit {}, {}, {})", Version(), GitCommit(), BuildType(), Compiler());
}

}  // namespace qnext
