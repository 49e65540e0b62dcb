#include "cli/result_file.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <optional>

namespace qnext {
namespace {

namespace fs = std::filesystem;

constexpr char kStdout[] = "-";

std::optional<struct stat> StatOf(const std::string& path) {
  struct stat info = {};
  if (path.empty() || ::stat(path.c_str(), &info) != 0) return std::nullopt;
  return info;
}

bool Same(const struct stat& a, const struct stat& b) { return a.st_dev == b.st_dev && a.st_ino == b.st_ino; }

// Links resolved as far as there are files; what is not there yet is kept as it is spelled.
fs::path Resolved(const std::string& path) {
  std::error_code error;
  const fs::path absolute = fs::absolute(path, error);
  fs::path resolved = fs::weakly_canonical(absolute, error);
  return error ? absolute.lexically_normal() : resolved;
}

bool IsInside(const fs::path& path, const fs::path& folder) {
  return std::mismatch(folder.begin(), folder.end(), path.begin(), path.end()).first == folder.end();
}

Status Failed(const std::string& path, const char* what, int error) {
  return Unavailable(fmt::format("{}: {}: {}", path, what, std::strerror(error)));
}

// How a path is written: the name that its file has in the end, and whether it gets there by way of another.
struct Destination {
  std::string path;
  bool in_place = false;
  std::optional<mode_t> mode;  // of the file that is there

  std::string part() const { return path + ".partial"; }
};

Result<Destination> TargetOf(const std::string& path) {
  const std::optional<struct stat> info = StatOf(path);
  if (!info) return Destination{.path = path, .in_place = false, .mode = std::nullopt};
  if (S_ISDIR(info->st_mode)) return InvalidArgument(path + ": is a directory");
  // Renaming asks the folder only; a file that its owner has locked is meant to stay.
  if (::access(path.c_str(), W_OK) != 0) return Failed(path, "cannot be written", errno);
  if (!S_ISREG(info->st_mode)) return Destination{.path = path, .in_place = true, .mode = std::nullopt};
  // Beside the file itself, so that a link to it stays a link.
  return Destination{.path = Resolved(path).string(), .in_place = false, .mode = info->st_mode & 07777};
}

Result<int> CreatePart(const Destination& target) {
  const int descriptor = ::open(target.part().c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (descriptor >= 0) return descriptor;
  if (errno == EEXIST) {
    return InvalidArgument(
        fmt::format("{}: is left from a run that did not end, or one goes on; take what you need of it and remove it",
                    target.part()));
  }
  return Failed(target.path, "cannot be created", errno);
}

}  // namespace

Status CheckApart(const std::string& option_name, const std::string& path, const KeptFiles& kept) {
  if (path == kStdout) return {};
  const std::optional<struct stat> info = StatOf(path);
  if (info && !S_ISREG(info->st_mode)) return {};
  for (const auto& [option, file] : kept.files) {
    const std::optional<struct stat> other = StatOf(file);
    if (info && other && Same(*info, *other)) {
      return InvalidArgument(fmt::format("{}: {} is the input of {} too; it would be lost", option_name, path, option));
    }
  }
  if (kept.folder.empty()) return {};
  const Status refused = InvalidArgument(
      fmt::format("{}: {} is in the checkpoint's folder {}, which is only read", option_name, path, kept.folder));
  if (IsInside(Resolved(path), Resolved(kept.folder))) return refused;
  if (!info) return {};
  // A checkpoint's files may be links to elsewhere, as in Hugging Face's cache.
  std::error_code error;
  for (fs::recursive_directory_iterator at(kept.folder, error), end; !error && at != end; at.increment(error)) {
    const std::optional<struct stat> other = StatOf(at->path().string());
    if (other && Same(*info, *other)) return refused;
  }
  return {};
}

Status WriteWholeFile(const std::string& path, std::string_view text) {
  return WriteWholeFile(path, std::span(&text, 1));
}

Status WriteWholeFile(const std::string& path, std::span<const std::string_view> pieces) {
  QNEXT_ASSIGN_OR_RETURN(const Destination target, TargetOf(path));
  const std::string part = target.in_place ? path : fmt::format("{}.{}.tmp", target.path, ::getpid());
  const int flags = target.in_place ? O_WRONLY : O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW;
  const int descriptor = ::open(part.c_str(), flags | O_CLOEXEC, 0666);
  if (descriptor < 0) return Failed(path, target.in_place ? "cannot be written" : "cannot be created", errno);
  if (target.mode) static_cast<void>(::fchmod(descriptor, *target.mode));
  int error = 0;
  for (std::string_view left : pieces) {
    while (!left.empty() && error == 0) {
      const ssize_t wrote = ::write(descriptor, left.data(), left.size());
      if (wrote < 0 && errno != EINTR) error = errno;
      if (wrote > 0) left.remove_prefix(static_cast<size_t>(wrote));
    }
  }
  if (::close(descriptor) != 0 && error == 0) error = errno;
  if (error == 0 && !target.in_place && ::rename(part.c_str(), target.path.c_str()) != 0) error = errno;
  if (error == 0) return {};
  if (!target.in_place) ::unlink(part.c_str());
  return Failed(path, "cannot be written", error);
}

ResultFile::ResultFile(std::string path, std::string part, std::FILE* file)
    : path_(std::move(path)), part_(std::move(part)), file_(file) {}

ResultFile::ResultFile(ResultFile&& other) noexcept
    : path_(std::move(other.path_)),
      part_(std::exchange(other.part_, "")),
      file_(std::exchange(other.file_, nullptr)),
      lines_(other.lines_),
      bytes_(other.bytes_) {}

ResultFile::~ResultFile() {
  if (file_ != nullptr && file_ != stdout) std::fclose(file_);
  if (file_ != nullptr && !part_.empty() && lines_ == 0) ::unlink(part_.c_str());
}

Status ResultFile::Check(const std::string& path) {
  if (path == kStdout) return {};
  QNEXT_ASSIGN_OR_RETURN(const Destination target, TargetOf(path));
  if (target.in_place) return {};
  QNEXT_ASSIGN_OR_RETURN(const int descriptor, CreatePart(target));
  ::close(descriptor);
  ::unlink(target.part().c_str());
  return {};
}

Result<ResultFile> ResultFile::Create(const std::string& path) {
  if (path == kStdout) return ResultFile("standard output", "", stdout);
  QNEXT_ASSIGN_OR_RETURN(const Destination target, TargetOf(path));
  if (target.in_place) {
    std::FILE* file = std::fopen(path.c_str(), "we");
    if (file == nullptr) return Failed(path, "cannot be written", errno);
    return ResultFile(path, "", file);
  }
  QNEXT_ASSIGN_OR_RETURN(const int descriptor, CreatePart(target));
  // A file system without permissions is no reason to lose the lines.
  if (target.mode) static_cast<void>(::fchmod(descriptor, *target.mode));
  std::FILE* file = ::fdopen(descriptor, "w");
  if (file == nullptr) {
    const int error = errno;
    ::close(descriptor);
    ::unlink(target.part().c_str());
    return Failed(target.path, "cannot be created", error);
  }
  return ResultFile(target.path, target.part(), file);
}

Status ResultFile::Append(std::string_view line) {
  if (std::fwrite(line.data(), 1, line.size(), file_) != line.size() || std::fputc('\n', file_) == EOF ||
      std::fflush(file_) != 0) {
    const int error = errno;
    // Half a line would look like an answer. (What is still in the buffer fails again when the file is closed.)
    if (!part_.empty()) static_cast<void>(::ftruncate(::fileno(file_), bytes_));
    return Failed(part_.empty() ? path_ : part_, "cannot be written", error);
  }
  ++lines_;
  bytes_ += static_cast<int64_t>(line.size()) + 1;
  return {};
}

Status ResultFile::Finish() {
  if (part_.empty()) return {};
  // A crash of the machine must not leave the new name with nothing behind it.
  if (::fsync(::fileno(file_)) != 0 && errno != EINVAL) return Failed(part_, "cannot be written", errno);
  if (::rename(part_.c_str(), path_.c_str()) != 0) return Failed(path_, "cannot be replaced", errno);
  part_.clear();
  return {};
}

std::string ResultFile::Remains() const {
  if (part_.empty() || lines_ == 0) return "";
  return fmt::format("; {} finished line{} in {}", lines_, lines_ == 1 ? " is" : "s are", part_);
}

}  // namespace qnext
