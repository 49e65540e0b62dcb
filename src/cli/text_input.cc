#include "cli/text_input.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

namespace qnext {
namespace {

// Closes all but standard input.
struct Descriptor {
  int value;
  ~Descriptor() {
    if (value > STDIN_FILENO) ::close(value);
  }
};

}  // namespace

Result<std::string> ReadTextInput(const std::string& path, int64_t max_bytes) {
  const bool standard = path == "-";
  const std::string name = standard ? "standard input" : path;
  const Descriptor in{standard ? STDIN_FILENO : ::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
  if (in.value < 0) return NotFound(fmt::format("{}: cannot be opened: {}", name, std::strerror(errno)));
  struct stat info = {};
  if (::fstat(in.value, &info) == 0 && S_ISDIR(info.st_mode)) {
    return InvalidArgument(fmt::format("{}: is a directory", name));
  }
  std::string text;
  std::array<char, 1 << 13> buffer;
  while (true) {
    const ssize_t got = ::read(in.value, buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return Internal(fmt::format("{}: cannot be read: {}", name, std::strerror(errno)));
    if (got == 0) return text;
    text.append(buffer.data(), static_cast<size_t>(got));
    if (static_cast<int64_t>(text.size()) > max_bytes) {
      return ResourceExhausted(fmt::format("{}: more than the {} bytes that a text may have", name, max_bytes));
    }
  }
}

}  // namespace qnext
