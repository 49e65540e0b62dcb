#include "kernels/cuda/product_plan.h"

#include <gtest/gtest.h>

namespace qnext::cuda {
namespace {

TEST(ProductPlan, SlicesCoverTheRunsInWholeQuads) {
  for (int64_t runs = 1; runs <= 3000; ++runs) {
    const RunSlices slices = SliceRuns(runs * 32);
    ASSERT_EQ(slices.runs, runs);
    ASSERT_EQ(slices.per_slice % 4, 0);
    ASSERT_LE(slices.count, 8);
    ASSERT_LE(slices.count, kGemvMostWarps);
    ASSERT_GE(int64_t{slices.per_slice} * slices.count, runs);
    ASSERT_LT(int64_t{slices.per_slice} * (slices.count - 1), runs) << "an empty slice";
  }
}

TEST(ProductPlan, SlicesOfTheModelsShapes) {
  EXPECT_EQ(SliceRuns(512).count, 1);
  EXPECT_EQ(SliceRuns(2048).count, 4);
  EXPECT_EQ(SliceRuns(2048).per_slice, 16);
  EXPECT_EQ(SliceRuns(4096).count, 8);
  EXPECT_EQ(SliceRuns(4096).per_slice, 16);
}

TEST(ProductPlan, GroupsWithoutDivision) {
  for (int64_t per_group = 1; per_group <= 65535; per_group = per_group < 70 ? per_group + 1 : per_group * 3 / 2) {
    const uint32_t multiplier = GroupMultiplier(per_group);
    for (int64_t run = 0; run <= 65535; ++run) {
      ASSERT_EQ(GroupOfRun(static_cast<uint32_t>(run), multiplier), run / per_group) << run << " / " << per_group;
    }
  }
}

TEST(ProductPlan, BlocksHoldMoreTilesWhereThereAreManyMoreThanProcessors) {
  EXPECT_EQ(GemvTilesPerBlock(4, 768, 132), 2);
  EXPECT_EQ(GemvTilesPerBlock(4, 128, 132), 1);
  EXPECT_EQ(GemvTilesPerBlock(1, 10000, 132), 8);
  EXPECT_EQ(GemvTilesPerBlock(8, 10000, 132), 1);
  for (int32_t slices = 1; slices <= 8; ++slices) {
    for (const int64_t tiles : {1, 7, 100, 1000, 100000}) {
      const int32_t held = GemvTilesPerBlock(slices, tiles, 76);
      EXPECT_GE(held, 1);
      EXPECT_LE(held * slices, kGemvMostWarps);
    }
  }
}

TEST(ProductPlan, DenseRowsTakeAPowerOfTwoOfWarps) {
  EXPECT_EQ(DenseWarpsPerRow(1), 1);
  EXPECT_EQ(DenseWarpsPerRow(256), 1);
  EXPECT_EQ(DenseWarpsPerRow(257), 2);
  EXPECT_EQ(DenseWarpsPerRow(512), 2);
  EXPECT_EQ(DenseWarpsPerRow(2048), 8);
  EXPECT_EQ(DenseWarpsPerRow(4096), 16);
  EXPECT_EQ(DenseWarpsPerRow(100000), 16);
}

}  // namespace
}  // namespace qnext::cuda
