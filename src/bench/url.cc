#include "bench/url.h"

#include <fmt/core.h>

#include <algorithm>

namespace qnext {
namespace {

constexpr std::string_view kScheme = "http://";

bool IsPort(std::string_view text) {
  const bool digits = std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; });
  return digits && !text.empty() && text.size() <= 5 && std::stoi(std::string(text)) <= 65535;
}

}  // namespace

std::string HttpUrl::Authority() const {
  return host.find(':') == std::string::npos ? host + ":" + port : "[" + host + "]:" + port;
}

std::string HttpUrl::ToString() const { return std::string(kScheme) + Authority() + path; }

Result<HttpUrl> ParseHttpUrl(std::string_view text) {
  const auto bad = [&](const char* why) { return InvalidArgument(fmt::format("\"{}\": {}", text, why)); };
  if (text.starts_with("https://")) return bad("only http:// is spoken; measure behind the TLS proxy");
  if (!text.starts_with(kScheme)) return bad("must begin with http://");
  const bool plain = std::ranges::all_of(text, [](char c) { return c > ' ' && c < 127; });
  if (!plain || text.find_first_of("?#@") != std::string_view::npos) return bad("must be http://HOST[:PORT][/PATH]");
  const std::string_view rest = text.substr(kScheme.size());
  const size_t slash = std::min(rest.find('/'), rest.size());
  std::string_view authority = rest.substr(0, slash);
  HttpUrl url{.host = "", .port = "80", .path = std::string(rest.substr(slash))};
  if (authority.starts_with('[')) {
    const size_t close = authority.find(']');
    if (close == std::string_view::npos) return bad("has no ] after the address");
    url.host = authority.substr(1, close - 1);
    authority.remove_prefix(close + 1);
  } else {
    const size_t colon = std::min(authority.find(':'), authority.size());
    url.host = authority.substr(0, colon);
    authority.remove_prefix(colon);
  }
  if (url.host.empty()) return bad("names no host");
  if (!authority.empty()) {
    if (authority[0] != ':' || !IsPort(authority.substr(1))) return bad("has no port of 0 to 65535 after the host");
    url.port = authority.substr(1);
  }
  while (url.path.ends_with('/')) url.path.pop_back();
  if (!url.path.ends_with("/v1")) url.path += "/v1";
  return url;
}

}  // namespace qnext
