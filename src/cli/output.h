// What commands print about an answer.
#pragma once

#include <cstdio>
#include <string>
#include <string_view>

#include "base/status.h"
#include "engine/request.h"
#include "text/tokenizer.h"

namespace qnext {

// One JSON object, indented: text, token_ids, finish_reason, stop, seed, usage, timings and, if asked for, logprobs.
std::string FormatResultJson(const GenerationResult& result, const Tokenizer& tokenizer);

// "21 tokens of prompt at 80.5/s, 45 of answer at 12.3/s, first after 0.26 s".
std::string FormatSpeed(const TimelineSummary& summary);

// One line that a terminal shows as it is: line breaks become spaces, other control characters \x1b and the like.
std::string OneLine(std::string_view text);

// What accompanies the work: that nobody can read it is no reason to stop. Flushed.
void Show(std::FILE* file, std::string_view text);
// A line of it on stderr.
void Remark(const std::string& line);

// Text that goes out as it comes. Once a write has failed (a closed pipe, a full disk) nothing more is written.
class TextOutput {
 public:
  explicit TextOutput(std::FILE* file) : file_(file) {}

  // Writes and flushes; false when the text cannot be written.
  bool Write(std::string_view text);
  // The same for what others have written to the file.
  Status Flush();
  // The error of the write that failed, if one did.
  Status status() const { return status_; }

 private:
  std::FILE* file_;
  Status status_;
};

}  // namespace qnext
