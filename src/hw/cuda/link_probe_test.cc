// The link's figures are of the size of things, and the probes end.
#include "hw/cuda/link_probe.h"

#include <gtest/gtest.h>

#include "gpu_test.h"
#include "hw/cuda/handles.h"

namespace qnext::cuda {
namespace {

using LinkProbe = GpuTest;

TEST_F(LinkProbe, CopiesAloneAndBesideTheCpu) {
  ThreadPool pool(2);
  ProbeMemory memory(int64_t{64} << 20, pool);
  const PinnedRange pinned = PinnedRange::Pin(memory.data(), memory.size()).value();
  const OwnedStream stream = MakeStream().value();
  const LinkMemory link = {.memory = memory, .pinned = pinned};
  const Result<std::vector<double>> copies = MeasureCopies(link, 1622016, 3, stream.get());
  ASSERT_TRUE(copies.ok()) << copies.status().message();
  ASSERT_EQ(copies->size(), 3u);
  for (const double rate : *copies) {
    EXPECT_GT(rate, 1e8);
    EXPECT_LT(rate, 1e12);
  }
  const Result<SharedRates> both = MeasureShared(link, pool, /*prefetch=*/true, 1622016, 2, stream.get());
  ASSERT_TRUE(both.ok()) << both.status().message();
  ASSERT_EQ(both->cpu.size(), 2u);
  ASSERT_EQ(both->link.size(), 2u);
  for (const double rate : both->cpu) EXPECT_GT(rate, 1e8);
  for (const double rate : both->link) EXPECT_GT(rate, 1e8);
  EXPECT_FALSE(MeasureCopies(link, memory.size() + 1, 1, stream.get()).ok());
}

TEST_F(LinkProbe, HandshakesTakeMicroseconds) {
  const OwnedStream stream = MakeStream().value();
  const Result<std::vector<double>> seconds = MeasureHandshakes(5, stream.get());
  ASSERT_TRUE(seconds.ok()) << seconds.status().message();
  ASSERT_EQ(seconds->size(), 5u);
  for (const double each : *seconds) {
    EXPECT_GT(each, 5e-7);
    EXPECT_LT(each, 1e-2);
  }
}

}  // namespace
}  // namespace qnext::cuda
