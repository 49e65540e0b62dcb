// Times GPU kernels at the model's shapes and holds them against what the GPU reads from its memory, measured in the
// same run. One captured graph holds a launch for each stretch of a ring of weights that is far larger than the L2
// cache, and is replayed: so a launch costs what it costs in a decode step, finds its weights in memory and its
// activations in L2.
//
// A family of kernels adds its entries in a file of its own (products_entries.cc) and its function to entries.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/function_ref.h"
#include "base/status.h"
#include "kernels/cuda/launch.h"

namespace qnext::workbench {

// What the bytes of a ring look like. Both are finite in every reading that kernels make of them.
enum class Fill {
  kWeights,  // any 16 bits are a small F16 and a small BF16, any byte is a code
  kFloats,   // float32, uniform in (-1, 1)
};

// Stretches of device memory, 256-byte aligned, that a kernel visits in turn.
struct Ring {
  std::byte* base = nullptr;
  int64_t stride = 0;
  int64_t turns = 0;

  std::byte* at(int64_t turn) const { return base + turn % turns * stride; }
};

struct Sample {
  std::string name;
  int64_t bytes = 0;  // read and written in memory by one launch
  double operations = 0;
  double us = 0, us_min = 0, us_max = 0;  // median of the replays, by launch

  double bytes_per_second() const { return static_cast<double>(bytes) / (us * 1e-6); }
};

// What one launch moves and computes. bytes: weights and state only, not the activations that stay in the cache.
struct Work {
  std::string name;  // family/kernel/shape/rows, as "int4/12288x2048/g128/m1"
  int64_t bytes;
  double operations = 0;
  int64_t launches;  // in one replay: a ring's turns
};

class Workbench {
 public:
  // Measures the read rate; ring_bytes is at least four times the L2 cache.
  static Result<std::unique_ptr<Workbench>> Create(std::string filter);
  ~Workbench();

  // Whether an entry is asked for; Measure says so itself, this saves its preparation.
  bool Wanted(std::string_view name) const { return name.find(filter_) != std::string_view::npos; }

  // Device memory until the next Release. Failing to allocate ends the program with a message.
  template <typename T>
  T* Zeros(int64_t n) {
    return static_cast<T*>(Allocate(n * static_cast<int64_t>(sizeof(T)), nullptr));
  }
  template <typename T>
  T* Upload(const std::vector<T>& values) {
    return static_cast<T*>(Allocate(static_cast<int64_t>(values.size() * sizeof(T)), values.data()));
  }
  // A ring of stretches of `bytes`; all rings share one memory, so the last one asked for decides the fill.
  Ring MakeRing(int64_t bytes, Fill fill = Fill::kWeights);
  void Release();

  // Captures work.launches calls of `launch` (turn 0, 1, ...) and replays them; prints and keeps the sample. A launch
  // that fails is reported and fails the run.
  void Measure(const Work& work, FunctionRef<Status(int64_t turn, cuda::Stream stream)> launch);

  double read_rate() const { return read_rate_; }  // bytes per second
  bool failed() const { return failed_; }
  // Measures the read rate again and prints it with the cost of an empty launch; writes the samples where `path` is not
  // empty.
  Status Finish(const std::string& path);

 private:
  explicit Workbench(std::string filter) : filter_(std::move(filter)) {}
  void* Allocate(int64_t bytes, const void* values);
  Sample Time(const Work& work, FunctionRef<Status(int64_t turn, cuda::Stream stream)> launch, Status* status);

  std::string filter_;
  std::string device_, builds_;
  std::byte* ring_ = nullptr;
  int64_t ring_bytes_ = 0;
  std::vector<void*> allocations_;
  cuda::Stream stream_ = nullptr;
  double read_rate_ = 0, empty_us_ = 0;
  bool failed_ = false;
  std::vector<Sample> samples_;
};

}  // namespace qnext::workbench
