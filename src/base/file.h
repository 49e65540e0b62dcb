// Reading files: whole small files, and positioned reads out of large ones.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "base/status.h"

namespace qnext {

// An open regular file. Thread-safe: Read takes its position as an argument.
class File {
 public:
  static Result<File> Open(const std::string& path);
  ~File();
  File(File&& other) noexcept;
  File& operator=(File&& other) noexcept;
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  // Fills `out` from `offset`; an error names the path, also when the file ends before `out` is full.
  Status Read(int64_t offset, std::span<std::byte> out) const;

  int64_t size() const { return size_; }
  const std::string& path() const { return path_; }

 private:
  File(int descriptor, int64_t size, std::string path);

  int descriptor_ = -1;
  int64_t size_ = 0;
  std::string path_;
};

// The whole of a file of at most `max_bytes`.
Result<std::string> ReadFileToString(const std::string& path, int64_t max_bytes = int64_t{256} << 20);

// Whether there is anything of that name, a link that leads nowhere included: only a file that is not there at all may
// be passed over, and opening any other tells what is wrong with it.
bool FileExists(const std::string& path);

}  // namespace qnext
