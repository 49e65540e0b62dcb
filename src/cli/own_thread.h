// Work on a thread of its own.
#pragma once

#include <exception>
#include <thread>

#include "base/function_ref.h"
#include "base/status.h"

namespace qnext {

// Runs `work` on a new thread and waits for it. A model pins the thread that loads it, and a thread that is made by a
// pinned one is pinned too: what comes after must not be left with one core. Exceptions go on here.
inline Status OnOwnThread(FunctionRef<Status()> work) {
  Status status;
  std::exception_ptr thrown;
  std::thread thread([&] {
    try {
      status = work();
    } catch (...) {
      thrown = std::current_exception();
    }
  });
  thread.join();
  if (thrown) std::rethrow_exception(thrown);
  return status;
}

}  // namespace qnext
