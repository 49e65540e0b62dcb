#include "cli/interrupt.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <thread>

namespace qnext {
namespace {

TEST(InterruptFlagTest, ASignalRaisesIt) {
  InterruptFlag flag;
  EXPECT_FALSE(flag.raised());
  std::raise(SIGINT);
  EXPECT_TRUE(flag.raised());
  flag.Lower();
  EXPECT_FALSE(flag.raised());
}

class WaitForInputTest : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_EQ(pipe(ends_), 0); }
  void TearDown() override {
    close(ends_[0]);
    close(ends_[1]);
  }
  int ends_[2];
};

// The system may give a signal to any thread; whoever waits for input must wake up all the same.
TEST_F(WaitForInputTest, ASignalInAnotherThreadEndsTheWait) {
  InterruptFlag flag;
  std::thread signaller([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    pthread_kill(pthread_self(), SIGINT);
  });
  EXPECT_FALSE(flag.WaitForInput(ends_[0]));
  EXPECT_TRUE(flag.raised());
  signaller.join();
  EXPECT_FALSE(flag.WaitForInput(ends_[0]));  // until it is lowered
  ASSERT_EQ(write(ends_[1], "x", 1), 1);
  EXPECT_FALSE(flag.WaitForInput(ends_[0]));
  flag.Lower();
  EXPECT_TRUE(flag.WaitForInput(ends_[0]));
}

TEST_F(WaitForInputTest, AFloodOfSignalsIsOne) {
  InterruptFlag flag;
  for (int i = 0; i < 70000; ++i) std::raise(SIGINT);  // more than a pipe holds
  EXPECT_TRUE(flag.raised());
  flag.Lower();
  EXPECT_FALSE(flag.raised());
  close(ends_[1]);
  EXPECT_TRUE(flag.WaitForInput(ends_[0]));  // the end of input is input
  ends_[1] = dup(ends_[0]);
}

}  // namespace
}  // namespace qnext
