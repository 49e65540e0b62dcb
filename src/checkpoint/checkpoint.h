// A checkpoint folder: sharded or single-file safetensors, opened, distrusted and indexed. docs/checkpoint.md
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "checkpoint/safetensors.h"

namespace qnext {

// The tensors of all shards by name. Immutable after Open; thread-safe (reads carry their own position).
class Checkpoint {
 public:
  // Opens model.safetensors.index.json and its shards, or (without an index) the single model.safetensors. Every header
  // is checked (safetensors.h); shards the index names but that are absent (all are listed), a tensor the index names
  // but no shard holds (or another shard holds), and a tensor in two shards are errors.
  static Result<Checkpoint> Open(const std::string& folder);

  struct Entry {
    size_t shard = 0;  // index into shards()
    TensorInfo info;
  };

  // Null when there is no such tensor.
  const Entry* Find(std::string_view name) const;
  const std::map<std::string, Entry, std::less<>>& tensors() const { return tensors_; }
  const std::vector<SafetensorsFile>& shards() const { return shards_; }  // by name
  const std::string& folder() const { return folder_; }
  // Tensors that a shard holds and the index does not name. They are read all the same.
  const std::vector<std::string>& unlisted() const { return unlisted_; }

  // Reads a tensor's bytes; `out` must have exactly info.bytes. The tensor must be one of ours.
  Status Read(const Entry& entry, std::span<std::byte> out) const;

  int64_t total_bytes() const;  // of all tensors, headers not counted

 private:
  Status AddShard(const std::string& path);

  std::string folder_;
  std::vector<SafetensorsFile> shards_;
  std::map<std::string, Entry, std::less<>> tensors_;
  std::vector<std::string> unlisted_;
};

}  // namespace qnext
