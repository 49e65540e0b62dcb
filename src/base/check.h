// QNEXT_CHECK: aborts with file, line and message when an invariant of our own code is broken. Never for outside input.
#pragma once

namespace qnext {

[[noreturn]] void CheckFailed(const char* file, int line, const char* condition, const char* message);

}  // namespace qnext

#define QNEXT_CHECK(condition, message)                                              \
  do {                                                                               \
    if (!(condition)) ::qnext::CheckFailed(__FILE__, __LINE__, #condition, message); \
  } while (false)
