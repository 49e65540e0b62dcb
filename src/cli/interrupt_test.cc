#include "cli/interrupt.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cerrno>
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

TEST(InterruptFlagTest, AWaitingReadReturns) {
  InterruptFlag flag;
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  const pthread_t reader = pthread_self();
  std::thread signaller([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    pthread_kill(reader, SIGINT);
    std::this_thread::sleep_for(std::chrono::milliseconds(500));
    close(ends[1]);  // should the read not return by itself
  });
  char byte = 0;
  errno = 0;
  EXPECT_EQ(read(ends[0], &byte, 1), -1);
  EXPECT_EQ(errno, EINTR);
  EXPECT_TRUE(flag.raised());
  signaller.join();
  close(ends[0]);
}

}  // namespace
}  // namespace qnext
