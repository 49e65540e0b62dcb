// The transport's HttpExchange. Internal to the transport.
#pragma once

#include <memory>
#include <string>

#include "server/http_connection.h"
#include "server/http_types.h"

namespace qnext::server {

// Hands every call to the connection on the I/O thread, in order.
class ConnectionExchange final : public HttpExchange {
 public:
  ConnectionExchange(std::shared_ptr<HttpConnection> connection, HttpShared& shared,
                     std::shared_ptr<ExchangeSignals> signals);
  ~ConnectionExchange() override;
  ConnectionExchange(const ConnectionExchange&) = delete;
  ConnectionExchange& operator=(const ConnectionExchange&) = delete;

  void Send(HttpResponse response) override;
  void BeginStream(HttpResponse head) override;
  void Write(std::string piece) override;
  void End() override;
  bool client_gone() const override { return signals_->client_gone; }

 private:
  template <typename Call>
  void Post(Call call);

  std::shared_ptr<HttpConnection> connection_;
  HttpShared& shared_;
  std::shared_ptr<ExchangeSignals> signals_;
};

}  // namespace qnext::server
