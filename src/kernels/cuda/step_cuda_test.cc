// The bookkeeping kernels, against plain loops.
#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <numeric>
#include <random>

#include "gpu_test.h"
#include "hw/cuda/buffers.h"
#include "hw/cuda/handles.h"
#include "hw/cuda/wait.h"
#include "kernels/cuda/cuda_test_util.h"
#include "kernels/cuda/hybrid.h"
#include "kernels/cuda/step.h"
#include "kernels/kernels.h"

namespace qnext::cuda {
namespace {

// Arrays that host and GPU both see.
class StepKernels : public GpuTest {
 protected:
  template <typename T>
  T* Shared(const std::vector<T>& values) {
    buffers_.push_back(PinnedBuffer::Allocate(static_cast<int64_t>(values.size() * sizeof(T)), "a test").value());
    std::memcpy(buffers_.back().data(), values.data(), values.size() * sizeof(T));
    return reinterpret_cast<T*>(buffers_.back().data());
  }
  void Run(const Status& launched, const OwnedStream& stream) {
    ASSERT_TRUE(launched.ok()) << launched.message();
    ASSERT_TRUE(Synchronize(stream.get(), std::chrono::milliseconds(10000), "a test").ok());
  }
  std::vector<PinnedBuffer> buffers_;
};

using cuda_test::DeviceArray;

TEST_F(StepKernels, WordsAndExpertsCrossTheLink) {
  const OwnedStream stream = MakeStream().value();
  for (const int64_t words : {1, 255, 256, 513, 100000}) {
    std::vector<int32_t> values(static_cast<size_t>(words));
    std::iota(values.begin(), values.end(), -5);
    DeviceArray<int32_t> to(words);  // guarded on both sides
    Run(LaunchCopyWords(Shared(values), to.get(), words, stream.get()), stream);
    EXPECT_EQ(to.Download(), values);
    EXPECT_TRUE(to.GuardsIntact());
  }
  EXPECT_TRUE(LaunchCopyWords(nullptr, nullptr, 0, stream.get()).ok());
  EXPECT_EQ(LaunchCopyWords(nullptr, nullptr, -1, stream.get()).code(), StatusCode::kInvalidArgument);

  // Five experts of a ragged number of 16-byte words; three of them into three of four slots.
  constexpr int64_t kStride = 16 * 40000, kBytes = 16 * 39999, kExperts = 5, kSlots = 4;
  std::vector<int32_t> source(kExperts * kStride / 4);
  std::iota(source.begin(), source.end(), 0);
  const std::vector<int32_t> before(kSlots * kStride / 4, -1), experts = {4, 0, 2}, slots = {1, 3, 0};
  for (const int32_t count : {0, 1, 3}) {
    for (const int64_t blocks : {1, 32}) {
      DeviceArray<int32_t> target(before), device_experts(experts), device_slots(slots);
      DeviceArray<int32_t> device_count(std::vector<int32_t>{count});
      Run(LaunchFetchExperts({.source = reinterpret_cast<const std::byte*>(Shared(source)),
                              .target = reinterpret_cast<std::byte*>(target.get()),
                              .stride = kStride,
                              .bytes = kBytes,
                              .count = device_count.get(),
                              .experts = device_experts.get(),
                              .slots = device_slots.get(),
                              .blocks = blocks},
                             stream.get()),
          stream);
      std::vector<int32_t> expected = before;
      for (size_t i = 0; i < static_cast<size_t>(count); ++i) {
        std::copy_n(source.begin() + experts[i] * kStride / 4, kBytes / 4, expected.begin() + slots[i] * kStride / 4);
      }
      EXPECT_TRUE(target.Download() == expected) << count << " experts, " << blocks << " blocks";
    }
  }
}

TEST_F(StepKernels, ListedExpertsFollowLayerAndPositionAndWrapAround) {
  constexpr int64_t kLayers = 5, kPositions = 7, kTop = 3;
  std::vector<uint16_t> list(kLayers * kPositions * kTop);
  std::iota(list.begin(), list.end(), uint16_t{0});
  const OwnedStream stream = MakeStream().value();
  for (const std::vector<int32_t>& positions :
       {std::vector<int32_t>{3}, {6, 7, 8}, {0, 100, 262143, 5, 5, 13, 14, 20}}) {
    const int64_t m = static_cast<int64_t>(positions.size());
    int32_t* experts = Shared(std::vector<int32_t>(static_cast<size_t>(kLayers * m * kTop) + 1, -7));
    Run(LaunchListedExperts({.list = Shared(list),
                             .positions = Shared(positions),
                             .experts = experts,
                             .layers = kLayers,
                             .list_positions = kPositions,
                             .top = kTop,
                             .m = m},
                            stream.get()),
        stream);
    for (int64_t layer = 0; layer < kLayers; ++layer) {
      for (int64_t row = 0; row < m; ++row) {
        for (int64_t i = 0; i < kTop; ++i) {
          const int64_t position = positions[static_cast<size_t>(row)] % kPositions;
          EXPECT_EQ(experts[(layer * m + row) * kTop + i],
                    list[static_cast<size_t>((layer * kPositions + position) * kTop + i)]);
        }
      }
    }
    EXPECT_EQ(experts[kLayers * m * kTop], -7);
  }
}

TEST_F(StepKernels, FinishStepMovesRowsOnAndTellsTheHost) {
  const OwnedStream stream = MakeStream().value();
  int32_t* tokens = Shared<int32_t>({17, -1, 0, 151935});
  int32_t* positions = Shared<int32_t>({5, 6, 262142, 0, 99});
  uint32_t* step = Shared<uint32_t>({0xfffffffeu});  // the counter may pass its end
  uint64_t* results = Shared<uint64_t>(std::vector<uint64_t>(5, 123));
  const FinishStepArgs args = {.tokens = tokens, .positions = positions, .step = step, .results = results, .m = 4};
  Run(LaunchFinishStep(args, stream.get()), stream);
  EXPECT_EQ(*step, 0xffffffffu);
  EXPECT_EQ(results[0], 0xffffffff00000011u);
  EXPECT_EQ(results[1], 0xffffffffffffffffu);
  EXPECT_EQ(results[3], 0xffffffff0002517fu);
  EXPECT_EQ(results[4], 123u);
  EXPECT_EQ(std::vector<int32_t>(positions, positions + 5), (std::vector<int32_t>{6, 7, 262143, 1, 99}));
  FinishStepArgs no_tokens = args;
  no_tokens.tokens = nullptr;
  Run(LaunchFinishStep(no_tokens, stream.get()), stream);
  EXPECT_EQ(*step, 0u);
  EXPECT_EQ(results[2], 0u);
}

TEST_F(StepKernels, QuantizeEntriesIsQuantizeRowsThroughEachExpertsOrder) {
  constexpr int64_t kExperts = 6, kEntries = 4;
  std::mt19937 random(7);
  for (const int64_t in : {int64_t{32}, int64_t{70}, int64_t{512}, int64_t{2048}}) {
    const int64_t m = 3, pairs = m * kEntries, padded = RoundUp(in, 32);
    std::vector<float> x(static_cast<size_t>(m * in));
    std::normal_distribution<float> normal;
    for (float& value : x) value = normal(random);
    std::fill(x.begin(), x.begin() + 32, 0.0f);  // a run of zeros where the order keeps it together
    std::vector<int32_t> orders;
    for (int64_t e = 0; e <= kExperts; ++e) {
      std::vector<int32_t> order(static_cast<size_t>(in));
      std::iota(order.begin(), order.end(), 0);
      if (e != 2) std::shuffle(order.begin(), order.end(), random);
      orders.insert(orders.end(), order.begin(), order.end());
    }
    const std::vector<int32_t> experts = {2, 5, 0, 1, 1, 4, 3, 2, 5};
    Int8Rows out = {.codes = Shared(std::vector<int8_t>(static_cast<size_t>(pairs * padded), 99)),
                    .scales = Shared(std::vector<float>(static_cast<size_t>(pairs * padded / 32))),
                    .sums = Shared(std::vector<int32_t>(static_cast<size_t>(pairs * padded / 32))),
                    .in_padded = padded};
    const OwnedStream stream = MakeStream().value();
    Run(LaunchQuantizeEntries({.x = Shared(x),
                               .experts = Shared(experts),
                               .orders = Shared(orders),
                               .out = out,
                               .m = m,
                               .in = in,
                               .entries = kEntries,
                               .num_experts = kExperts},
                              stream.get()),
        stream);
    for (int64_t pair = 0; pair < pairs; ++pair) {
      const int64_t row = pair / kEntries, entry = pair % kEntries;
      const int64_t expert =
          entry == kEntries - 1 ? kExperts : experts[static_cast<size_t>(row * (kEntries - 1) + entry)];
      std::vector<int8_t> codes(static_cast<size_t>(padded));
      std::vector<float> scales(static_cast<size_t>(padded / 32));
      std::vector<int32_t> sums(static_cast<size_t>(padded / 32));
      ReferenceKernels().quantize_rows(
          {.x = x.data() + row * in,
           .permutation = orders.data() + expert * in,
           .out = {.codes = codes.data(), .scales = scales.data(), .sums = sums.data(), .in_padded = padded},
           .m = 1,
           .in = in,
           .x_stride = in},
          Range{0, 1});
      EXPECT_EQ(std::memcmp(out.codes + pair * padded, codes.data(), codes.size()), 0) << in << " pair " << pair;
      EXPECT_EQ(std::memcmp(out.scales + pair * padded / 32, scales.data(), scales.size() * 4), 0);
      EXPECT_EQ(std::memcmp(out.sums + pair * padded / 32, sums.data(), sums.size() * 4), 0);
    }
  }
}

}  // namespace
}  // namespace qnext::cuda
