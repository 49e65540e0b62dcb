// The rotary embedding's part of config.json, in either of its two spellings. docs/checkpoint.md
#pragma once

#include "base/status.h"
#include "config/field_reader.h"
#include "config/model_config.h"

namespace qnext {

// Sets rope_theta, rotary_dims (of config->head_dim, which must be set) and yarn from the fields of config.json:
// rope_theta, partial_rotary_factor and rope_scaling at the top, or all of them inside rope_parameters.
Status ParseRope(const FieldReader& fields, ModelConfig* config);

}  // namespace qnext
