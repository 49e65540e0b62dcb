#include "cli/logits_store.h"

#include <fmt/core.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <utility>

#include "base/bytes.h"
#include "base/check.h"

namespace qnext {
namespace {

constexpr auto kFloat = static_cast<int64_t>(sizeof(float));

Status SystemError(const std::string& folder, int error) {
  const bool full = error == ENOSPC || error == EDQUOT || error == EFBIG;
  return {full ? StatusCode::kResourceExhausted : StatusCode::kUnavailable,
          fmt::format("{}: the temporary file: {}", folder, std::strerror(error))};
}

}  // namespace

Result<LogitsStore> LogitsStore::Create(const std::string& folder, int64_t rows, int64_t columns, int64_t most_bytes) {
  QNEXT_CHECK(rows >= 0 && columns > 0, "rows of something");
  std::error_code error;
  const std::filesystem::space_info space = std::filesystem::space(folder, error);
  if (error) return Unavailable(fmt::format("{}: {}", folder, error.message()));
  const int64_t row_bytes = columns * kFloat;
  const auto available = static_cast<int64_t>(std::min<uintmax_t>(space.available, INT64_MAX));
  const int64_t room = std::min(available, most_bytes);
  if (rows > room / row_bytes) {
    return ResourceExhausted(
        fmt::format("{}: the logits of {} places take {} on disk, {} each, and {} {}: {} places fit", folder, rows,
                    FormatBytes(rows * row_bytes), FormatBytes(row_bytes),
                    available < most_bytes ? "free there are" : "the limit is", FormatBytes(room), room / row_bytes));
  }
  std::string name = (std::filesystem::path(folder) / "qnext-logits-XXXXXX").string();
  const int descriptor = ::mkstemp(name.data());
  if (descriptor < 0) return SystemError(folder, errno);
  if (::unlink(name.c_str()) != 0) {
    const int reason = errno;
    ::close(descriptor);
    return SystemError(folder, reason);
  }
  return LogitsStore(descriptor, folder, columns);
}

LogitsStore::~LogitsStore() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

LogitsStore::LogitsStore(LogitsStore&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)),
      folder_(std::move(other.folder_)),
      columns_(other.columns_),
      written_(other.written_) {}

Status LogitsStore::Append(std::span<const float> row) {
  QNEXT_CHECK(static_cast<int64_t>(row.size()) == columns_, "a whole row");
  std::span<const std::byte> bytes = std::as_bytes(row);
  int64_t at = written_ * columns_ * kFloat;
  while (!bytes.empty()) {
    const ssize_t count = ::pwrite(descriptor_, bytes.data(), bytes.size(), at);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return SystemError(folder_, errno);
    bytes = bytes.subspan(static_cast<size_t>(count));
    at += count;
  }
  ++written_;
  return {};
}

Status LogitsStore::Read(int64_t row, std::span<float> out) const {
  QNEXT_CHECK(row >= 0 && row < written_ && static_cast<int64_t>(out.size()) == columns_, "a row that was written");
  std::span<std::byte> bytes = std::as_writable_bytes(out);
  int64_t at = row * columns_ * kFloat;
  while (!bytes.empty()) {
    const ssize_t count = ::pread(descriptor_, bytes.data(), bytes.size(), at);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return SystemError(folder_, errno);
    if (count == 0) return Corrupt(fmt::format("{}: the temporary file has become shorter", folder_));
    bytes = bytes.subspan(static_cast<size_t>(count));
    at += count;
  }
  return {};
}

}  // namespace qnext
