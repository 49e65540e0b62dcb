// Random mutations of a valid header and of a valid index: every one must come back as a value or a Status. The seed is
// fixed, so a failure repeats.
#include <gtest/gtest.h>

#include <random>
#include <string>

#include "checkpoint/checkpoint.h"
#include "checkpoint/safetensors_header.h"
#include "checkpoint/testing.h"

namespace qnext {
namespace {

std::string Mutated(const std::string& text, std::mt19937_64& random) {
  constexpr std::string_view kHandy = "{}[]\",:0123456789.-+eE\\ntfu\xff\x80";
  std::string mutated = text;
  const size_t edits = 1 + random() % 3;
  for (size_t i = 0; i < edits && !mutated.empty(); ++i) {
    const size_t at = random() % mutated.size();
    switch (random() % 4) {
      case 0:
        mutated[at] = static_cast<char>(random());
        break;
      case 1:
        mutated[at] = kHandy[random() % kHandy.size()];
        break;
      case 2:
        mutated.erase(at, 1 + random() % 8);
        break;
      default:
        mutated.insert(at, mutated.substr(random() % mutated.size(), random() % 16));
        break;
    }
  }
  return mutated;
}

TEST(SafetensorsFuzz, MutatedHeadersGiveTensorsInsideTheFileOrAStatus) {
  std::mt19937_64 random(42);
  const std::vector<TestTensor> tensors = {{"model.norm.weight", DType::kBF16, {64}},
                                           {"a.qweight", DType::kI32, {8, 16}},
                                           {"a.scales", DType::kF16, {2, 16}},
                                           {"scalar", DType::kF32, {}}};
  const std::string seed = SafetensorsHeader(tensors);
  const int64_t data_bytes = DataBytes(tensors);
  ASSERT_TRUE(ParseSafetensorsHeader(seed, 8, data_bytes).ok());
  int accepted = 0;
  for (int i = 0; i < 10000; ++i) {
    const std::string header = Mutated(seed, random);
    const Result<std::vector<TensorInfo>> parsed = ParseSafetensorsHeader(header, 8, data_bytes);
    if (!parsed.ok()) {
      ASSERT_EQ(parsed.status().code(), StatusCode::kCorrupt);
      ASSERT_FALSE(parsed.status().message().empty());
      continue;
    }
    ++accepted;
    int64_t covered = 8;
    for (const TensorInfo& tensor : *parsed) {
      ASSERT_EQ(tensor.offset, covered) << header;
      ASSERT_EQ(tensor.bytes, tensor.shape.Elements().value() * DTypeSize(tensor.dtype)) << header;
      covered += tensor.bytes;
    }
    ASSERT_EQ(covered, 8 + data_bytes) << header;
  }
  EXPECT_GT(accepted, 100) << "mutations inside names should leave some headers valid";
  EXPECT_LT(accepted, 15000) << "and the others should break most";
}

TEST(SafetensorsFuzz, MutatedIndexesOpenOrGiveAStatus) {
  std::mt19937_64 random(43);
  const std::string folder = FreshFolder("fuzz_index");
  const std::vector<TestTensor> tensors = {{"a.weight", DType::kBF16, {4}}, {"b.weight", DType::kBF16, {4}}};
  WriteCheckpoint(folder, "{}", tensors, 2);
  ASSERT_TRUE(Checkpoint::Open(folder).ok());
  const std::string path = folder + "/model.safetensors.index.json";
  const std::string seed = ReadFileToString(path).value();
  int accepted = 0;
  for (int i = 0; i < 1000; ++i) {
    WriteText(path, Mutated(seed, random));
    const Result<Checkpoint> checkpoint = Checkpoint::Open(folder);
    if (checkpoint.ok()) {
      ++accepted;
    } else {
      ASSERT_EQ(checkpoint.status().message().rfind(folder, 0), 0U) << checkpoint.status().message();
    }
  }
  EXPECT_GT(accepted, 10);
  EXPECT_LT(accepted, 950);
}

}  // namespace
}  // namespace qnext
