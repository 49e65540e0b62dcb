#include "hw/disk_probe.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>
#include <thread>
#include <utility>

#include "base/bytes.h"
#include "base/check.h"

namespace qnext {
namespace {

// As large as the loader's own reads, and a multiple of any disk's block.
constexpr int64_t kBlock = int64_t{8} << 20;
constexpr size_t kAlignment = 4096;

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  int get() const { return fd_; }

 private:
  int fd_;
};

struct Free {
  void operator()(void* p) const { std::free(p); }
};

Result<std::string> FileToRead(const std::string& path) {
  std::error_code error;
  if (!std::filesystem::is_directory(path, error)) return path;
  std::string largest;
  uintmax_t most = 0;
  for (std::filesystem::directory_iterator at(path, error), end; !error && at != end; at.increment(error)) {
    std::error_code ignored;
    if (!at->is_regular_file(ignored)) continue;
    const uintmax_t size = at->file_size(ignored);
    if (!ignored && size > most) most = size, largest = at->path().string();
  }
  if (error) return Unavailable(fmt::format("{}: cannot be read: {}", path, error.message()));
  if (largest.empty()) return InvalidArgument(fmt::format("{}: holds no file that could be read", path));
  return largest;
}

// Reads blocks, handed out in order from `next`, until `end` or until the time is over. Bytes read; -1 with errno.
int64_t ReadBlocks(int fd, std::atomic<int64_t>& next, int64_t end, std::chrono::steady_clock::time_point deadline) {
  const std::unique_ptr<void, Free> buffer(std::aligned_alloc(kAlignment, static_cast<size_t>(kBlock)));
  QNEXT_CHECK(buffer != nullptr, "out of memory");
  int64_t bytes = 0;
  while (std::chrono::steady_clock::now() < deadline) {
    const int64_t at = next.fetch_add(kBlock);
    if (at >= end) break;
    const ssize_t got = ::pread(fd, buffer.get(), static_cast<size_t>(kBlock), at);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return -1;
    bytes += got;
  }
  return bytes;
}

}  // namespace

Result<DiskRate> MeasureDiskRead(const std::string& path, const DiskProbeOptions& options) {
  QNEXT_ASSIGN_OR_RETURN(const std::string file, FileToRead(path));
  DiskRate rate{.path = file, .direct = true, .threads = options.threads};
  Descriptor descriptor(::open(file.c_str(), O_RDONLY | O_DIRECT | O_CLOEXEC));
  if (descriptor.get() < 0 && errno == EINVAL) {
    rate.direct = false;
    descriptor = Descriptor(::open(file.c_str(), O_RDONLY | O_CLOEXEC));
  }
  if (descriptor.get() < 0) return NotFound(fmt::format("{}: cannot be opened: {}", file, std::strerror(errno)));
  struct stat info = {};
  if (::fstat(descriptor.get(), &info) != 0 || !S_ISREG(info.st_mode)) {
    return InvalidArgument(fmt::format("{}: is not a regular file", file));
  }
  if (info.st_size < kLeastDiskProbeBytes) {
    return InvalidArgument(fmt::format("{}: {} are too few to measure a disk with; {} are needed", file,
                                       FormatBytes(info.st_size), FormatBytes(kLeastDiskProbeBytes)));
  }
  const int64_t whole = info.st_size / kBlock * kBlock;  // direct reads end at whole blocks
  std::atomic<int64_t> next{0};
  for (int pass = 0; pass < options.passes; ++pass) {
    if (next >= whole) next = 0;
    const auto start = std::chrono::steady_clock::now();
    const auto deadline = start + std::chrono::duration_cast<std::chrono::steady_clock::duration>(
                                      std::chrono::duration<double>(options.pass_seconds));
    std::vector<int64_t> read(static_cast<size_t>(options.threads));
    std::vector<int> error(read.size());
    std::vector<std::thread> threads;
    for (size_t i = 0; i < read.size(); ++i) {
      threads.emplace_back([&, i] {
        read[i] = ReadBlocks(descriptor.get(), next, whole, deadline);
        if (read[i] < 0) error[i] = errno;
      });
    }
    for (std::thread& thread : threads) thread.join();
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    int64_t bytes = 0;
    for (size_t i = 0; i < read.size(); ++i) {
      if (read[i] < 0) return Unavailable(fmt::format("{}: cannot be read: {}", file, std::strerror(error[i])));
      bytes += read[i];
    }
    rate.bytes = std::max(rate.bytes, bytes);
    rate.bytes_per_second.push_back(static_cast<double>(bytes) / seconds);
  }
  return rate;
}

}  // namespace qnext
