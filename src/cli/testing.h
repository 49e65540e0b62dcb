// For the tests of this folder: the whole program, run in this process.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "cli/program.h"

namespace qnext {

struct Outcome {
  int exit_code = 0;
  std::string out, error;
};

inline Outcome RunQnext(const std::vector<std::string>& arguments) {
  ::testing::internal::CaptureStdout();
  ::testing::internal::CaptureStderr();
  Outcome outcome;
  outcome.exit_code = RunProgram(arguments, {});
  outcome.out = ::testing::internal::GetCapturedStdout();
  outcome.error = ::testing::internal::GetCapturedStderr();
  return outcome;
}

}  // namespace qnext
