// One safetensors file: 8 bytes little-endian header length, a JSON header, then the tensors' bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/status.h"
#include "tensor/dtype.h"
#include "tensor/shape.h"

namespace qnext {

struct TensorInfo {
  std::string name;
  DType dtype = DType::kF32;
  Shape shape;
  int64_t offset = 0;  // from the start of the file
  int64_t bytes = 0;
};

// An opened file with a checked header: every offset inside the file, begin <= end, no overlap, no gap, and the byte
// length equal to shape times dtype. Immutable; thread-safe.
class SafetensorsFile {
 public:
  static Result<SafetensorsFile> Open(const std::string& path);

  const std::vector<TensorInfo>& tensors() const { return tensors_; }  // by rising offset
  const std::string& path() const { return file_.path(); }
  int64_t file_bytes() const { return file_.size(); }

  Status Read(const TensorInfo& tensor, std::span<std::byte> out) const;

 private:
  SafetensorsFile(File file, std::vector<TensorInfo> tensors);

  File file_;
  std::vector<TensorInfo> tensors_;
};

}  // namespace qnext
