#include <csignal>
#include <cstdlib>

#include "cli/program.h"

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);  // a reader that goes away is a failed write, not the end of the program
  const qnext::Environment environment = [](const std::string& name) -> std::optional<std::string> {
    const char* value = std::getenv(name.c_str());
    return value == nullptr ? std::nullopt : std::optional<std::string>(value);
  };
  return qnext::RunProgram(std::vector<std::string>(argv + (argc > 0 ? 1 : 0), argv + argc), environment);
}
