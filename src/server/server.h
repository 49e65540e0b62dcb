// The HTTP server as a whole: transport, API, queue and engine threads. docs/http-api.md
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "server/backend.h"
#include "server/http_transport.h"
#include "server/model_slot.h"

namespace qnext::server {

struct ServerOptions {
  std::string host = "127.0.0.1";
  int port = 8080;                                  // 0: any free one
  std::vector<std::string> api_keys;                // none: everyone may ask
  int64_t queue = 16;                               // requests that wait beside those that run; beyond: 429
  int concurrency = 1;                              // requests in Backend::Generate at a time
  std::chrono::milliseconds shutdown_grace{3'000};  // for what runs when the server is told to end
  HttpLimits limits;
};

// Thread-safe. Answers 503 to what needs a model until AttachBackend.
class Server {
 public:
  // Errors name host and port. Listening begins here, before any model.
  static Result<std::unique_ptr<Server>> Start(const ServerOptions& options);
  ~Server();  // Shutdown
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  int port() const;
  std::string url() const;  // "http://127.0.0.1:8080"

  // Runs `load` on the thread that will call Generate (engines pin the threads that they begin on; with a concurrency
  // above 1, on one of them), then attaches its backend or reports its failure. Returns at once; call it first and
  // once. A load cannot be cancelled: Shutdown waits for its end.
  void Load(std::function<Result<std::shared_ptr<Backend>>()> load);

  // What /health says while the model loads. Load and who loads elsewhere use these.
  void ReportLoading(LoadProgress progress);
  // The load has failed for good; /health says why.
  void ReportLoadFailure(Status failure);
  // From now on requests are served. Kept until Shutdown returns.
  void AttachBackend(std::shared_ptr<Backend> backend);

  // In this order: no new connections; 503 to new requests and to those that wait; what runs may finish within the
  // grace and is then cancelled; answers under way are sent; threads end. Takes at most the grace, the time of one
  // token, and two seconds. Later calls return at once.
  void Shutdown();

 private:
  class Impl;
  explicit Server(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace qnext::server
