// The file that a long command writes line by line: complete under its name, or unfinished under another.
#pragma once

#include <cstdint>
#include <cstdio>
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
// "-" destroy nothing.
Status CheckApart(const std::string& path, const KeptFiles& kept);

// Lines go to PATH.partial, which becomes PATH when all are there: until then PATH stays as it was, and whatever ends
// the program leaves the finished lines. "-" is stdout; a device or a pipe is written as it is.
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

  // Adds a line and hands it to the system.
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
};

}  // namespace qnext
