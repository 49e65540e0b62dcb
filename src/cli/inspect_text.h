// The part of qnext inspect that looks at a checkpoint's tokenizer and chat template.
#pragma once

#include <string>

#include "checkpoint/inspect.h"

namespace qnext {

// Fills report.text, and adds to report.problems what keeps the checkpoint from loading (no tokenizer, ids beyond the
// vocabulary) and to report.warnings what keeps it from conversing, or from conversing as its authors meant.
void InspectText(const std::string& folder, InspectReport& report);

}  // namespace qnext
