#include "hw/topology.h"

#include <gtest/gtest.h>

#include <set>

namespace qnext {
namespace {

CpuTopology Hybrid(int fast, int slow) {
  CpuTopology topology;
  for (int i = 0; i < fast; ++i) topology.cores.push_back({.cpu = 2 * i, .kind = 1});
  for (int i = 0; i < slow; ++i) topology.cores.push_back({.cpu = 2 * fast + i, .kind = 0});
  return topology;
}

TEST(Topology, ThisMachineHasCores) {
  const Result<CpuTopology> found = DetectCpuTopology();
  ASSERT_TRUE(found.ok()) << found.status().message();
  EXPECT_GE(found->cores.size(), 1u);
  EXPECT_GE(found->logical_cpus, static_cast<int>(found->cores.size()));
  EXPECT_GE(found->DefaultThreads(), 1);
  std::set<int> cpus;
  for (const CpuCore& core : found->cores) EXPECT_TRUE(cpus.insert(core.cpu).second) << core.cpu;
}

TEST(Topology, OneCoreIsLeftForTheSystemAndSlowCoresAreLeftOut) {
  EXPECT_EQ(Hybrid(16, 0).DefaultThreads(), 15);
  EXPECT_EQ(Hybrid(8, 16).DefaultThreads(), 7);
  EXPECT_EQ(Hybrid(1, 0).DefaultThreads(), 1);
}

TEST(Topology, AQuotaLimitsTheThreads) {
  CpuTopology topology = Hybrid(16, 0);
  topology.cpu_quota = 4.5;
  EXPECT_EQ(topology.DefaultThreads(), 4);
  topology.cpu_quota = 0.5;
  EXPECT_EQ(topology.DefaultThreads(), 1);
}

TEST(Topology, PinsFastCoresFirstAndNeverOvercommits) {
  EXPECT_EQ(Hybrid(2, 2).PinnedCpus(3), (std::vector<int>{0, 2, 4}));
  EXPECT_TRUE(Hybrid(2, 2).PinnedCpus(5).empty());
  CpuTopology limited = Hybrid(4, 0);
  limited.cpu_quota = 2;
  EXPECT_TRUE(limited.PinnedCpus(3).empty());
  EXPECT_EQ(limited.PinnedCpus(2).size(), 2u);
}

TEST(Topology, OtherThreadsKeepClearOfTheWorkers) {
  CpuTopology topology = Hybrid(2, 1);  // CPUs 0, 2, 4, and 1 and 3 on the same cores as 0 and 2
  topology.cpus = {0, 1, 2, 3, 4};
  EXPECT_EQ(topology.OtherCpus(1), (std::vector<int>{2, 4}));
  EXPECT_EQ(topology.OtherCpus(2), (std::vector<int>{4}));
  EXPECT_EQ(topology.OtherCpus(3), (std::vector<int>{1, 3}));
  EXPECT_TRUE(topology.OtherCpus(4).empty());
  topology.cpus = {0, 2, 4};
  EXPECT_EQ(topology.OtherCpus(3), (std::vector<int>{0, 2, 4}));
}

}  // namespace
}  // namespace qnext
