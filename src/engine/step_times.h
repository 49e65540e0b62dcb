// Where the time of a decode step goes, by kind of kernel, as a model on a device measures it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace qnext {

struct KernelTime {
  std::string name;
  int64_t launches = 0;  // in a step
  int64_t bytes = 0;     // of weights and state that these read and write in a step
  double us = 0;         // of a step: what leaving them out saves
};

struct StepTimes {
  int64_t layers = 0;
  int64_t context = 0;               // tokens that the step looks back on
  double step_us = 0;                // the step's captured graph, replayed: the median
  double read_bytes_per_second = 0;  // what this device reads from its memory, measured in the same run
  std::vector<KernelTime> kernels;   // in the order of a step; step_us less their sum is the launch of the graph
};

}  // namespace qnext
