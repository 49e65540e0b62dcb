// A test that needs a GPU: skipped, and counted as such, where there is none that this program can use.
#pragma once

#include <gtest/gtest.h>

#include "hw/cuda/gpu.h"

namespace qnext {

class GpuTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const Result<cuda::GpuInfo> gpu = cuda::ChooseGpu(cuda::ProbeGpus());
    if (!gpu.ok()) GTEST_SKIP() << gpu.status().message();
    gpu_ = *gpu;
    const Status opened = cuda::OpenGpu(gpu_);
    ASSERT_TRUE(opened.ok()) << opened.message();
  }

  cuda::GpuInfo gpu_;
};

}  // namespace qnext
