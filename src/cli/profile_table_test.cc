#include "cli/profile_table.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace qnext {
namespace {

// 100 us of which 96 are kernels', on a GPU that reads 1 MB in a microsecond.
const StepTimes kTimes = {.layers = 4,
                          .context = 77,
                          .step_us = 100,
                          .read_bytes_per_second = 1e12,
                          .kernels = {{.name = "norms", .launches = 8, .bytes = 0, .us = 16},
                                      {.name = "experts", .launches = 4, .bytes = 40'000'000, .us = 80}}};

TEST(ProfileTable, AddsUpToTheStep) {
  EXPECT_EQ(FormatProfile(kTimes, "Card"),
            "Card: 100.0 us a step (10000.0 a second) at 77 tokens of context, 1000.0 GB/s read rate\n"
            "kernel               launches  us/launch  us/layer   us/step of step    MB/step    read\n"
            "norms                       8       2.00      4.00      16.0   16.0%\n"
            "experts                     4      20.00     20.00      80.0   80.0%      40.00     50%\n"
            "kernels                    12       8.00     24.00      96.0   96.0%      40.00     42%\n"
            "launch of the graph                           1.00       4.0    4.0%\n"
            "step                                         25.00     100.0  100.0%      40.00     40%\n");
}

TEST(ProfileTable, AsJson) {
  const nlohmann::json json = ProfileToJson(kTimes, "Card");
  double sum = json["remainder_us"];
  for (const nlohmann::json& kernel : json["kernels"]) sum += kernel["us"].get<double>();
  EXPECT_DOUBLE_EQ(sum, json["step_us"]);
  EXPECT_DOUBLE_EQ(json["sum_us"], 96);
  EXPECT_EQ(json["remainder"], "launch of the graph");
  EXPECT_DOUBLE_EQ(json["read_share"], 0.4);
  EXPECT_EQ(json["bytes"], 40'000'000);
  const nlohmann::json& experts = json["kernels"][1];
  EXPECT_EQ(experts["name"], "experts");
  EXPECT_DOUBLE_EQ(experts["us_per_launch"], 20);
  EXPECT_DOUBLE_EQ(experts["us_per_layer"], 20);
  EXPECT_DOUBLE_EQ(experts["read_share"], 0.5);
  EXPECT_DOUBLE_EQ(experts["step_share"], 0.8);
}

}  // namespace
}  // namespace qnext
