// Ctrl-C as a flag that can be asked for, and waited for together with input.
#pragma once

namespace qnext {

// While it lives, SIGINT raises a flag instead of ending the program, whichever thread the system gives it to. One at a
// time: a signal handler can reach nothing but static variables, this room's only ones.
class InterruptFlag {
 public:
  InterruptFlag();
  ~InterruptFlag();
  InterruptFlag(const InterruptFlag&) = delete;
  InterruptFlag& operator=(const InterruptFlag&) = delete;

  bool raised() const;
  void Lower();

  // Waits until `file` can be read (or has ended) or the flag is raised; true: it can be read. The flag goes first.
  bool WaitForInput(int file) const;
};

}  // namespace qnext
