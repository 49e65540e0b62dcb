#include "server/http_transport.h"

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <condition_variable>
#include <mutex>
#include <set>
#include <thread>
#include <utility>

#include "server/http_connection.h"

namespace qnext::server {

namespace asio = boost::asio;
using asio::ip::tcp;
using ErrorCode = boost::system::error_code;

namespace {

constexpr int kBacklog = 4096;         // the kernel cuts it to its own limit
constexpr size_t kRefusedAtOnce = 64;  // connections beyond the limit that are told so; more are just closed
constexpr std::chrono::milliseconds kAcceptRetry{100};  // when the process has no descriptor left

Result<tcp::endpoint> Resolve(asio::io_context& io, const std::string& host, int port) {
  ErrorCode error;
  tcp::resolver resolver(io);
  const auto found = resolver.resolve(host, std::to_string(port), tcp::resolver::numeric_service, error);
  if (error || found.empty()) return InvalidArgument("host: " + host + ": " + error.message());
  return found.begin()->endpoint();
}

}  // namespace

class HttpTransport::Impl {
 public:
  Impl(const HttpLimits& limits, HttpHandler& handler)
      : shared_(handler, limits), acceptor_(shared_.io), retry_(shared_.io), work_(shared_.io.get_executor()) {
    shared_.on_closed = [this](HttpConnection& connection) { OnClosed(connection); };
  }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;
  ~Impl() { Stop(std::chrono::milliseconds(0)); }

  Status Listen(const std::string& host, int port) {
    QNEXT_ASSIGN_OR_RETURN(const tcp::endpoint wanted, Resolve(shared_.io, host, port));
    const std::string where = host + ":" + std::to_string(port);
    ErrorCode error;
    acceptor_.open(wanted.protocol(), error);
    if (error) return Unavailable(where + ": " + error.message());
    acceptor_.set_option(tcp::acceptor::reuse_address(true), error);
    acceptor_.bind(wanted, error);
    if (error) return Unavailable(where + ": cannot bind: " + error.message());
    acceptor_.listen(kBacklog, error);
    if (error) return Unavailable(where + ": cannot listen: " + error.message());
    const tcp::endpoint bound = acceptor_.local_endpoint(error);
    port_ = bound.port();
    const std::string text = bound.address().to_string();
    address_ = bound.address().is_v6() ? "[" + text + "]" : text;
    Accept();
    thread_ = std::thread([this] { shared_.io.run(); });
    return {};
  }

  const std::string& address() const { return address_; }
  int port() const { return port_; }

  void StopAccepting() {
    asio::post(shared_.io, [this] {
      CloseAcceptor();
      shared_.closing = true;
    });
  }

  void Stop(std::chrono::milliseconds drain) {
    const std::lock_guard stop_lock(stop_mutex_);
    if (!thread_.joinable()) {
      shared_.workers.join();
      return;
    }
    asio::post(shared_.io, [this] {
      CloseAcceptor();
      shared_.closing = true;
      draining_ = true;
      for (const auto& connection : Copy()) connection->CloseWhenIdle();
      TellIfEmpty();
    });
    {
      std::unique_lock lock(mutex_);
      empty_changed_.wait_for(lock, drain, [this] { return empty_; });
    }
    shared_.workers.join();
    asio::post(shared_.io, [this] {
      for (const auto& connection : Copy()) connection->Close();
      work_.reset();
      shared_.io.stop();
    });
    thread_.join();
  }

 private:
  using Connections = std::set<std::shared_ptr<HttpConnection>>;

  // Closing changes the set.
  Connections Copy() const { return connections_; }

  void Accept() {
    acceptor_.async_accept([this](const ErrorCode& error, tcp::socket socket) {
      if (!acceptor_.is_open()) return;
      if (error) {
        CloseLongestIdle();  // most likely the process has no descriptor left
        retry_.expires_after(kAcceptRetry);
        retry_.async_wait([this](const ErrorCode& cancelled) {
          if (!cancelled && acceptor_.is_open()) Accept();
        });
        return;
      }
      OnAccepted(std::move(socket));
      Accept();
    });
  }

  void OnAccepted(tcp::socket socket) {
    ErrorCode ignored;
    socket.set_option(tcp::no_delay(true), ignored);
    const auto limit = static_cast<size_t>(shared_.limits.max_connections);
    if (connections_.size() >= limit) CloseLongestIdle();
    if (connections_.size() >= limit + kRefusedAtOnce) return;  // the socket's destructor closes it
    auto connection = std::make_shared<HttpConnection>(std::move(socket), shared_);
    const bool refuse = connections_.size() >= limit;
    connections_.insert(connection);
    if (refuse) {
      connection->StartWithRefusal(503, "too many connections");
    } else {
      connection->Start();
    }
  }

  void CloseLongestIdle() {
    std::shared_ptr<HttpConnection> longest;
    for (const auto& connection : connections_) {
      const auto since = connection->idle_since();
      if (since && (longest == nullptr || *since < *longest->idle_since())) longest = connection;
    }
    if (longest != nullptr) longest->Close();
  }

  void OnClosed(HttpConnection& connection) {
    connections_.erase(connection.shared_from_this());
    TellIfEmpty();
  }

  void TellIfEmpty() {
    if (!draining_ || !connections_.empty()) return;
    const std::lock_guard lock(mutex_);
    empty_ = true;
    empty_changed_.notify_all();
  }

  void CloseAcceptor() {
    ErrorCode ignored;
    acceptor_.close(ignored);
    retry_.cancel();
  }

  HttpShared shared_;
  tcp::acceptor acceptor_;
  asio::steady_timer retry_;
  asio::executor_work_guard<asio::io_context::executor_type> work_;
  Connections connections_;  // open ones; I/O thread only
  bool draining_ = false;    // Stop waits for the last of them; I/O thread only
  std::string address_;
  int port_ = 0;
  std::mutex mutex_;
  std::condition_variable empty_changed_;
  bool empty_ = false;     // draining is over; guarded by mutex_
  std::mutex stop_mutex_;  // held through Stop
  std::thread thread_;
};

HttpTransport::HttpTransport(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
HttpTransport::~HttpTransport() = default;

Result<std::unique_ptr<HttpTransport>> HttpTransport::Start(const std::string& host, int port, const HttpLimits& limits,
                                                            HttpHandler& handler) {
  auto impl = std::make_unique<Impl>(limits, handler);
  QNEXT_RETURN_IF_ERROR(impl->Listen(host, port));
  return std::unique_ptr<HttpTransport>(new HttpTransport(std::move(impl)));
}

const std::string& HttpTransport::address() const { return impl_->address(); }
int HttpTransport::port() const { return impl_->port(); }
void HttpTransport::StopAccepting() { impl_->StopAccepting(); }
void HttpTransport::Stop(std::chrono::milliseconds drain) { impl_->Stop(drain); }

}  // namespace qnext::server
