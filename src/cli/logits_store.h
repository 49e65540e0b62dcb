// Logits of many places, on disk: two configurations of an 80B cannot be in memory together, so those of the first wait
// for the second in a file.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "base/status.h"

namespace qnext {

// Rows of float32, as they were given: what is read is bit for bit what was written. The file has no name once it is
// there, so that it is gone however the program ends. One thread at a time.
class LogitsStore {
 public:
  // Room for `rows` rows of `columns` in `folder`. kResourceExhausted where they take more than `most_bytes` or than
  // the disk has free, with the rows that would fit: before anything is computed.
  static Result<LogitsStore> Create(const std::string& folder, int64_t rows, int64_t columns, int64_t most_bytes);
  ~LogitsStore();
  LogitsStore(LogitsStore&& other) noexcept;
  LogitsStore& operator=(LogitsStore&& other) = delete;
  LogitsStore(const LogitsStore&) = delete;
  LogitsStore& operator=(const LogitsStore&) = delete;

  // `row` has `columns` values. An error (a full disk) names the folder.
  Status Append(std::span<const float> row);
  Status Read(int64_t row, std::span<float> out) const;
  int64_t rows() const { return written_; }
  int64_t columns() const { return columns_; }

 private:
  LogitsStore(int descriptor, std::string folder, int64_t columns)
      : descriptor_(descriptor), folder_(std::move(folder)), columns_(columns) {}

  int descriptor_;
  std::string folder_;
  int64_t columns_;
  int64_t written_ = 0;
};

}  // namespace qnext
