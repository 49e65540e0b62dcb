// Memory that comes and goes at addresses that stay.
#include "hw/cuda/chunked_range.h"

#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <vector>

#include "gpu_test.h"
#include "hw/cuda/buffers.h"

namespace qnext::cuda {
namespace {

constexpr int64_t kPage = ChunkedRange::kPageBytes;

class ChunkedRanges : public GpuTest {
 protected:
  ChunkedRange Reserve(std::vector<int64_t> bytes) { return ChunkedRange::Reserve(gpu_, bytes, "a test").value(); }
  static void Fill(const ChunkedRange& range, int64_t chunk, int value) {
    ASSERT_EQ(cudaMemset(range.chunk_data(chunk), value, static_cast<size_t>(range.chunk_bytes(chunk))), cudaSuccess);
  }
  static void ExpectAll(const ChunkedRange& range, int64_t chunk, int value) {
    std::vector<std::byte> bytes(static_cast<size_t>(range.chunk_bytes(chunk)));
    ASSERT_EQ(cudaMemcpy(bytes.data(), range.chunk_data(chunk), bytes.size(), cudaMemcpyDeviceToHost), cudaSuccess);
    EXPECT_EQ(std::ranges::count(bytes, std::byte(value)), std::ssize(bytes)) << "chunk " << chunk;
  }
};

TEST_F(ChunkedRanges, AreOneStretchOfAddresses) {
  ChunkedRange range = Reserve({kPage, 3 * kPage, 2 * kPage});
  EXPECT_EQ(range.reserved_bytes(), 6 * kPage);
  EXPECT_EQ(range.mapped_bytes(), 0);
  EXPECT_EQ(range.chunk_data(2) - range.data(), 4 * kPage);
  for (int64_t chunk = 0; chunk < 3; ++chunk) ASSERT_TRUE(range.Map(chunk).ok());
  EXPECT_EQ(range.mapped_bytes(), 6 * kPage);
  // One operation across the borders.
  ASSERT_EQ(cudaMemset(range.data(), 9, static_cast<size_t>(range.reserved_bytes())), cudaSuccess);
  for (int64_t chunk = 0; chunk < 3; ++chunk) ExpectAll(range, chunk, 9);
}

TEST_F(ChunkedRanges, OneLeavesAndComesBackAndTheOthersKeepWhatTheyHave) {
  ChunkedRange range = Reserve({2 * kPage, 2 * kPage, 2 * kPage});
  std::array<std::byte*, 3> before = {};
  for (int64_t chunk = 0; chunk < 3; ++chunk) {
    ASSERT_TRUE(range.Map(chunk).ok());
    Fill(range, chunk, static_cast<int>(chunk) + 1);
    before[static_cast<size_t>(chunk)] = range.chunk_data(chunk);
  }
  ASSERT_EQ(cudaDeviceSynchronize(), cudaSuccess);
  ASSERT_TRUE(range.Unmap(1).ok());
  EXPECT_FALSE(range.mapped(1));
  ExpectAll(range, 0, 1);
  ExpectAll(range, 2, 3);
  ASSERT_TRUE(range.Map(1).ok());
  Fill(range, 1, 7);
  ExpectAll(range, 0, 1);
  ExpectAll(range, 1, 7);
  ExpectAll(range, 2, 3);
  for (int64_t chunk = 0; chunk < 3; ++chunk) EXPECT_EQ(range.chunk_data(chunk), before[static_cast<size_t>(chunk)]);
}

TEST_F(ChunkedRanges, GiveTheirMemoryBack) {
  const int64_t bytes = 128 * kPage;
  const int64_t before = ReadGpuMemory()->free_bytes;
  {
    ChunkedRange range = Reserve({bytes, bytes});
    EXPECT_GE(ReadGpuMemory()->free_bytes, before - 2 * kPage);  // addresses cost nothing
    ASSERT_TRUE(range.Map(0).ok() && range.Map(1).ok());
    EXPECT_LE(ReadGpuMemory()->free_bytes, before - 2 * bytes);
    ASSERT_TRUE(range.Unmap(0).ok());
    EXPECT_GE(ReadGpuMemory()->free_bytes, before - bytes - 4 * kPage);
  }
  EXPECT_GE(ReadGpuMemory()->free_bytes, before - 4 * kPage);
}

TEST_F(ChunkedRanges, WhatDoesNotFitSaysSoAndHarmsNothing) {
  ChunkedRange range = Reserve({kPage, int64_t{1} << 40, kPage});
  ASSERT_TRUE(range.Map(0).ok());
  Fill(range, 0, 5);
  const Status status = range.Map(1);
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(status.message().rfind("GPU memory: 1.00 TiB of a test do not fit into the ", 0), 0u) << status.message();
  EXPECT_FALSE(range.mapped(1));
  ASSERT_TRUE(range.Map(2).ok());
  Fill(range, 2, 6);
  ExpectAll(range, 0, 5);
  ExpectAll(range, 2, 6);
  EXPECT_TRUE(DeviceBuffer::Allocate(1 << 20, "a test").ok());
}

}  // namespace
}  // namespace qnext::cuda
