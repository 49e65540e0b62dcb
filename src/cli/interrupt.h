// Ctrl-C as a flag that can be asked for.
#pragma once

namespace qnext {

// While it lives, SIGINT raises a flag instead of ending the program, and interrupts blocking reads. One at a time: a
// signal handler can reach nothing but a static variable, this room's only one.
class InterruptFlag {
 public:
  InterruptFlag();
  ~InterruptFlag();
  InterruptFlag(const InterruptFlag&) = delete;
  InterruptFlag& operator=(const InterruptFlag&) = delete;

  bool raised() const;
  void Lower();
};

}  // namespace qnext
