#include "server/http_head.h"

#include <fmt/format.h>

#include <array>
#include <iterator>

namespace qnext::server {
namespace {

// "Sun, 06 Nov 1994 08:49:37 GMT", spelled out because strftime's names follow the locale.
std::string HttpDate(std::time_t now) {
  constexpr std::array kDays{"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  constexpr std::array kMonths{"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  std::tm t{};
  gmtime_r(&now, &t);
  return fmt::format("{}, {:02} {} {} {:02}:{:02}:{:02} GMT", kDays.at(static_cast<size_t>(t.tm_wday)), t.tm_mday,
                     kMonths.at(static_cast<size_t>(t.tm_mon)), t.tm_year + 1900, t.tm_hour, t.tm_min, t.tm_sec);
}

}  // namespace

std::string FormatResponseHead(const HttpResponse& response, const HeadOptions& options) {
  std::string head = fmt::format("HTTP/1.1 {} {}\r\nDate: {}\r\n", response.status, ReasonPhrase(response.status),
                                 HttpDate(options.now));
  auto out = std::back_inserter(head);
  if (!response.content_type.empty()) fmt::format_to(out, "Content-Type: {}\r\n", response.content_type);
  if (options.content_length) fmt::format_to(out, "Content-Length: {}\r\n", *options.content_length);
  if (options.chunked) head += "Transfer-Encoding: chunked\r\n";
  for (const HttpHeader& header : response.headers) fmt::format_to(out, "{}: {}\r\n", header.name, header.value);
  head += options.keep_alive ? "Connection: keep-alive\r\n\r\n" : "Connection: close\r\n\r\n";
  return head;
}

std::string FormatChunk(const std::string& piece) { return fmt::format("{:x}\r\n{}\r\n", piece.size(), piece); }

}  // namespace qnext::server
