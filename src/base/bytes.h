// Sizes in bytes: parsing what a user types and printing what a person reads.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/status.h"

namespace qnext {

// "15GiB", "1.5 GB", "512 MiB", "64KiB", "1000B" or a plain number of bytes. KiB/MiB/GiB/TiB are powers of 1024,
// kB/KB/MB/GB/TB powers of 1000. Negative, unknown units and values over 2^62 are errors.
Result<int64_t> ParseByteSize(std::string_view text);

// Three significant digits with a binary unit: "1.62 MiB", "512 B".
std::string FormatBytes(int64_t bytes);

}  // namespace qnext
