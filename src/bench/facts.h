// What reports say about the surroundings of a measurement, as text.
#pragma once

#include <string>
#include <vector>

namespace qnext {

struct Fact {
  std::string name;
  std::string value;
};

// Facts that belong together: the machine, the build, the model, the options.
struct FactGroup {
  std::string title;
  std::vector<Fact> facts;
};

}  // namespace qnext
