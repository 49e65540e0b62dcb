// A decode step takes no memory: none of the GPU's, and none of the host's heap by this program's own hands. A program
// of its own, because it replaces operator new.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <new>

#include "model/cuda/cuda_testing.h"

namespace {

std::atomic<int64_t> allocations{0};

void* Take(std::size_t size) {
  ++allocations;
  if (void* data = std::malloc(size == 0 ? 1 : size)) return data;
  throw std::bad_alloc();
}

}  // namespace

void* operator new(std::size_t size) { return Take(size); }
void* operator new[](std::size_t size) { return Take(size); }
void operator delete(void* data) noexcept { std::free(data); }
void operator delete[](void* data) noexcept { std::free(data); }
void operator delete(void* data, std::size_t /*size*/) noexcept { std::free(data); }
void operator delete[](void* data, std::size_t /*size*/) noexcept { std::free(data); }

namespace qnext::cuda {
namespace {

class DecodeAllocations : public GpuTest {};

TEST_F(DecodeAllocations, TheCounterCounts) {
  const int64_t before = allocations;
  const auto data = std::make_unique<std::vector<int>>(100);
  EXPECT_EQ(data->size(), 100u);
  EXPECT_EQ(allocations - before, 2);
}

TEST_F(DecodeAllocations, AStepTakesNothing) {
  OnGpu gpu = OnGpu::Tiny({.slots = 2, .context = 512}, gpu_);
  std::vector<float> logits(2 * gpu.vocab());
  gpu.Append(TheGolden().ids(0), 0);
  gpu.Append(TheGolden().ids(1), 1);
  OnGpu::Must(gpu.model->SetChoice(0, {.row = {.seed = 1, .temperature = 0.7, .top_p = 0.8, .top_k = 20}}));
  OnGpu::Must(gpu.model->SetChoice(1, {}));
  const int64_t gpu_before = ReadGpuMemory()->free_bytes, before = allocations;
  CudaModel::Row rows[2] = {{.slot = 0, .id = 5}, {.slot = 1, .id = 6}};
  int32_t chosen[2];
  bool ok = true;
  for (int step = 0; step < 100; ++step) {  // past the end of a page
    ok = ok && gpu.model->DecodeAndChoose(rows, chosen).ok();
    for (int r = 0; r < 2; ++r) rows[r].id = chosen[r];
    ok = ok && gpu.model->Decode(rows, logits).ok();
  }
  const int64_t taken = allocations - before;
  EXPECT_TRUE(ok);
  EXPECT_EQ(taken, 0);
  EXPECT_EQ(ReadGpuMemory()->free_bytes, gpu_before);
}

}  // namespace
}  // namespace qnext::cuda
