// Server-sent events out of a stream of bytes, however it is cut.
#pragma once

#include <string>
#include <string_view>

#include "base/function_ref.h"

namespace qnext {

// Knows of the format what streams of answers use: fields "data" (several lines of one event are joined by line feeds),
// comments and other fields (passed over), line ends of every kind. One thread at a time.
class SseParser {
 public:
  // Calls on_event with the data of each event that `bytes` completes.
  void Push(std::string_view bytes, FunctionRef<void(std::string_view data)> on_event);

 private:
  void Line(FunctionRef<void(std::string_view data)> on_event);

  std::string line_;  // begun
  std::string data_;  // of the event that is being read, each line with a line feed
  bool after_return_ = false;
};

}  // namespace qnext
