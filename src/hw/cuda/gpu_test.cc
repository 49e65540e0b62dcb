// Memory, streams, graphs and waiting, on a GPU.
#include "gpu_test.h"

#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <thread>
#include <vector>

#include "hw/cuda/buffers.h"
#include "hw/cuda/cuda_status.h"
#include "hw/cuda/handles.h"
#include "hw/cuda/wait.h"

namespace qnext::cuda {
namespace {

constexpr std::chrono::milliseconds kLong{10000};

using Buffers = GpuTest;

TEST_F(Buffers, DeviceMemoryIsTakenAndGivenBack) {
  const int64_t before = ReadGpuMemory()->free_bytes;
  {
    const Result<DeviceBuffer> buffer = DeviceBuffer::Allocate(int64_t{64} << 20, "a test");
    ASSERT_TRUE(buffer.ok()) << buffer.status().message();
    EXPECT_EQ(reinterpret_cast<uintptr_t>(buffer->data()) % 256, 0u);
    EXPECT_LE(ReadGpuMemory()->free_bytes, before - (int64_t{60} << 20));
  }
  EXPECT_GE(ReadGpuMemory()->free_bytes, before - (int64_t{4} << 20));
}

TEST_F(Buffers, TooMuchIsAnErrorThatSaysSoAndLeavesTheGpuUsable) {
  const Result<DeviceBuffer> buffer = DeviceBuffer::Allocate(int64_t{1} << 42, "a test");
  ASSERT_FALSE(buffer.ok());
  EXPECT_EQ(buffer.status().code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(buffer.status().message().rfind("GPU memory: 4.00 TiB of a test do not fit into the ", 0), 0u)
      << buffer.status().message();
  EXPECT_TRUE(DeviceBuffer::Allocate(1 << 20, "a test").ok());
}

TEST_F(Buffers, TheGpuReadsAndWritesPinnedMemoryInPlace) {
  PinnedBuffer host = PinnedBuffer::Allocate(8192, "a test").value();
  EXPECT_EQ(host.data()[8191], std::byte{0});
  const DeviceBuffer device = DeviceBuffer::Allocate(4096, "a test").value();
  std::memset(host.data(), 7, 4096);
  const OwnedStream stream = MakeStream().value();
  ASSERT_EQ(cudaMemcpyAsync(device.data(), host.data(), 4096, cudaMemcpyDefault, stream.get()), cudaSuccess);
  ASSERT_EQ(cudaMemcpyAsync(host.data() + 4096, device.data(), 4096, cudaMemcpyDefault, stream.get()), cudaSuccess);
  ASSERT_TRUE(Synchronize(stream.get(), kLong, "copies").ok());
  EXPECT_EQ(std::memcmp(host.data(), host.data() + 4096, 4096), 0);
}

using Graphs = GpuTest;

TEST_F(Graphs, RunWhatWasRecordedEachTimeTheyAreLaunched) {
  const DeviceBuffer device = DeviceBuffer::Allocate(256, "a test").value();
  PinnedBuffer host = PinnedBuffer::Allocate(512, "a test").value();
  const OwnedStream stream = MakeStream().value();
  const Result<OwnedGraph> graph = CaptureGraph(stream.get(), "a test", [&] {
    QNEXT_RETURN_IF_ERROR(
        ToStatus(cudaMemcpyAsync(device.data(), host.data(), 256, cudaMemcpyHostToDevice, stream.get()), "there"));
    return ToStatus(cudaMemcpyAsync(host.data() + 256, device.data(), 256, cudaMemcpyDeviceToHost, stream.get()),
                    "back");
  });
  ASSERT_TRUE(graph.ok()) << graph.status().message();
  for (int value = 1; value < 4; ++value) {
    std::memset(host.data(), value, 256);
    ASSERT_EQ(cudaGraphLaunch(graph->get(), stream.get()), cudaSuccess);
    ASSERT_TRUE(Synchronize(stream.get(), kLong, "a graph").ok());
    EXPECT_EQ(host.data()[256 + 255], std::byte(value));
  }
}

TEST_F(Graphs, AnErrorWhileRecordingIsTheGraphs) {
  const OwnedStream stream = MakeStream().value();
  const Result<OwnedGraph> graph = CaptureGraph(stream.get(), "a test", [] { return Internal("no"); });
  EXPECT_EQ(graph.status().message(), "a test: no");
  EXPECT_TRUE(Synchronize(stream.get(), kLong, "the stream").ok());
}

using Waiting = GpuTest;

TEST_F(Waiting, SeesWhatAnotherWrites) {
  const OwnedStream stream = MakeStream().value();
  std::atomic<int> word{0};
  const auto wait = [](void* data) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    *static_cast<std::atomic<int>*>(data) = 1;
  };
  ASSERT_EQ(cudaLaunchHostFunc(stream.get(), wait, &word), cudaSuccess);
  EXPECT_TRUE(PollUntil([&] { return word == 1; }, stream.get(), kLong, "a wait").ok());
}

TEST_F(Waiting, EndsInsteadOfHanging) {
  const OwnedStream stream = MakeStream().value();
  EXPECT_EQ(PollUntil([] { return false; }, stream.get(), kLong, "a wait").message(),
            "a wait: the GPU has finished without a result");
  std::atomic<bool> stop{false};
  const auto hold = [](void* data) {
    while (!*static_cast<std::atomic<bool>*>(data)) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  };
  ASSERT_EQ(cudaLaunchHostFunc(stream.get(), hold, &stop), cudaSuccess);
  EXPECT_EQ(PollUntil([] { return false; }, stream.get(), std::chrono::milliseconds(50), "a wait").message(),
            "a wait: the GPU has not finished within 0.05 s");
  EXPECT_EQ(Synchronize(stream.get(), std::chrono::milliseconds(50), "a stream").message(),
            "a stream: the GPU has not finished within 0.05 s");
  stop = true;
  EXPECT_TRUE(Synchronize(stream.get(), kLong, "a stream").ok());
}

}  // namespace
}  // namespace qnext::cuda
