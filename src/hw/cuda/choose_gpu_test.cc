// The words for a machine whose GPU cannot be used; none of this needs one.
#include <gtest/gtest.h>

#include "hw/cuda/gpu.h"

namespace qnext::cuda {
namespace {

GpuInfo Gpu(int ordinal, const char* name, int major, int minor) {
  return {.ordinal = ordinal, .name = name, .major = major, .minor = minor};
}

GpuProbe GoodProbe() {
  return {.driver_version = 13000, .runtime_version = 13000, .error = "", .gpus = {Gpu(0, "Ada", 8, 9)}};
}

std::string Why(const GpuProbe& probe) {
  const Result<GpuInfo> gpu = ChooseGpu(probe);
  EXPECT_FALSE(gpu.ok());
  return gpu.status().message();
}

TEST(ChooseGpu, TakesTheFirstThatIsNewEnough) {
  GpuProbe probe = GoodProbe();
  probe.gpus = {Gpu(0, "Turing", 7, 5), Gpu(1, "Ampere", 8, 0), Gpu(2, "Hopper", 9, 0)};
  EXPECT_EQ(ChooseGpu(probe)->ordinal, 1);
}

TEST(ChooseGpu, SaysWhatIsMissing) {
  GpuProbe probe = GoodProbe();
  probe.driver_version = 0;
  EXPECT_EQ(Why(probe), "no NVIDIA driver is loaded");

  probe = GoodProbe();
  probe.gpus.clear();
  EXPECT_EQ(Why(probe), "the NVIDIA driver finds no GPU");

  probe = GoodProbe();
  probe.error = "system not yet initialized";
  EXPECT_EQ(Why(probe), "the NVIDIA driver says: system not yet initialized");

  probe = GoodProbe();
  probe.gpus = {Gpu(0, "NVIDIA T4", 7, 5)};
  EXPECT_EQ(Why(probe), "NVIDIA T4 has compute capability 7.5, 8.0 or newer is needed");
}

TEST(ChooseGpu, AnOlderDriverOfTheSameMajorVersionWillDo) {
  GpuProbe probe = GoodProbe();
  probe.runtime_version = 13020;
  EXPECT_TRUE(ChooseGpu(probe).ok());
  probe.driver_version = 12090;
  EXPECT_EQ(Why(probe), "the NVIDIA driver knows CUDA 12.9, this program needs 13.0: a newer driver is needed");
  EXPECT_EQ(ChooseGpu(probe).status().code(), StatusCode::kUnsupported);
  probe.driver_version = 14000;
  EXPECT_TRUE(ChooseGpu(probe).ok());
}

// On any machine: what the probe says fits together.
TEST(ProbeGpus, AnswersWithOrWithoutAGpu) {
  const GpuProbe probe = ProbeGpus();
  EXPECT_GE(probe.runtime_version, 12000);
  EXPECT_TRUE(probe.driver_version > 0 || probe.gpus.empty());
  for (const GpuInfo& gpu : probe.gpus) {
    EXPECT_FALSE(gpu.name.empty());
    EXPECT_GE(gpu.major, 1);
    EXPECT_GT(gpu.total_bytes, 0);
    EXPECT_EQ(gpu.pci_bus_id.find(':'), 4u) << gpu.pci_bus_id;
  }
}

}  // namespace
}  // namespace qnext::cuda
