#include "cli/interrupt.h"

#include <atomic>
#include <csignal>

namespace qnext {
namespace {

std::atomic<bool> interrupted{false};
static_assert(std::atomic<bool>::is_always_lock_free, "a signal handler may only touch lock-free atomics");

void SetHandler(void (*handler)(int)) {
  struct sigaction action {};
  action.sa_handler = handler;
  sigemptyset(&action.sa_mask);
  action.sa_flags = 0;  // no SA_RESTART: a read that waits for input returns
  sigaction(SIGINT, &action, nullptr);
}

}  // namespace

InterruptFlag::InterruptFlag() {
  interrupted = false;
  SetHandler([](int) { interrupted = true; });
}

InterruptFlag::~InterruptFlag() { SetHandler(SIG_DFL); }

bool InterruptFlag::raised() const { return interrupted; }

void InterruptFlag::Lower() { interrupted = false; }

}  // namespace qnext
