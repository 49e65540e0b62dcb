// Whole commands on the bundled tiny checkpoint, with what they print and leave behind.
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "checkpoint/safetensors.h"
#include "cli/in_process_target.h"
#include "cli/program.h"
#include "cli/safetensors_writer.h"
#include "cli/testing.h"
#include "engine/testing.h"

namespace qnext {
namespace {

// A folder for what a test writes.
class RunTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = ::testing::TempDir() + "qnext_run_test";
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string folder_;
};

TEST_F(RunTest, GeneratePrintsTheContinuationAlone) {
  const Outcome outcome = RunQnext({"generate", "--model", TinyFolder(), "--device", "cpu", "--temperature", "0",
                                    "--prompt", "<|im_start|>user\nWhat is 2 + 2?<|im_end|>\n<|im_start|>assistant\n"});
  EXPECT_EQ(outcome.exit_code, kExitDone) << outcome.error;
  EXPECT_EQ(outcome.out, "2 + 2 = 4");
  EXPECT_EQ(outcome.error, "");
}

TEST_F(RunTest, GenerateJson) {
  const Outcome outcome = RunQnext({"generate", "--model", TinyFolder(), "--temperature", "0", "--max-tokens", "3",
                                    "--json", "--logprobs", "2", "--prompt", "In the beginning"});
  ASSERT_EQ(outcome.exit_code, kExitDone) << outcome.error;
  const nlohmann::json json = nlohmann::json::parse(outcome.out);
  EXPECT_EQ(json["finish_reason"], "length");
  EXPECT_EQ(json["usage"]["completion_tokens"], 3);
  EXPECT_EQ(json["logprobs"].size(), 3u);
  // Greedy: the chosen token is the most likely one.
  EXPECT_EQ(json["logprobs"][1]["top_logprobs"][0]["id"], json["token_ids"][1]);
}

TEST_F(RunTest, ErrorsAreOneLineAndExitCode1) {
  const Outcome missing = RunQnext({"generate", "--model", "/no/such/folder", "--prompt", "a"});
  EXPECT_EQ(missing.exit_code, kExitFailed);
  EXPECT_EQ(missing.out, "");
  EXPECT_EQ(missing.error.rfind("qnext: error: /no/such/folder/config.json: ", 0), 0u) << missing.error;
  EXPECT_EQ(missing.error.find('\n'), missing.error.size() - 1);
  const Outcome empty = RunQnext({"generate", "--model", TinyFolder(), "--device", "cpu", "--prompt", ""});
  EXPECT_EQ(empty.exit_code, kExitFailed);
  EXPECT_EQ(empty.error, "qnext: error: --prompt: is empty\n");
  EXPECT_EQ(RunQnext({"generate"}).exit_code, kExitUsage);
}

TEST_F(RunTest, InspectJson) {
  const Outcome outcome = RunQnext({"inspect", "--model", TinyFolder(), "--json"});
  EXPECT_EQ(outcome.exit_code, kExitDone) << outcome.error;
  EXPECT_TRUE(nlohmann::json::accept(outcome.out));
}

TEST_F(RunTest, LogitsWritesEveryTensor) {
  const std::string out = folder_ + "/out.safetensors", again = folder_ + "/again.safetensors";
  ASSERT_EQ(RunQnext({"logits", "--model", TinyFolder(), "--ids", "5,6,7", "--out", out}).exit_code, kExitDone);
  const Result<SafetensorsFile> file = SafetensorsFile::Open(out);
  ASSERT_TRUE(file.ok());
  std::vector<std::string> shapes;
  for (const TensorInfo& info : file->tensors()) shapes.push_back(info.name + " " + info.shape.ToString());
  EXPECT_EQ(shapes, (std::vector<std::string>{"logits [3, 4160]", "hidden_states [9, 3, 256]", "experts [8, 3, 4]",
                                              "expert_weights [8, 3, 4]"}));
  // Fed with its own layer inputs, it computes the same logits.
  std::vector<std::byte> hidden(static_cast<size_t>(file->tensors()[1].bytes));
  ASSERT_TRUE(file->Read(file->tensors()[1], hidden).ok());
  const std::string inputs = out + ".inputs";
  ASSERT_TRUE(
      WriteSafetensors(inputs, {{"layer_inputs", DType::kF32, {8, 3, 256}, std::span(hidden).first(8 * 3 * 256 * 4)}})
          .ok());
  ASSERT_EQ(RunQnext({"logits", "--model", TinyFolder(), "--ids", "5,6,7", "--layer-inputs", inputs, "--out", again})
                .exit_code,
            kExitDone);
  const Result<SafetensorsFile> second = SafetensorsFile::Open(again);
  ASSERT_TRUE(second.ok());
  std::vector<float> logits[2];
  for (int i = 0; i < 2; ++i) {
    logits[i].resize(3 * 4160);
    const SafetensorsFile& source = i == 0 ? *file : *second;
    ASSERT_TRUE(source.Read(source.tensors()[0], std::as_writable_bytes(std::span(logits[i]))).ok());
  }
  EXPECT_EQ(logits[0], logits[1]);
}

TEST_F(RunTest, BenchLeavesItsReport) {
  const Outcome outcome = RunQnext({"bench", "quick", "--model", TinyFolder(), "--repetitions", "1", "--out", folder_});
  ASSERT_EQ(outcome.exit_code, kExitDone) << outcome.error;
  EXPECT_NE(outcome.out.find("The report is in " + folder_), std::string::npos);
  EXPECT_NE(outcome.error.find("qnext: step 3 of 3: run: 200 tokens of prompt, 100 of output"), std::string::npos);
  const nlohmann::json json = nlohmann::json::parse(ReadFileToString(folder_ + "/report.json").value());
  EXPECT_EQ(json["cells"][1]["samples"].size(), 1u);
  EXPECT_EQ(json["memory"][1]["name"], "total");
  EXPECT_GT(json["memory"][1]["measured_bytes"], 10 << 20);
  EXPECT_FALSE(FileExists(folder_ + "/samples.jsonl"));
  EXPECT_EQ(ReadFileToString(folder_ + "/report.md").value().rfind("# qnext benchmark: quick\n\n**", 0), 0u);
}

TEST(InProcessTargetTest, RunsExactlyWhatIsAskedAndNotAlikeTwice) {
  const ScriptedEngine scripted = MakeScriptedEngine({"x"});
  InProcessTarget target(*scripted.engine, /*seed=*/3);
  const Result<RunSample> sample = target.Run({.prompt_tokens = 60, .output_tokens = 7}, 0);
  ASSERT_TRUE(sample.ok()) << sample.status().message();
  EXPECT_EQ(sample->summary.prompt_tokens, 60);
  EXPECT_EQ(sample->summary.completion_tokens, 7);
  EXPECT_EQ(sample->inter_token_seconds.size(), 6u);
  EXPECT_FALSE(sample->places.has_value());
  EXPECT_GT(sample->memory->ram_bytes, 1 << 20);
  EXPECT_FALSE(sample->memory->vram_bytes.has_value());
  ASSERT_TRUE(target.Run({.prompt_tokens = 60, .output_tokens = 7}, 1).ok());
  EXPECT_NE(scripted.model->inputs[0], scripted.model->inputs[7]);
}

}  // namespace
}  // namespace qnext
