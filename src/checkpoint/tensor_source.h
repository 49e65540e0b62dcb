// Where tensors come from: files, or a generator. The loader knows nothing else.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "base/function_ref.h"
#include "base/status.h"
#include "checkpoint/safetensors.h"

namespace qnext {

// Immutable once made; thread-safe.
class TensorSource {
 public:
  virtual ~TensorSource() = default;

  // Null when there is no such tensor.
  virtual const TensorInfo* Find(std::string_view name) const = 0;
  // Fills `out`, which has exactly tensor.bytes; `tensor` came from Find or ForEach of this source.
  virtual Status Read(const TensorInfo& tensor, std::span<std::byte> out) const = 0;
  virtual void ForEach(FunctionRef<void(const TensorInfo&)> visit) const = 0;
  virtual int64_t total_bytes() const = 0;
};

}  // namespace qnext
