#include "base/file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

namespace qnext {

Result<File> File::Open(const std::string& path) {
  // Without O_NONBLOCK a named pipe would be waited for; regular files ignore it.
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (descriptor < 0) {
    const int error = errno;
    struct stat link = {};
    if (::lstat(path.c_str(), &link) == 0 && S_ISLNK(link.st_mode)) {
      return NotFound(fmt::format("{}: is a link that cannot be followed: {}", path, std::strerror(error)));
    }
    return NotFound(fmt::format("{}: cannot be opened: {}", path, std::strerror(error)));
  }
  struct stat info = {};
  if (::fstat(descriptor, &info) != 0 || !S_ISREG(info.st_mode)) {
    ::close(descriptor);
    return InvalidArgument(fmt::format("{}: is not a regular file", path));
  }
  return File(descriptor, info.st_size, path);
}

File::File(int descriptor, int64_t size, std::string path)
    : descriptor_(descriptor), size_(size), path_(std::move(path)) {}

File::File(File&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)), size_(other.size_), path_(std::move(other.path_)) {}

File& File::operator=(File&& other) noexcept {
  std::swap(descriptor_, other.descriptor_);
  std::swap(size_, other.size_);
  std::swap(path_, other.path_);
  return *this;
}

File::~File() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

Status File::Read(int64_t offset, std::span<std::byte> out) const {
  while (!out.empty()) {
    // One call moves at most 2 GiB on Linux; 1 GiB keeps the arithmetic plain.
    const size_t want = std::min<size_t>(out.size(), size_t{1} << 30);
    const ssize_t got = ::pread(descriptor_, out.data(), want, offset);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return Internal(fmt::format("{}: read at {} failed: {}", path_, offset, std::strerror(errno)));
    if (got == 0) return Corrupt(fmt::format("{}: ends at {}, {} bytes short", path_, offset, out.size()));
    out = out.subspan(static_cast<size_t>(got));
    offset += got;
  }
  return Status();
}

Result<std::string> ReadFileToString(const std::string& path, int64_t max_bytes) {
  QNEXT_ASSIGN_OR_RETURN(File file, File::Open(path));
  if (file.size() > max_bytes) {
    return ResourceExhausted(
        fmt::format("{}: {} bytes, more than the {} this kind of file may have", path, file.size(), max_bytes));
  }
  std::string text(static_cast<size_t>(file.size()), '\0');
  QNEXT_RETURN_IF_ERROR(file.Read(0, std::as_writable_bytes(std::span(text))));
  return text;
}

bool FileExists(const std::string& path) {
  struct stat info = {};
  return ::lstat(path.c_str(), &info) == 0 || (errno != ENOENT && errno != ENOTDIR);
}

}  // namespace qnext
