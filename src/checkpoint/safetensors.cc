#include "checkpoint/safetensors.h"

#include <fmt/format.h>

#include <array>
#include <utility>

#include "base/check.h"
#include "checkpoint/safetensors_header.h"

namespace qnext {
namespace {

constexpr int64_t kLengthBytes = 8;

}  // namespace

SafetensorsFile::SafetensorsFile(File file, std::vector<TensorInfo> tensors)
    : file_(std::move(file)), tensors_(std::move(tensors)) {}

Result<SafetensorsFile> SafetensorsFile::Open(const std::string& path) {
  QNEXT_ASSIGN_OR_RETURN(File file, File::Open(path));
  if (file.size() < kLengthBytes) {
    return Corrupt(fmt::format("{}: {} bytes are too few for a safetensors file", path, file.size()));
  }
  std::array<unsigned char, kLengthBytes> raw = {};
  QNEXT_RETURN_IF_ERROR(file.Read(0, std::as_writable_bytes(std::span(raw))));
  uint64_t length = 0;
  for (size_t i = raw.size(); i-- > 0;) length = length << 8 | raw[i];
  const auto available = static_cast<uint64_t>(file.size() - kLengthBytes);
  if (length > available) {
    return Corrupt(
        fmt::format("{}: header of {} bytes, but the file has only {} after the length", path, length, available));
  }
  if (length > static_cast<uint64_t>(kMaxSafetensorsHeaderBytes)) {
    return Corrupt(
        fmt::format("{}: header of {} bytes, above the format's {}", path, length, kMaxSafetensorsHeaderBytes));
  }
  std::string header(length, '\0');
  QNEXT_RETURN_IF_ERROR(file.Read(kLengthBytes, std::as_writable_bytes(std::span(header))));
  const int64_t data_start = kLengthBytes + static_cast<int64_t>(length);
  Result<std::vector<TensorInfo>> tensors = ParseSafetensorsHeader(header, data_start, file.size() - data_start);
  if (!tensors.ok()) return tensors.status().WithContext(path);
  return SafetensorsFile(std::move(file), *std::move(tensors));
}

Status SafetensorsFile::Read(const TensorInfo& tensor, std::span<std::byte> out) const {
  QNEXT_CHECK(static_cast<int64_t>(out.size()) == tensor.bytes, "the buffer must have exactly the tensor's bytes");
  const Status read = file_.Read(tensor.offset, out);
  return read.ok() ? read : Status(read.code(), fmt::format("{} (tensor {})", read.message(), tensor.name));
}

}  // namespace qnext
