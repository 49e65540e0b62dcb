// The address of an OpenAI-compatible server.
#pragma once

#include <string>
#include <string_view>

#include "base/status.h"

namespace qnext {

struct HttpUrl {
  std::string host;  // a name or an address; IPv6 without brackets
  std::string port;
  std::string path;  // before "/completions": "/v1", or "/gateway/v1"

  std::string Authority() const;  // "localhost:8080", for the Host header and messages
  std::string ToString() const;   // "http://localhost:8080/v1"
};

// "http://HOST[:PORT][/PATH]". "/v1" is added to a path that does not end in it, as people leave it out.
Result<HttpUrl> ParseHttpUrl(std::string_view text);

}  // namespace qnext
