// The files that `qnext logits` reads, checked against the model's dimensions.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "config/model_config.h"

namespace qnext {

// "1,2,3"; errors begin with `source`.
Result<std::vector<int32_t>> ParseIds(std::string_view text, const std::string& source);
// A JSON array of ids.
Result<std::vector<int32_t>> ReadIds(const std::string& path);
// At least one, all in the vocabulary.
Status CheckIds(const std::vector<int32_t>& ids, const ModelConfig& config);

// A JSON array [MoE layer][token][top] of expert numbers, flattened.
Result<std::vector<int32_t>> ReadExperts(const std::string& path, const ModelConfig& config, int64_t tokens);

// The tensor layer_inputs [num_layers, T, D], F32.
Result<std::vector<float>> ReadLayerInputs(const std::string& path, const ModelConfig& config, int64_t tokens);

}  // namespace qnext
