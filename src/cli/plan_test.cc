// qnext plan, whole: what it prints and with what it exits.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "cli/program.h"

namespace qnext {
namespace {

struct Outcome {
  int exit_code = 0;
  std::string out, error;
};

Outcome RunPlan(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), "plan");
  ::testing::internal::CaptureStdout();
  ::testing::internal::CaptureStderr();
  Outcome outcome;
  outcome.exit_code = RunProgram(arguments, {});
  outcome.out = ::testing::internal::GetCapturedStdout();
  outcome.error = ::testing::internal::GetCapturedStderr();
  return outcome;
}

nlohmann::json PlanJson(std::vector<std::string> arguments) {
  arguments.push_back("--json");
  const Outcome outcome = RunPlan(std::move(arguments));
  EXPECT_EQ(outcome.exit_code, kExitDone) << outcome.error;
  return nlohmann::json::parse(outcome.out, nullptr, /*allow_exceptions=*/false);
}

TEST(PlanCommand, PlansThe80bForA16GbCard) {
  const nlohmann::json plan = PlanJson({"--config", "80b-a", "--ram", "120GiB"});
  EXPECT_EQ(plan["vram"]["budget"], int64_t{15} << 30);
  EXPECT_LE(plan["vram"]["used"], plan["vram"]["budget"]);
  int64_t vram = 0, ram = 0;
  for (const auto& row : plan["rows"]) (row["place"] == "VRAM" ? vram : ram) += row["bytes"].get<int64_t>();
  EXPECT_EQ(plan["vram"]["used"], vram);
  EXPECT_EQ(plan["ram"]["used"], ram);
  // All experts in RAM: 24 576 of 1 622 016 bytes, on huge pages.
  EXPECT_NEAR(static_cast<double>(ram), 39.9e9 + 0.62e9 + 1.1e9, 0.1e9);
  const double cached = plan["expert_slots"]["cached_experts"].get<double>() / 24576;
  EXPECT_GT(cached, 0.27);
  EXPECT_LT(cached, 0.34);
  ASSERT_EQ(plan["predicted"]["decode"].size(), 3u);
  for (const auto& row : plan["predicted"]["decode"]) EXPECT_GT(row["tokens_per_second"], 30);
  EXPECT_EQ(plan["predicted"]["prefill"].size(), 4u);
}

TEST(PlanCommand, TheTableHasTheSameFigures) {
  const std::vector<std::string> arguments = {"--config", "80b-b-4layers", "--ram", "100GB", "--vram", "4GB"};
  const nlohmann::json plan = PlanJson(arguments);
  const Outcome text = RunPlan(arguments);
  EXPECT_EQ(text.exit_code, kExitDone);
  EXPECT_EQ(text.error, "");
  std::string digits = text.out;
  std::erase(digits, ' ');
  for (const auto& row : plan["rows"]) {
    EXPECT_NE(digits.find(std::to_string(row["bytes"].get<int64_t>())), std::string::npos) << row << text.out;
  }
  EXPECT_NE(text.out.find("KV cache"), std::string::npos);
  EXPECT_NE(text.out.find("recency routing"), std::string::npos);
}

TEST(PlanCommand, RefusesWithWhatWouldFit) {
  const Outcome outcome =
      RunPlan({"--config", "80b-b-4layers", "--ram", "100GB", "--vram", "1500MiB", "--ctx", "262144"});
  EXPECT_EQ(outcome.exit_code, kExitFailed);
  EXPECT_EQ(outcome.error.rfind("qnext: error: --vram: 1.46 GiB is too small by ", 0), 0u) << outcome.error;
  const size_t at = outcome.error.find("--vram ");
  ASSERT_NE(at, std::string::npos) << outcome.error;
  // What it names does fit, and one byte less does not.
  const int64_t enough = std::stoll(outcome.error.substr(at + 7));
  const auto with = [](int64_t vram) {
    return RunPlan({"--config", "80b-b-4layers", "--ram", "100GB", "--vram", std::to_string(vram), "--ctx", "262144"});
  };
  EXPECT_EQ(with(enough).exit_code, kExitDone);
  const Outcome less = with(enough - 1);
  EXPECT_EQ(less.exit_code, kExitFailed);
  EXPECT_NE(less.error.find("is too small by 1 B; "), std::string::npos) << less.error;
}

TEST(PlanCommand, ComparesEveryCombination) {
  const nlohmann::json plans =
      PlanJson({"--config", "80b-a-4layers", "--ram", "100GB", "--vram", "4GiB,2500MiB,1MiB", "--kv", "bf16,int8"});
  ASSERT_EQ(plans["plans"].size(), 6u);
  EXPECT_EQ(plans["plans"][3]["options"]["--vram"], "2500MiB");
  EXPECT_EQ(plans["plans"][3]["options"]["--kv"], "int8");
  EXPECT_FALSE(plans["plans"][4]["fits"]);
  EXPECT_NE(plans["plans"][4]["error"].get<std::string>().find("--vram: 1.00 MiB"), std::string::npos);
  const size_t fastest = plans["fastest"];
  for (const auto& plan : plans["plans"]) {
    if (!plan["fits"]) continue;
    EXPECT_LE(plan["predicted"]["decode"][0]["tokens_per_second"],
              plans["plans"][fastest]["predicted"]["decode"][0]["tokens_per_second"]);
  }
  const Outcome none = RunPlan({"--config", "80b-a-4layers", "--ram", "100GB", "--vram", "1MiB,2MiB"});
  EXPECT_EQ(none.exit_code, kExitFailed);
  EXPECT_NE(none.out.find("None fits."), std::string::npos);
}

TEST(PlanCommand, SweepVariesWhatIsNotGiven) {
  const nlohmann::json plans = PlanJson({"--config", "80b-a-4layers", "--ram", "100GB", "--sweep", "--ctx", "4096"});
  ASSERT_EQ(plans["plans"].size(), 4u) << "KV types and dense weights";
  for (const auto& plan : plans["plans"]) EXPECT_EQ(plan["options"]["--ctx"], "4096");
}

TEST(PlanCommand, BoundOfAMeasuredRun) {
  const nlohmann::json plan = PlanJson({"--config", "80b-a", "--ram", "120GiB", "--machine", "reference", "--threads",
                                        "15", "--hits", "80", "--promotions", "50"});
  const nlohmann::json& row = plan["predicted"]["decode"].back();
  EXPECT_EQ(row["routing"], "as measured, 50 promoted");
  EXPECT_NEAR(row["miss_seconds"].get<double>(), (96 + 50) * 1622016 / 150e9, 1e-9);
  EXPECT_NEAR(row["gpu_seconds"].get<double>(), (1.6e9 + 384 * 1622016) / 3.06e12, 3e-5);
  EXPECT_NEAR(row["overhead_seconds"].get<double>(), 1.5e-3, 1e-9);
  EXPECT_NE(RunPlan({"--config", "80b-a", "--ram", "120GiB", "--hits", "32"}).out.find("as measured, 0 promoted"),
            std::string::npos);
  EXPECT_EQ(RunPlan({"--config", "80b-a", "--hits", "101"}).error,
            "qnext: error: --hits: must be in [0, 100], not 101\n");
  EXPECT_EQ(RunPlan({"--config", "80b-a", "--promotions", "1"}).error,
            "qnext: error: --promotions: only with --hits\n");
}

TEST(PlanCommand, TakesTheRatesOfAFile) {
  const std::string path = ::testing::TempDir() + "qnext_plan_machine.json";
  std::ofstream(path) << R"({"format": "qnext-machine", "format_version": 1,
    "memory": {"bytes": 68719476736, "read": [{"threads": 6, "bytes_per_second": 40e9}]},
    "gpu": {"memory_bytes": 12884901888, "read_bytes_per_second": 400e9, "link_bytes_per_second": 6e9}})";
  const nlohmann::json plan = PlanJson({"--config", "80b-a-4layers", "--machine", path, "--dense-weights", "auto"});
  EXPECT_EQ(plan["predicted"]["machine"], path);
  EXPECT_EQ(plan["predicted"]["threads"], 6);
  EXPECT_EQ(plan["vram"]["budget"], (int64_t{12} << 30) - (int64_t{256} << 20));
  EXPECT_EQ(plan["ram"]["budget"], 68719476736 / 10 * 9);
  std::filesystem::remove(path);
  const Outcome missing = RunPlan({"--config", "80b-a-4layers", "--machine", path});
  EXPECT_EQ(missing.exit_code, kExitFailed);
  EXPECT_NE(missing.error.find("--machine"), std::string::npos) << missing.error;
}

TEST(PlanCommand, SaysWhichOptionIsWrong) {
  const auto usage = [](std::vector<std::string> arguments, const std::string& option) {
    const Outcome outcome = RunPlan(std::move(arguments));
    EXPECT_EQ(outcome.exit_code, kExitUsage) << option;
    EXPECT_EQ(outcome.out, "");
    EXPECT_EQ(outcome.error.rfind("qnext: error: " + option, 0), 0u) << outcome.error;
  };
  usage({}, "plan: exactly one of --model and --config");
  usage({"--model", "a", "--config", "80b-a"}, "plan: exactly one");
  usage({"--config", "80b-a", "--vram", "15XiB"}, "--vram: ");
  usage({"--config", "80b-a", "--vram", "15GiB,"}, "--vram: ");
  usage({"--config", "80b-a", "--ram", "-1"}, "--ram: ");
  usage({"--config", "80b-a", "--ctx", "0"}, "--ctx: ");
  usage({"--config", "80b-a", "--ctx", "8192,many"}, "--ctx: ");
  usage({"--config", "80b-a", "--kv", "int4"}, "--kv: ");
  usage({"--config", "80b-a", "--dense-weights", "int4"}, "--dense-weights: ");
  usage({"--config", "80b-a", "--parallel", "0"}, "--parallel: ");
  usage({"--config", "80b-a", "--parallel", "9"}, "--parallel: ");
  usage({"--config", "80b-a", "--prefix-store", "1GiB"}, "--prefix-store: the program has no prefix store yet");
  usage({"--config", "80b-a", "--threads", "-2"}, "--threads: ");
  const Outcome longer = RunPlan({"--config", "80b-a-4layers", "--ctx", "300000"});
  EXPECT_EQ(longer.exit_code, kExitFailed);
  EXPECT_NE(longer.error.find("--ctx: 300000 is more than the model's 262144 positions"), std::string::npos);
  const Outcome unknown = RunPlan({"--config", "70b"});
  EXPECT_EQ(unknown.exit_code, kExitFailed);
  EXPECT_EQ(unknown.error.rfind("qnext: error: 70b: ", 0), 0u) << unknown.error;
}

TEST(PlanCommand, PlansTheTinyCheckpoint) {
  const nlohmann::json plan = PlanJson(
      {"--model", std::string(QNEXT_SOURCE_DIR) + "/models/tiny", "--vram", "2GiB", "--ram", "4GiB", "--ctx", "512"});
  EXPECT_EQ(plan["expert_slots"]["cached_experts"], plan["expert_slots"]["routed_experts"]);
  EXPECT_TRUE(plan["fits"]);
}

}  // namespace
}  // namespace qnext
