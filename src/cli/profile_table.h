// The table of `qnext profile`: microseconds by kind of kernel that add up to the step, each with its share of what the
// GPU reads from its memory. Text and JSON.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "engine/step_times.h"

namespace qnext {

std::string FormatProfile(const StepTimes& times, const std::string& gpu);
nlohmann::json ProfileToJson(const StepTimes& times, const std::string& gpu);

}  // namespace qnext
