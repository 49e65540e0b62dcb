#include "checkpoint/checkpoint.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "checkpoint/testing.h"

namespace qnext {
namespace {

const std::vector<TestTensor> kFour = {
    {"a", DType::kU8, {2}}, {"b", DType::kU8, {3}}, {"c", DType::kU8, {4}}, {"d", DType::kU8, {5}}};

std::string ErrorOf(const std::string& folder) {
  const Result<Checkpoint> checkpoint = Checkpoint::Open(folder);
  return checkpoint.ok() ? "" : checkpoint.status().message();
}

TEST(Checkpoint, OpensShardsByTheirIndex) {
  const std::string folder = FreshFolder("sharded");
  WriteCheckpoint(folder, "{}", kFour, 2);
  const Result<Checkpoint> checkpoint = Checkpoint::Open(folder);
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status().message();
  EXPECT_EQ(checkpoint->folder(), folder);
  ASSERT_EQ(checkpoint->shards().size(), 2U);
  EXPECT_EQ(checkpoint->tensors().size(), 4U);
  EXPECT_EQ(checkpoint->total_bytes(), 14);
  ASSERT_NE(checkpoint->Find("c"), nullptr);
  EXPECT_EQ(checkpoint->Find("c")->shard, 1U);
  EXPECT_EQ(checkpoint->Find("c")->info.bytes, 4);
  EXPECT_EQ(checkpoint->Find("e"), nullptr);
}

TEST(Checkpoint, OpensASingleFileAndReadsIt) {
  const std::string folder = FreshFolder("single");
  const std::string header = R"({"x":{"dtype":"U8","shape":[3],"data_offsets":[0,3]}})";
  WriteSafetensors(folder + "/model.safetensors", header, 0);
  std::string bytes = ReadFileToString(folder + "/model.safetensors").value();
  WriteText(folder + "/model.safetensors", bytes + "xyz");
  const Result<Checkpoint> checkpoint = Checkpoint::Open(folder);
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status().message();
  std::string data(3, '\0');
  ASSERT_TRUE(checkpoint->Read(*checkpoint->Find("x"), std::as_writable_bytes(std::span(data))).ok());
  EXPECT_EQ(data, "xyz");
}

TEST(Checkpoint, NamesEveryMissingShard) {
  const std::string folder = FreshFolder("missing_shard");
  WriteCheckpoint(folder, "{}", kFour, 4);
  std::filesystem::remove(folder + "/model-00002-of-00004.safetensors");
  std::filesystem::remove(folder + "/model-00004-of-00004.safetensors");
  EXPECT_EQ(ErrorOf(folder), folder +
                                 "/model.safetensors.index.json: 2 of its 4 shards are missing: "
                                 "model-00002-of-00004.safetensors, model-00004-of-00004.safetensors");
  EXPECT_EQ(Checkpoint::Open(folder).status().code(), StatusCode::kNotFound);
}

TEST(Checkpoint, DistrustsTheIndex) {
  const std::string folder = FreshFolder("bad_index");
  EXPECT_EQ(ErrorOf(folder), folder + ": holds neither model.safetensors.index.json nor model.safetensors");
  WriteCheckpoint(folder, "{}", kFour, 2);
  const std::string path = folder + "/model.safetensors.index.json";
  const auto error = [&](const std::string& text) {
    WriteText(path, text);
    const std::string message = ErrorOf(folder);
    EXPECT_EQ(message.rfind(path + ": ", 0), 0U) << message;
    return message.substr(path.size() + 2);
  };
  const std::string one = "model-00001-of-00002.safetensors", two = "model-00002-of-00002.safetensors";
  EXPECT_EQ(error("{").rfind("not valid JSON", 0), 0U);
  EXPECT_EQ(error("{}"), "weight_map: is missing or not an object");
  EXPECT_EQ(error(R"({"weight_map": []})"), "weight_map: is missing or not an object");
  EXPECT_EQ(error(R"({"weight_map": {}})"), "weight_map: is empty");
  EXPECT_EQ(error(R"({"weight_map": {"a": 1}})"), "weight_map: a: 1 is not the name of a file beside the index");
  EXPECT_EQ(error(R"({"weight_map": {"a": "../x.safetensors"}})"),
            "weight_map: a: \"../x.safetensors\" is not the name of a file beside the index");
  EXPECT_EQ(error(R"({"weight_map": {"a": ".."}})").rfind("weight_map: a: \"..\" is not", 0), 0U);
  EXPECT_EQ(error("{\"weight_map\": {\"a\": \"" + one + "\", \"a\": \"" + one + "\"}}"),
            "the key \"a\" occurs twice in one object");
  EXPECT_EQ(error("{\"weight_map\": {\"a\": \"" + one + "\", \"z\": \"" + two + "\"}}"),
            "names 1 tensors that are not where it says: z (in no shard)");
  EXPECT_EQ(error("{\"weight_map\": {\"a\": \"" + two + "\", \"c\": \"" + two + "\", \"b\": \"" + one + "\"}}"),
            "names 1 tensors that are not where it says: a (in " + folder + "/" + one + ", not " + two + ")");
}

TEST(Checkpoint, RefusesATensorInTwoShards) {
  const std::string folder = FreshFolder("twice");
  WriteCheckpoint(folder, "{}", kFour, 2);
  const std::string second = folder + "/model-00002-of-00002.safetensors";
  WriteSafetensors(second, {{"c", DType::kU8, {4}}, {"a", DType::kU8, {2}}});
  EXPECT_EQ(ErrorOf(folder), second + ": a: is also in " + folder + "/model-00001-of-00002.safetensors");
}

TEST(Checkpoint, PassesOnTheErrorOfAShard) {
  const std::string folder = FreshFolder("bad_shard");
  WriteCheckpoint(folder, "{}", kFour, 2);
  const std::string second = folder + "/model-00002-of-00002.safetensors";
  std::filesystem::resize_file(second, std::filesystem::file_size(second) - 1);
  EXPECT_EQ(ErrorOf(folder).rfind(second + ": d: ends at data byte 9, but the file holds 8", 0), 0U) << ErrorOf(folder);
}

TEST(Checkpoint, OpensTheTinyCheckpoint) {
  const Result<Checkpoint> tiny = Checkpoint::Open(std::string(QNEXT_SOURCE_DIR) + "/models/tiny");
  ASSERT_TRUE(tiny.ok()) << tiny.status().message();
  EXPECT_EQ(tiny->shards().size(), 2U);
  EXPECT_EQ(tiny->tensors().size(), 3430U);
  EXPECT_EQ(tiny->total_bytes(), 30264416) << "metadata.total_size of its index";
}

}  // namespace
}  // namespace qnext
