// The files that commands write: complete under their names, or not at all, and never over what is only read.
#pragma once

#include <cstdint>
#include <cstdio>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"

namespace qnext {

// What must not be overwritten: files named by options ({"--in", path}), and a folder with everything in it.
struct KeptFiles {
  std::vector<std::pair<std::string, std::string>> files;
  std::string folder;  // empty: none
};

// Whether writing `path` would destroy one of those, under whatever name (links, other spellings). Devices, pipes and
// "-" destroy nothing. `option` ("--out") begins the error.
Status CheckApart(const std::string& option, const std::string& path, const KeptFiles& kept);

// A file that is written at once, all pieces or nothing: what was there stays until the new one is complete. A device
// or a pipe is written as it is.
Status WriteWholeFile(const std::string& path, std::span<const std::string_view> pieces);
Status WriteWholeFile(const std::string& path, std::string_view text);

// The file that a long command writes line by line. Lines go to PATH.partial, which becomes PATH when all are there:
// until then PATH stays as it was, and whatever ends the program leaves the finished lines. "-" is stdout; a device or
// a pipe is written as it is.
class ResultFile {
 public:
  // Whether Create would succeed. Leaves nothing behind, so that it can be asked before the model is loaded.
  static Status Check(const std::string& path);
  static Result<ResultFile> Create(const std::string& path);
  ResultFile(ResultFile&& other) noexcept;
  ResultFile& operator=(ResultFile&& other) = delete;
  ResultFile(const ResultFile&) = delete;
  ResultFile& operator=(const ResultFile&) = delete;
  // Without Finish, lines stay in the unfinished file; one without lines is removed.
  ~ResultFile();

  // Adds a line and hands it to the system, whole or not at all.
  Status Append(std::string_view line);
  Status Finish();

  // "; 3 finished lines are in PATH.partial", or nothing: for the message of what went wrong.
  std::string Remains() const;

 private:
  ResultFile(std::string path, std::string part, std::FILE* file);

  std::string path_;
  std::string part_;  // empty: written as it is
  std::FILE* file_;
  int64_t lines_ = 0;
  int64_t bytes_ = 0;  // of them
};

}  // namespace qnext
