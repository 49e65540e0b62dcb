#include "experts/routing_trace.h"

#include <fmt/format.h>

#include <cstring>
#include <string_view>

namespace qnext {
namespace {

constexpr std::string_view kMagic = "qnxtrace";
constexpr uint32_t kVersion = 1;
constexpr size_t kHeaderBytes = 24;

uint32_t ReadWord(std::span<const std::byte> bytes, size_t at) {
  uint32_t value = 0;
  for (size_t i = 0; i < 4; ++i) value |= static_cast<uint32_t>(bytes[at + i]) << (8 * i);
  return value;
}

void AppendWord(uint32_t value, size_t bytes, std::vector<std::byte>& out) {
  for (size_t i = 0; i < bytes; ++i) out.push_back(static_cast<std::byte>(value >> (8 * i)));
}

}  // namespace

Result<RoutingTrace> ParseRoutingTrace(std::span<const std::byte> file) {
  if (file.size() < kHeaderBytes || std::memcmp(file.data(), kMagic.data(), kMagic.size()) != 0) {
    return Corrupt("not a routing trace");
  }
  if (const uint32_t version = ReadWord(file, 8); version != kVersion) {
    return Unsupported(fmt::format("routing trace of version {}; this program reads {}", version, kVersion));
  }
  RoutingTrace trace;
  trace.layers = ReadWord(file, 12);
  trace.experts = ReadWord(file, 16);
  trace.top = ReadWord(file, 20);
  if (trace.layers < 1 || trace.layers > 1024 || trace.experts < 1 || trace.experts > 65536 || trace.top < 1 ||
      trace.top > trace.experts) {
    return Corrupt(fmt::format("layers {}, experts {}, top {}: out of range", trace.layers, trace.experts, trace.top));
  }
  const auto step_bytes = static_cast<size_t>(trace.step_choices()) * 2;
  const size_t bytes = file.size() - kHeaderBytes;
  if (bytes == 0 || bytes % step_bytes != 0) {
    return Corrupt(fmt::format("{} bytes of choices are not a whole number of steps of {}", bytes, step_bytes));
  }
  trace.choices.resize(bytes / 2);
  for (size_t i = 0; i < trace.choices.size(); ++i) {
    const size_t at = kHeaderBytes + 2 * i;
    const auto choice =
        static_cast<uint16_t>(static_cast<unsigned>(file[at]) | static_cast<unsigned>(file[at + 1]) << 8);
    if (choice >= trace.experts) return Corrupt(fmt::format("choice {}: expert {} of {}", i, choice, trace.experts));
    trace.choices[i] = choice;
  }
  return trace;
}

std::vector<std::byte> FormatRoutingTrace(const RoutingTrace& trace) {
  std::vector<std::byte> out;
  out.reserve(kHeaderBytes + trace.choices.size() * 2);
  for (const char c : kMagic) out.push_back(static_cast<std::byte>(c));
  for (const int64_t word : {int64_t{kVersion}, trace.layers, trace.experts, trace.top}) {
    AppendWord(static_cast<uint32_t>(word), 4, out);
  }
  for (const uint16_t choice : trace.choices) AppendWord(choice, 2, out);
  return out;
}

}  // namespace qnext
