#include "experts/expert_store.h"

#include <gtest/gtest.h>

#include <utility>

namespace qnext {
namespace {

TEST(ExpertStore, ExpertsLieOneAfterTheOther) {
  ExpertStore store = ExpertStore::Make(3, 5, 4096 + 64).value();
  EXPECT_EQ(reinterpret_cast<uintptr_t>(store.data()) % (2 << 20), 0u);
  EXPECT_EQ(store.bytes() % (2 << 20), 0);
  EXPECT_GE(store.bytes(), 3 * 5 * (4096 + 64));
  EXPECT_EQ(store.Expert(0, 0), store.data());
  EXPECT_EQ(store.Expert(2, 4), store.data() + (2 * 5 + 4) * (4096 + 64));
  EXPECT_EQ(store.LayerBase(1), store.Expert(1, 0));
  for (int64_t layer = 0; layer < 3; ++layer) {
    for (int64_t e = 0; e < 5; ++e) {
      for (int64_t i = 0; i < 4096 + 64; ++i) ASSERT_EQ(store.Expert(layer, e)[i], std::byte{0});
      store.Expert(layer, e)[17] = std::byte{static_cast<unsigned char>(layer * 16 + e)};
    }
  }
  ExpertStore moved = std::move(store);
  EXPECT_EQ(moved.Expert(2, 3)[17], std::byte{2 * 16 + 3});
}

TEST(ExpertStore, MoreThanTheSystemHasIsAnError) {
  const Result<ExpertStore> store = ExpertStore::Make(1 << 20, 1 << 20, 1 << 10);
  ASSERT_FALSE(store.ok());
  EXPECT_EQ(store.status().code(), StatusCode::kResourceExhausted);
}

}  // namespace
}  // namespace qnext
