// Errors about options, in the words of who typed them.
#pragma once

#include <string>

#include "base/status.h"

namespace CLI {
class App;
class Error;
}  // namespace CLI

namespace qnext {

// What the library found wrong with a command line, as "--max-tokens: a value is needed". `command` is the one that was
// chosen, or the program.
std::string UsageText(const CLI::Error& error, const CLI::App& command);

// The rooms below name fields as requests do, "max_tokens: ..."; where an option was the source, it becomes
// "--max-tokens: ...". Everything else stays as it is.
Status InOptionTerms(const Status& status);

}  // namespace qnext
