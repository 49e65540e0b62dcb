// Where tensors come from: files, or a generator. The loader knows nothing else.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "base/function_ref.h"
#include "base/status.h"
#include "checkpoint/checkpoint.h"
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

// The tensors of a checkpoint folder, which must outlive this.
class CheckpointSource final : public TensorSource {
 public:
  explicit CheckpointSource(const Checkpoint& checkpoint) : checkpoint_(checkpoint) {}

  const TensorInfo* Find(std::string_view name) const override {
    const Checkpoint::Entry* entry = checkpoint_.Find(name);
    return entry != nullptr ? &entry->info : nullptr;
  }
  Status Read(const TensorInfo& tensor, std::span<std::byte> out) const override {
    return checkpoint_.Read(*checkpoint_.Find(tensor.name), out);
  }
  void ForEach(FunctionRef<void(const TensorInfo&)> visit) const override {
    for (const auto& [name, entry] : checkpoint_.tensors()) visit(entry.info);
  }
  int64_t total_bytes() const override { return checkpoint_.total_bytes(); }

 private:
  const Checkpoint& checkpoint_;
};

}  // namespace qnext
