// The two spellings of GPTQ zero points.
#pragma once

#include <cstdint>

namespace qnext {

enum class GptqFormat : uint8_t {
  kV1,  // "gptq": zero points stored minus one
  kV2,  // "gptq_v2": stored as they are
};

}  // namespace qnext
