// ResultFile: lines of results that take long to make, so that nothing finished is lost and nothing else is
// overwritten.
#pragma once

#include <cstdio>
#include <memory>
#include <string>
#include <string_view>

#include "base/status.h"

namespace qnext {

// A regular file is written beside its name, as PATH.partial, and takes its name when it is complete: until then a file
// that was there stays as it was. Pipes and devices are written as they are; "-" is standard output.
class ResultFile {
 public:
  // Refuses, without touching anything: a path that is `input` (under any name) or lies in `folder` (empty: none), a
  // directory, and what cannot be created, with the reason.
  static Result<ResultFile> Open(const std::string& path, const std::string& input, const std::string& folder);

  // The line and an end of line, flushed. An error says where the finished lines are.
  Status WriteLine(std::string_view line);
  // Complete: the file gets its name.
  Status Finish();
  // Where finished lines are while the file is not complete: "PATH.partial".
  const std::string& partial() const { return partial_; }

 private:
  struct Close {
    void operator()(std::FILE* file) const {
      if (file != stdout) std::fclose(file);
    }
  };

  ResultFile(std::string path, std::string partial, std::FILE* file)
      : path_(std::move(path)), partial_(std::move(partial)), file_(file) {}

  std::string path_, partial_;  // the same where there is no renaming
  std::unique_ptr<std::FILE, Close> file_;
};

}  // namespace qnext
