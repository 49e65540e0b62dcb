#include "checkpoint/synthetic.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>
#include <filesystem>
#include <set>
#include <string_view>

#include "checkpoint/synthetic_testing.h"
#include "checkpoint/tensor_list.h"
#include "checkpoint/testing.h"

namespace qnext {
namespace {

std::string Bytes(const SyntheticCheckpoint& source, const TensorInfo& tensor) {
  std::string bytes(static_cast<size_t>(tensor.bytes), '\0');
  EXPECT_TRUE(source.Read(tensor, std::as_writable_bytes(std::span(bytes))).ok());
  return bytes;
}

bool IsOfAnExpert(const TensorInfo& tensor) { return tensor.name.find(".experts.") != std::string::npos; }

TEST(SyntheticCheckpointTest, EveryExpertsBytesAreDistinct) {
  for (const char* name : {"80b-a-4layers", "80b-b-4layers"}) {
    const ModelConfig config = SyntheticConfig(ReducedKind(name)).value();
    const SyntheticCheckpoint source(config, 1);
    std::set<size_t> hashes;
    size_t tensors = 0;
    source.ForEach([&](const TensorInfo& tensor) {
      if (!IsOfAnExpert(tensor) || tensor.name.ends_with(".qzeros")) return;
      ++tensors;
      hashes.insert(std::hash<std::string>()(Bytes(source, tensor)));
    });
    EXPECT_EQ(tensors, 4u * 32 * 3 * 2) << name;  // layers, experts, linears, codes and scales
    EXPECT_EQ(hashes.size(), tensors) << name;
  }
}

// What differs in its first 64 bytes differs.
TEST(SyntheticCheckpointTest, OnlyTheWhole80BHasItsShape) {
  for (const char* name : {"80b-a", "80b-b", "80b-a-4layers", "80b-b-4layers"}) {
    const ModelConfig config = SyntheticConfig(FindSyntheticKind(name).value()).value();
    EXPECT_EQ(config.IsThe80B(), !std::string_view(name).ends_with("4layers")) << name;
  }
}

TEST(SyntheticCheckpointTest, EveryExpertOfTheWhole80BIsDistinct) {
  const ModelConfig config = SyntheticConfig(FindSyntheticKind("80b-a").value()).value();
  const SyntheticCheckpoint source(config, 1);
  std::set<std::string> beginnings;
  size_t tensors = 0;
  source.ForEach([&](const TensorInfo& tensor) {
    if (!IsOfAnExpert(tensor) || !tensor.name.ends_with(".qweight")) return;
    ++tensors;
    std::string beginning(64, '\0');
    source.Generate(tensor, 0, std::as_writable_bytes(std::span(beginning)));
    beginnings.insert(beginning);
  });
  EXPECT_EQ(tensors, 48u * 512 * 3);
  EXPECT_EQ(beginnings.size(), tensors);
  EXPECT_EQ(source.total_bytes(), 42398381568);
}

TEST(SyntheticCheckpointTest, TheSeedDecides) {
  const ModelConfig config = SyntheticConfig(ReducedKind("80b-a-4layers")).value();
  const SyntheticCheckpoint one(config, 1), again(config, 1), other(config, 2);
  int differ = 0;
  one.ForEach([&](const TensorInfo& tensor) {
    EXPECT_EQ(Bytes(one, tensor), Bytes(again, tensor)) << tensor.name;
    differ += Bytes(one, tensor) != Bytes(other, tensor) ? 1 : 0;
  });
  EXPECT_GT(differ, 4 * 32 * 3 * 2);
}

TEST(SyntheticCheckpointTest, PartsAreThoseOfTheWhole) {
  for (const nlohmann::json& changes : FormatChanges()) {
    const SyntheticCheckpoint source(SyntheticConfig(ReducedKind("80b-b-4layers", changes)).value(), 3);
    source.ForEach([&](const TensorInfo& tensor) {
      const std::string whole = Bytes(source, tensor);
      std::string parts(whole.size(), '\0');
      // Words, so that parts are of many lengths and the last one is ragged.
      for (size_t at = 0, length = 8; at < parts.size(); at += length, length = length * 3 % 1000 / 8 * 8 + 8) {
        const size_t n = std::min(length, parts.size() - at);
        source.Generate(tensor, static_cast<int64_t>(at), std::as_writable_bytes(std::span(parts)).subspan(at, n));
      }
      EXPECT_EQ(parts, whole) << tensor.name << " " << changes;
    });
  }
}

class WriteSyntheticTest : public ::testing::Test {
 protected:
  void SetUp() override { folder_ = FreshFolder("qnext_synthetic_test"); }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  Status Write(const SyntheticKind& kind, const SyntheticWriteOptions& options = {}) {
    ThreadPool pool(3);
    return WriteSynthetic(kind, folder_, options, pool, [&](int64_t done, int64_t total) {
      progress_.push_back(done);
      total_ = total;
    });
  }
  size_t Files() const { return static_cast<size_t>(std::distance(std::filesystem::directory_iterator(folder_), {})); }

  std::string folder_;
  std::vector<int64_t> progress_;
  int64_t total_ = 0;
};

TEST_F(WriteSyntheticTest, TheFolderHoldsTheGeneratedTensorsAndNothingIsWrongWithIt) {
  std::vector<nlohmann::json> all = FormatChanges();
  all.push_back(nlohmann::json::object());
  for (const nlohmann::json& changes : all) {
    SCOPED_TRACE(changes.dump());
    SetUp();
    const SyntheticKind kind = ReducedKind("80b-a-4layers", changes);
    const Status status = Write(kind, {.seed = 7, .shard_bytes = 1 << 20});
    ASSERT_TRUE(status.ok()) << status.message();
    const Result<ModelConfig> config = LoadModelConfig(folder_);
    ASSERT_TRUE(config.ok()) << config.status().message();
    EXPECT_EQ(config->eos_token_ids, SyntheticConfig(kind)->eos_token_ids);
    const Result<Checkpoint> checkpoint = Checkpoint::Open(folder_);
    ASSERT_TRUE(checkpoint.ok()) << checkpoint.status().message();
    EXPECT_GT(checkpoint->shards().size(), 3u);
    EXPECT_EQ(FindTensorProblems(*checkpoint, *config), std::vector<std::string>());

    const SyntheticCheckpoint source(*config, 7);
    size_t tensors = 0;
    source.ForEach([&](const TensorInfo& tensor) {
      ++tensors;
      const Checkpoint::Entry* entry = checkpoint->Find(tensor.name);
      ASSERT_NE(entry, nullptr) << tensor.name;
      std::string stored(static_cast<size_t>(entry->info.bytes), '\0');
      ASSERT_TRUE(checkpoint->Read(*entry, std::as_writable_bytes(std::span(stored))).ok());
      EXPECT_EQ(stored, Bytes(source, tensor)) << tensor.name;
    });
    EXPECT_EQ(tensors, checkpoint->tensors().size());
  }
}

TEST_F(WriteSyntheticTest, ProgressRisesToTheTotal) {
  ASSERT_TRUE(Write(ReducedKind("80b-a-4layers")).ok());
  ASSERT_FALSE(progress_.empty());
  EXPECT_TRUE(std::is_sorted(progress_.begin(), progress_.end()));
  EXPECT_EQ(progress_.back(), total_);
}

// More than one region of one write in a tensor, and a shard per tensor.
TEST_F(WriteSyntheticTest, TensorsLargerThanARegionAndThanAShard) {
  ASSERT_TRUE(Write(ReducedKind("80b-a-4layers", {{"vocab_size", 40000}}), {.seed = 1, .shard_bytes = 1}).ok());
  const Checkpoint checkpoint = Checkpoint::Open(folder_).value();
  EXPECT_EQ(checkpoint.shards().size(), checkpoint.tensors().size());
  const SyntheticCheckpoint source(LoadModelConfig(folder_).value(), 1);
  const Checkpoint::Entry* entry = checkpoint.Find("lm_head.weight");
  ASSERT_GT(entry->info.bytes, 16 << 20);
  std::string stored(static_cast<size_t>(entry->info.bytes), '\0');
  ASSERT_TRUE(checkpoint.Read(*entry, std::as_writable_bytes(std::span(stored))).ok());
  EXPECT_EQ(stored, Bytes(source, *source.Find("lm_head.weight")));
}

TEST_F(WriteSyntheticTest, AFolderWithAnythingInItIsRefused) {
  WriteText(folder_ + "/precious", "text");
  const Status status = Write(ReducedKind("80b-a-4layers"));
  EXPECT_EQ(status.message(), folder_ + ": is not empty");
  EXPECT_EQ(Files(), 1u);
}

TEST_F(WriteSyntheticTest, APathThatCannotBeAFolder) {
  WriteText(folder_ + "/file", "text");
  ThreadPool pool(1);
  const Status status =
      WriteSynthetic(ReducedKind("80b-a-4layers"), folder_ + "/file/out", {}, pool, [](int64_t, int64_t) {});
  EXPECT_EQ(status.message().rfind(folder_ + "/file/out: cannot be created: ", 0), 0u) << status.message();
}

TEST_F(WriteSyntheticTest, ADiskTooSmallIsFoundBeforeAnythingIsWritten) {
  const SyntheticKind huge = ReducedKind("80b-a-4layers", {{"vocab_size", 1 << 20}, {"hidden_size", 1 << 20}});
  const Status status = Write(huge);
  EXPECT_EQ(status.code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(status.message().rfind(folder_ + ": ", 0), 0u);
  EXPECT_NE(status.message().find(" are needed, and the disk has "), std::string::npos) << status.message();
  EXPECT_EQ(Files(), 0u);
}

TEST_F(WriteSyntheticTest, AWriteThatFailsNamesTheFileAndLeavesNothing) {
  std::signal(SIGXFSZ, SIG_IGN);
  rlimit before = {};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  rlimit small = before;
  small.rlim_cur = 1 << 20;
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  const Status status = Write(ReducedKind("80b-a-4layers"));
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  std::signal(SIGXFSZ, SIG_DFL);
  EXPECT_EQ(status.message().rfind(folder_ + "/model-00001-of-00001.safetensors: cannot be written: ", 0), 0u)
      << status.message();
  EXPECT_EQ(Files(), 0u);
}

TEST(FindSyntheticKindTest, NamesPathsAndNeither) {
  EXPECT_EQ(FindSyntheticKind("80b-b").value().name, "80b-b");
  const ModelConfig four = SyntheticConfig(FindSyntheticKind("80b-b-4layers").value()).value();
  EXPECT_EQ(four.num_layers, 4);
  EXPECT_EQ(four.eos_token_ids, (std::vector<int64_t>{258, 256}));
  const std::string folder = FreshFolder("qnext_synthetic_kind");
  WriteText(folder + "/config.json", ReducedKind("80b-a").config_json);
  EXPECT_EQ(SyntheticConfig(FindSyntheticKind(folder + "/config.json").value())->hidden_size, 256);
  const Status status = FindSyntheticKind("80b-c").status();
  EXPECT_EQ(
      status.message(),
      "80b-c: neither a synthetic kind (80b-a, 80b-b, 80b-a-4layers, 80b-b-4layers) nor the path of a config.json");
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace qnext
