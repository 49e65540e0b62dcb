#include "cli/profile_table.h"

#include <fmt/core.h>

#include <nlohmann/json.hpp>

namespace qnext {
namespace {

constexpr const char* kRemainder = "launch of the graph";  // what is left without any kernel

// A line of the table, and its last two lines.
struct Line {
  int64_t launches = 0, bytes = 0;
  double us = 0;
};

Line Total(const StepTimes& times) {
  Line total;
  for (const KernelTime& kernel : times.kernels) {
    total.launches += kernel.launches;
    total.bytes += kernel.bytes;
    total.us += kernel.us;
  }
  return total;
}

double ReadShare(int64_t bytes, double us, const StepTimes& times) {
  return us > 0 ? static_cast<double>(bytes) / (us * 1e-6) / times.read_bytes_per_second : 0;
}

std::string Format(const std::string& name, const Line& line, const StepTimes& times) {
  std::string text = fmt::format("{:<20}", name);
  text += line.launches > 0 ? fmt::format("{:>9}{:>11.2f}", line.launches, line.us / static_cast<double>(line.launches))
                            : fmt::format("{:>20}", "");
  text += fmt::format("{:>10.2f}{:>10.1f}{:>7.1f}%", line.us / static_cast<double>(times.layers), line.us,
                      100 * line.us / times.step_us);
  if (line.bytes > 0) {
    text += fmt::format("{:>11.2f}{:>7.0f}%", static_cast<double>(line.bytes) / 1e6,
                        100 * ReadShare(line.bytes, line.us, times));
  }
  return text + "\n";
}

}  // namespace

std::string FormatProfile(const StepTimes& times, const std::string& gpu) {
  std::string text =
      fmt::format("{}: {:.1f} us a step ({:.1f} a second) at {} tokens of context, {:.1f} GB/s read rate\n", gpu,
                  times.step_us, 1e6 / times.step_us, times.context, times.read_bytes_per_second / 1e9);
  text += fmt::format("{:<20}{:>9}{:>11}{:>10}{:>10}{:>8}{:>11}{:>8}\n", "kernel", "launches", "us/launch", "us/layer",
                      "us/step", "of step", "MB/step", "read");
  for (const KernelTime& kernel : times.kernels) {
    text += Format(kernel.name, {.launches = kernel.launches, .bytes = kernel.bytes, .us = kernel.us}, times);
  }
  const Line total = Total(times);
  text += Format("kernels", total, times);
  text += Format(kRemainder, {.us = times.step_us - total.us}, times);
  text += Format("step", {.bytes = total.bytes, .us = times.step_us}, times);
  return text;
}

nlohmann::json ProfileToJson(const StepTimes& times, const std::string& gpu) {
  const Line total = Total(times);
  nlohmann::json kernels = nlohmann::json::array();
  for (const KernelTime& kernel : times.kernels) {
    kernels.push_back({{"name", kernel.name},
                       {"launches", kernel.launches},
                       {"us", kernel.us},
                       {"us_per_launch", kernel.us / static_cast<double>(kernel.launches)},
                       {"us_per_layer", kernel.us / static_cast<double>(times.layers)},
                       {"step_share", kernel.us / times.step_us},
                       {"bytes", kernel.bytes},
                       {"read_share", ReadShare(kernel.bytes, kernel.us, times)}});
  }
  return {{"device", gpu},
          {"layers", times.layers},
          {"context", times.context},
          {"step_us", times.step_us},
          {"sum_us", total.us},
          {"remainder_us", times.step_us - total.us},
          {"remainder", kRemainder},
          {"bytes", total.bytes},
          {"read_share", ReadShare(total.bytes, times.step_us, times)},
          {"read_bytes_per_second", times.read_bytes_per_second},
          {"kernels", kernels}};
}

}  // namespace qnext
