// Memory for weights: large zeroed mappings on huge pages where the kernel grants them, handed out piece by piece.
#pragma once

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <vector>

#include "model/weight_memory.h"

namespace qnext {

// Pieces live as long as the arena. Thread-safe.
class WeightArena final : public WeightMemory {
 public:
  WeightArena() = default;
  ~WeightArena() override;
  WeightArena(const WeightArena&) = delete;
  WeightArena& operator=(const WeightArena&) = delete;

  // `bytes` zeroed bytes on a multiple of 64; kResourceExhausted where the system refuses.
  Result<std::byte*> Allocate(int64_t bytes);
  int64_t allocated_bytes() const;

  // Pieces are written where they stay.
  Result<WeightPiece> Begin(const WeightId& id, int64_t bytes) override;
  Status Commit(const WeightPiece& piece) override;
  bool fixed_layouts() const override { return false; }

 private:
  struct Mapping {
    std::byte* data;
    int64_t bytes;
  };

  mutable std::mutex mutex_;
  std::vector<Mapping> mappings_;
  std::byte* next_ = nullptr;
  int64_t left_ = 0;
  int64_t allocated_ = 0;
};

}  // namespace qnext
