#include "cli/result_file.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <optional>
#include <utility>

namespace qnext {
namespace {

std::optional<struct stat> Stat(const std::string& path) {
  struct stat info = {};
  if (::stat(path.c_str(), &info) != 0) return std::nullopt;
  return info;
}

// Whether the file would lie in the folder or below, links resolved.
bool LiesIn(const std::string& path, const std::string& folder) {
  std::error_code error;
  const std::filesystem::path root = std::filesystem::canonical(folder, error);
  if (error) return false;
  std::filesystem::path place = std::filesystem::weakly_canonical(std::filesystem::absolute(path), error);
  if (error) return false;
  for (; place.has_relative_path(); place = place.parent_path()) {
    if (place == root) return true;
  }
  return false;
}

}  // namespace

Result<ResultFile> ResultFile::Open(const std::string& path, const std::string& input, const std::string& folder) {
  if (path == "-") return ResultFile("standard output", "standard output", stdout);
  const std::optional<struct stat> target = Stat(path), source = Stat(input);
  if (target && source && target->st_dev == source->st_dev && target->st_ino == source->st_ino) {
    return InvalidArgument(fmt::format("{}: is the input too; it would be lost", path));
  }
  if (target && S_ISDIR(target->st_mode)) return InvalidArgument(fmt::format("{}: is a directory", path));
  if (!folder.empty() && LiesIn(path, folder)) {
    return InvalidArgument(fmt::format("{}: lies in the checkpoint's folder, which is only read", path));
  }
  const bool special = target && !S_ISREG(target->st_mode);
  // A link's target is replaced, not the link.
  std::string real = path;
  std::error_code error;
  if (const auto resolved = std::filesystem::canonical(path, error); !error && !special) real = resolved.string();
  const std::string partial = special ? real : real + ".partial";
  if (!special && target && ::access(real.c_str(), W_OK) != 0) {
    return InvalidArgument(fmt::format("{}: cannot be written: {}", path, std::strerror(errno)));
  }
  std::FILE* file = std::fopen(partial.c_str(), "wbe");
  if (file == nullptr) return InvalidArgument(fmt::format("{}: cannot be created: {}", partial, std::strerror(errno)));
  return ResultFile(std::move(real), partial, file);
}

Status ResultFile::WriteLine(std::string_view line) {
  if (std::fwrite(line.data(), 1, line.size(), file_.get()) == line.size() && std::fputc('\n', file_.get()) != EOF &&
      std::fflush(file_.get()) == 0) {
    return Status();
  }
  return Internal(fmt::format("{}: cannot be written: {}", partial_, std::strerror(errno)));
}

Status ResultFile::Finish() {
  if (std::fflush(file_.get()) != 0) {
    return Internal(fmt::format("{}: cannot be written: {}", partial_, std::strerror(errno)));
  }
  file_.reset();
  if (partial_ == path_ || std::rename(partial_.c_str(), path_.c_str()) == 0) return Status();
  return Internal(fmt::format("{}: cannot get the name {}: {}", partial_, path_, std::strerror(errno)));
}

}  // namespace qnext
