#include "server/http_exchange.h"

#include <boost/asio/post.hpp>
#include <utility>

namespace qnext::server {

ConnectionExchange::ConnectionExchange(std::shared_ptr<HttpConnection> connection, HttpShared& shared,
                                       std::shared_ptr<ExchangeSignals> signals)
    : connection_(std::move(connection)), shared_(shared), signals_(std::move(signals)) {}

// Every call carries the connection along, so that it is destroyed on its own thread, and is dropped if the connection
// has gone on to another request.
template <typename Call>
void ConnectionExchange::Post(Call call) {
  boost::asio::post(shared_.io, [connection = connection_, signals = signals_, call = std::move(call)]() mutable {
    if (connection->IsAnswering(*signals)) call(*connection);
  });
}

ConnectionExchange::~ConnectionExchange() {
  Post([](HttpConnection& connection) { connection.Abandoned(); });
}

void ConnectionExchange::Send(HttpResponse response) {
  Post([response = std::move(response)](HttpConnection& connection) mutable { connection.Send(std::move(response)); });
}

void ConnectionExchange::BeginStream(HttpResponse head) {
  Post([head = std::move(head)](HttpConnection& connection) mutable { connection.BeginStream(std::move(head)); });
}

void ConnectionExchange::Write(std::string piece) {
  if (client_gone()) return;
  const auto size = static_cast<int64_t>(piece.size());
  if (signals_->unsent_bytes.fetch_add(size) + size > shared_.limits.max_unsent_bytes) {
    signals_->client_gone = true;
    Post([](HttpConnection& connection) { connection.Close(); });
    return;
  }
  Post([piece = std::move(piece)](HttpConnection& connection) mutable { connection.Write(std::move(piece)); });
}

void ConnectionExchange::End() {
  Post([](HttpConnection& connection) { connection.End(); });
}

}  // namespace qnext::server
