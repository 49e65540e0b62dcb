// The JSON header of a safetensors file, parsed without building a tree: headers of 300 000 tensors have tens of MB.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "checkpoint/safetensors.h"

namespace qnext {

// The longest header that the format allows.
constexpr int64_t kMaxSafetensorsHeaderBytes = 100'000'000;

// Parses and checks `header` (the JSON text alone). `data_start` is the file offset of the first data byte and
// `data_bytes` how many the file holds from there; the tensors must cover exactly those bytes, in any order, without
// overlap or gap. Returns the tensors by rising offset. Errors (Corrupt) name the tensor and the field.
Result<std::vector<TensorInfo>> ParseSafetensorsHeader(std::string_view header, int64_t data_start, int64_t data_bytes);

}  // namespace qnext
