#include "cli/prefill_notice.h"

#include <fmt/core.h>
#include <unistd.h>

#include <system_error>

#include "cli/output.h"

namespace qnext {
namespace {

using std::chrono::milliseconds;

constexpr PrefillNotice::Times kOnTerminal = {.first = milliseconds(1000), .interval = milliseconds(1000)};
constexpr PrefillNotice::Times kElsewhere = {.first = milliseconds(5000), .interval = milliseconds(10000)};

bool IsTerminal(std::FILE* out) { return isatty(fileno(out)) != 0; }

}  // namespace

PrefillNotice::PrefillNotice(std::FILE* out, int64_t tokens)
    : PrefillNotice(out, tokens, IsTerminal(out), IsTerminal(out) ? kOnTerminal : kElsewhere) {}

PrefillNotice::PrefillNotice(std::FILE* out, int64_t tokens, bool terminal, Times times)
    : out_(out), tokens_(tokens), terminal_(terminal), times_(times) {
  try {
    thread_ = std::thread([this] { Run(); });
  } catch (const std::system_error&) {
    // A system that starts no more threads can still answer, in silence.
  }
}

void PrefillNotice::Stop() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
  }
  changed_.notify_all();
  thread_.join();
  if (shown_ && terminal_) Show(out_, "\r\x1b[K");
}

void PrefillNotice::Run() {
  const auto start = std::chrono::steady_clock::now();
  std::unique_lock lock(mutex_);
  milliseconds wait = times_.first;
  while (!changed_.wait_for(lock, wait, [this] { return stopped_; })) {
    const std::chrono::duration<double> time = std::chrono::steady_clock::now() - start;
    const std::string text = fmt::format("reading {} tokens of prompt, {:.0f} s so far", tokens_, time.count());
    Show(out_, fmt::format("{}{}{}", terminal_ ? "\r\x1b[K" : "qnext: ", text, terminal_ ? "" : "\n"));
    shown_ = true;
    wait = times_.interval;
  }
}

}  // namespace qnext
