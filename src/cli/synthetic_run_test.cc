// Commands on synthetic weights.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "checkpoint/synthetic_testing.h"
#include "cli/engine_backend.h"
#include "cli/program.h"
#include "cli/testing.h"

namespace qnext {
namespace {

class SyntheticRunTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = ::testing::TempDir() + "qnext_synthetic_run_test";
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
    kind_ = folder_ + "/small.json";
    std::ofstream(kind_) << ReducedKind("80b-a-4layers").config_json;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string folder_;
  std::string kind_;
};

TEST_F(SyntheticRunTest, GenerateInPlaceAndFromTheWrittenFolderAreTheSame) {
  const std::string written = folder_ + "/written";
  const Outcome synth = RunQnext({"synth", "--kind", kind_, "--out", written, "--shard-size", "2MiB"});
  ASSERT_EQ(synth.exit_code, kExitDone) << synth.error;
  EXPECT_EQ(synth.out, "");
  EXPECT_EQ(synth.error.rfind("qnext: " + written + ": ", 0), 0u) << synth.error;
  EXPECT_TRUE(FileExists(written + "/model.safetensors.index.json"));

  std::vector<std::string> common = {"--prompt",      "The tide", "--max-tokens", "8",
                                     "--temperature", "0",        "--ignore-eos", "--json"};
  const auto ids = [&](std::vector<std::string> model) {
    std::vector<std::string> arguments = {"generate"};
    arguments.insert(arguments.end(), model.begin(), model.end());
    arguments.insert(arguments.end(), common.begin(), common.end());
    const Outcome outcome = RunQnext(arguments);
    EXPECT_EQ(outcome.exit_code, kExitDone) << outcome.error;
    return nlohmann::json::parse(outcome.out)["token_ids"];
  };
  const nlohmann::json folder = ids({"--model", written});
  EXPECT_EQ(ids({"--synthetic", kind_, "--routing", "real"}), folder);
  EXPECT_NE(ids({"--synthetic", kind_}), folder);  // uniform routing
  EXPECT_EQ(ids({"--synthetic", kind_, "--routing", "uniform"}), ids({"--synthetic", kind_}));
  EXPECT_NE(ids({"--synthetic", kind_, "--routing", "recency"}), folder);
}

TEST_F(SyntheticRunTest, TheReportSaysSimulated) {
  const Outcome outcome =
      RunQnext({"bench", "quick", "--synthetic", kind_, "--repetitions", "1", "--out", folder_ + "/report"});
  ASSERT_EQ(outcome.exit_code, kExitDone) << outcome.error;
  EXPECT_NE(outcome.out.find("Synthetic weights (" + kind_ +
                             "): what they answer means nothing.\n\n"
                             "Routing is simulated: uniform, 5.00 bits of entropy of at most 5.00.\n"),
            std::string::npos)
      << outcome.out;
  EXPECT_NE(outcome.out.find("is for the 80B, and this model is not it."), std::string::npos) << outcome.out;
  const nlohmann::json json = nlohmann::json::parse(ReadFileToString(folder_ + "/report/report.json").value());
  EXPECT_EQ(json["caveats"].size(), 2u);
  EXPECT_EQ(json["simulated_routing"], "simulated: uniform, 5.00 bits of entropy of at most 5.00");
  EXPECT_EQ(json["facts"]["options"]["routing"], "simulated: uniform, 5.00 bits of entropy of at most 5.00");
  EXPECT_EQ(json["facts"]["options"]["weights"], "synthetic: " + kind_);
}

TEST_F(SyntheticRunTest, MetricsSaySimulated) {
  EngineOptions options;
  options.load.synthetic = kind_;
  options.load.routing = Routing::kRecency;
  EngineBackend backend(Engine::Load(options).value(), 512);
  EXPECT_EQ(backend.model().id, "synthetic-small");
  const std::vector<server::BackendMetric> metrics = backend.Metrics();
  ASSERT_EQ(metrics.size(), 1u);
  EXPECT_EQ(metrics[0].name, "qnext_simulated_routing_entropy_bits");
  EXPECT_EQ(metrics[0].labels.at(0).value, "recency");
  EXPECT_GT(metrics[0].value, 1);
  EXPECT_LE(metrics[0].value, 5);
}

TEST_F(SyntheticRunTest, ErrorsNameTheCulprit) {
  const auto error = [](const std::vector<std::string>& arguments) {
    const Outcome outcome = RunQnext(arguments);
    EXPECT_EQ(outcome.exit_code, kExitFailed);
    EXPECT_EQ(outcome.out, "");
    return outcome.error;
  };
  EXPECT_EQ(error({"generate", "--synthetic", "80b-q", "--prompt", "a"}).rfind("qnext: error: 80b-q: neither ", 0), 0u);
  EXPECT_EQ(error({"synth", "--kind", "80b-q", "--out", folder_ + "/x"}).rfind("qnext: error: 80b-q: neither ", 0), 0u);
  EXPECT_EQ(error({"synth", "--kind", kind_, "--out", folder_}), "qnext: error: " + folder_ + ": is not empty\n");
}

}  // namespace
}  // namespace qnext
