#include "cli/interrupt.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>

#include "base/check.h"

namespace qnext {
namespace {

std::atomic<bool> interrupted{false};
static_assert(std::atomic<bool>::is_always_lock_free, "a signal handler may only touch lock-free atomics");
// Holds a byte for each raise, so that whoever polls wakes up, in whatever thread the handler ran.
int wake_pipe[2] = {-1, -1};

void Raise(int) {
  const int before = errno;
  interrupted = true;
  const ssize_t ignored = ::write(wake_pipe[1], "", 1);  // a full pipe wakes as well
  static_cast<void>(ignored);
  errno = before;
}

void SetHandler(void (*handler)(int)) {
  struct sigaction action {};
  action.sa_handler = handler;
  sigemptyset(&action.sa_mask);
  action.sa_flags = SA_RESTART;
  sigaction(SIGINT, &action, nullptr);
}

}  // namespace

InterruptFlag::InterruptFlag() {
  interrupted = false;
  QNEXT_CHECK(::pipe2(wake_pipe, O_CLOEXEC | O_NONBLOCK) == 0, "the system has no pipe to spare");
  SetHandler(Raise);
}

InterruptFlag::~InterruptFlag() {
  SetHandler(SIG_DFL);
  ::close(wake_pipe[0]);
  ::close(wake_pipe[1]);
}

bool InterruptFlag::raised() const { return interrupted; }

void InterruptFlag::Lower() {
  char bytes[64];
  while (::read(wake_pipe[0], bytes, sizeof(bytes)) > 0) {
  }
  interrupted = false;
}

bool InterruptFlag::WaitForInput(int file) const {
  pollfd waits[2] = {{.fd = wake_pipe[0], .events = POLLIN, .revents = 0},
                     {.fd = file, .events = POLLIN, .revents = 0}};
  while (::poll(waits, 2, -1) < 0 && errno == EINTR) {
  }
  return waits[0].revents == 0;
}

}  // namespace qnext
