// The HTTP server with a scripted backend, for trying clients and their tests without a model:
//   fake_server [REPLY [MILLISECONDS_PER_TOKEN]]
// Prints its address and runs until SIGINT or SIGTERM.
#include <pthread.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>

#include "server/fake_backend.h"
#include "server/server.h"

int main(int argc, char** argv) {
  sigset_t ending;
  sigemptyset(&ending);
  sigaddset(&ending, SIGINT);
  sigaddset(&ending, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &ending, nullptr);  // for all threads to come; the wait below takes them

  auto backend = std::make_shared<qnext::server::FakeBackend>();
  if (argc > 1) backend->reply = argv[1];
  if (argc > 2) backend->token_time = std::chrono::milliseconds(std::atoi(argv[2]));
  qnext::server::ServerOptions options;
  options.port = 0;
  auto server = qnext::server::Server::Start(options);
  if (!server.ok()) {
    std::fprintf(stderr, "%s\n", server.status().message().c_str());
    return 1;
  }
  (*server)->AttachBackend(backend);
  std::fprintf(stderr, "listening on %s\n", (*server)->url().c_str());
  int signal = 0;
  sigwait(&ending, &signal);
  (*server)->Shutdown();
  return 0;
}
