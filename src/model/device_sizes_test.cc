#include "model/device_sizes.h"

#include <gtest/gtest.h>

#include "checkpoint/synthetic.h"
#include "model/sequence_state.h"

namespace qnext {
namespace {

ModelConfig Config80b() { return *ParseModelConfig(FindSyntheticKind("80b-a")->config_json, "80b-a"); }

TEST(DeviceSizes, AreThoseOfTheModelsSizeTable) {
  const ModelConfig config = Config80b();
  const auto per_token = [&](KvType type) {
    return static_cast<double>(KvPageBytes(config, type)) / static_cast<double>(kKvPageTokens);
  };
  EXPECT_NEAR(per_token(KvType::kBF16), 24.6e3, 50);
  EXPECT_NEAR(per_token(KvType::kF8E4M3), 12.3e3, 50);
  EXPECT_NEAR(262144 * per_token(KvType::kBF16), 6.44e9, 0.01e9);
  // 75.5 MB of matrices and a history of four rows of 8192 floats in 36 layers.
  EXPECT_EQ(RecurrentStateBytes(config), int64_t{36} * (32 * 128 * 128 + 4 * 8192) * 4);
  // The pages are those of the CPU's cache, and a table entry.
  EXPECT_EQ(KvPageBytes(config, KvType::kInt8), StateLayout::For(config, KvType::kInt8).page_bytes() + 4);
}

TEST(DeviceSizes, WorkspaceIsBoundedWhateverTheContext) {
  const ModelConfig config = Config80b();
  const int64_t longest = WorkspaceBytes(config, {.ctx = 262144});
  EXPECT_LT(longest, int64_t{1500} * 1000 * 1000);
  EXPECT_EQ(WorkspaceBytes(config, {.ctx = 32768}), longest);
  EXPECT_LT(WorkspaceBytes(config, {.ctx = 64}), WorkspaceBytes(config, {.ctx = 512}));
  EXPECT_LT(WorkspaceBytes(config, {.ctx = 32768, .block_tokens = 256}), longest);
  // The scratch of split attention alone, at eight rows.
  EXPECT_GT(WorkspaceBytes(config, {.ctx = 1}), int64_t{8} * 16 * 64 * 258 * 4);
}

TEST(DeviceSizes, AModelWithoutExpertsOrLinearLayersNeedsLess) {
  ModelConfig config = Config80b();
  const int64_t all = WorkspaceBytes(config, {.ctx = 4096});
  config.layer_kinds.assign(config.layer_kinds.size(), LayerKind::kFullAttention);
  EXPECT_EQ(RecurrentStateBytes(config), 0);
  EXPECT_LT(WorkspaceBytes(config, {.ctx = 4096}), all);
  config.layer_kinds.assign(config.layer_kinds.size(), LayerKind::kLinearAttention);
  EXPECT_EQ(KvPageBytes(config, KvType::kBF16), 0);
}

TEST(DeviceSizes, CountsTheOperationsOfAToken) {
  // 3.9 billion active parameters less embedding and head, twice.
  EXPECT_NEAR(PrefillFlopsPerToken(Config80b()), 2 * 3.2e9, 0.4e9);
}

}  // namespace
}  // namespace qnext
