#include <fcntl.h>
#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdio>
#include <string_view>

#include "cli/program.h"

namespace {

// What every thread gets, whatever `ulimit -s` says: chat templates may take 1 MiB of it, more under sanitizers.
constexpr size_t kStackBytes = size_t{8} << 20;

struct Call {
  std::vector<std::string> arguments;
  int exit_code = 1;
};

qnext::Environment ReadEnvironment() {
  qnext::Environment environment;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    const std::string_view text = *entry;
    const size_t equals = text.find('=');
    if (!text.starts_with("QNEXT_") || equals == std::string_view::npos) continue;
    environment.emplace(text.substr(0, equals), text.substr(equals + 1));
  }
  return environment;
}

void* Run(void* data) {
  Call& call = *static_cast<Call*>(data);
  call.exit_code = qnext::RunProgram(call.arguments, ReadEnvironment());
  return nullptr;
}

bool StackIsSmall() {
  struct rlimit limit = {};
  return ::getrlimit(RLIMIT_STACK, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY && limit.rlim_cur < kStackBytes / 4;
}

// Below this even an error that is on its way may find no memory for what it passes, which ends the process.
constexpr rlim_t kLeastAddressSpace = rlim_t{20} << 20;

bool AddressSpaceIsTooSmall() {
  struct rlimit limit = {};
  return ::getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY && limit.rlim_cur < kLeastAddressSpace;
}

// A descriptor that the caller has closed would go to the next file that is opened, which then gets what is meant for
// the terminal. Opened the wrong way round, so that whoever uses it is told.
void OccupyStandardDescriptors() {
  for (const int descriptor : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (::fcntl(descriptor, F_GETFD) >= 0 || errno != EBADF) continue;
    // The lowest free number, which is this one.
    static_cast<void>(::open("/dev/null", descriptor == STDIN_FILENO ? O_WRONLY : O_RDONLY));
  }
}

}  // namespace

int main(int argc, char** argv) {
  OccupyStandardDescriptors();
  if (AddressSpaceIsTooSmall()) {
    static_cast<void>(
        std::fputs("qnext: error: out of memory: the address space (ulimit -v) is below 20 MiB\n", stderr));
    return 1;
  }
  std::signal(SIGPIPE, SIG_IGN);  // a reader that goes away is a failed write, not the end of the program
  std::signal(SIGXFSZ, SIG_IGN);  // so is a file that grows beyond `ulimit -f`
  Call call{.arguments = std::vector<std::string>(argv + (argc > 0 ? 1 : 0), argv + argc)};

  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, kStackBytes);
  pthread_setattr_default_np(&attributes);
  // The stack of the main thread cannot be changed any more, so another thread takes over.
  pthread_t thread;
  if (StackIsSmall() && pthread_create(&thread, &attributes, Run, &call) == 0) {
    pthread_join(thread, nullptr);
  } else {
    Run(&call);
  }
  pthread_attr_destroy(&attributes);
  return call.exit_code;
}
