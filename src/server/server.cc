#include "server/server.h"

#include <fmt/format.h>

#include <atomic>
#include <mutex>
#include <utility>

#include "server/api.h"
#include "server/job_queue.h"
#include "server/server_metrics.h"

namespace qnext::server {
namespace {

constexpr std::chrono::milliseconds kDrain{2'000};

Status CheckOptions(const ServerOptions& options) {
  if (options.port < 0 || options.port > 65535) return InvalidArgument("port: must be from 0 to 65535");
  if (options.queue < 0) return InvalidArgument("queue: must not be negative");
  if (options.concurrency < 1) return InvalidArgument("parallel: must be at least 1");
  return {};
}

class LoadJob final : public Job {
 public:
  using Loader = std::function<Result<std::shared_ptr<Backend>>()>;
  LoadJob(Loader load, ModelSlot& model) : load_(std::move(load)), model_(model) {}

  void Run(const std::atomic<bool>& /*cancel*/) override {
    Result<std::shared_ptr<Backend>> backend = load_();
    if (backend.ok()) {
      model_.Attach(*std::move(backend));
    } else {
      model_.Fail(backend.status());
    }
  }
  void Refuse(Refusal /*why*/, const std::string& detail) override { model_.Fail(Internal(detail)); }
  bool abandoned() const override { return false; }

 private:
  Loader load_;
  ModelSlot& model_;
};

}  // namespace

// Members are destroyed from the last to the first: the transport before what its handler uses.
class Server::Impl {
 public:
  explicit Impl(const ServerOptions& options)
      : grace_(options.shutdown_grace),
        queue_(options.concurrency, options.queue),
        api_(options.api_keys, queue_, model_, metrics_) {}
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;
  ~Impl() { Shutdown(); }

  Status Listen(const ServerOptions& options) {
    QNEXT_ASSIGN_OR_RETURN(transport_, HttpTransport::Start(options.host, options.port, options.limits, api_));
    return {};
  }

  void Load(LoadJob::Loader load) {
    std::unique_ptr<Job> job = std::make_unique<LoadJob>(std::move(load), model_);
    if (queue_.Submit(job) != JobQueue::Submitted::kAccepted) model_.Fail(Unavailable("no room for the load"));
  }

  void Shutdown() {
    const std::lock_guard lock(shutdown_mutex_);
    if (transport_ == nullptr || stopped_) return;
    stopped_ = true;
    api_.RefuseNewRequests();
    transport_->StopAccepting();
    queue_.Shutdown(grace_);
    transport_->Stop(kDrain);
  }

  ModelSlot& model() { return model_; }
  const HttpTransport& transport() const { return *transport_; }

 private:
  const std::chrono::milliseconds grace_;
  ModelSlot model_;
  ServerMetrics metrics_;
  JobQueue queue_;
  Api api_;
  std::unique_ptr<HttpTransport> transport_;
  std::mutex shutdown_mutex_;
  bool stopped_ = false;  // guarded by shutdown_mutex_
};

Server::Server(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Server::~Server() = default;

Result<std::unique_ptr<Server>> Server::Start(const ServerOptions& options) {
  QNEXT_RETURN_IF_ERROR(CheckOptions(options));
  auto impl = std::make_unique<Impl>(options);
  QNEXT_RETURN_IF_ERROR(impl->Listen(options));
  return std::unique_ptr<Server>(new Server(std::move(impl)));
}

int Server::port() const { return impl_->transport().port(); }

std::string Server::url() const {
  return fmt::format("http://{}:{}", impl_->transport().address(), impl_->transport().port());
}

void Server::Load(std::function<Result<std::shared_ptr<Backend>>()> load) { impl_->Load(std::move(load)); }
void Server::ReportLoading(LoadProgress progress) { impl_->model().SetProgress(std::move(progress)); }
void Server::ReportLoadFailure(Status failure) { impl_->model().Fail(std::move(failure)); }
void Server::AttachBackend(std::shared_ptr<Backend> backend) { impl_->model().Attach(std::move(backend)); }
void Server::Shutdown() { impl_->Shutdown(); }

}  // namespace qnext::server
