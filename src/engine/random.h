// Random numbers without a state: Philox-4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011).
#pragma once

#include <array>
#include <cstdint>

namespace qnext {

using PhiloxBlock = std::array<uint32_t, 4>;

// Four random words that are a pure function of counter and key.
PhiloxBlock Philox4x32(PhiloxBlock counter, std::array<uint32_t, 2> key);

// A number in [0, 1) with 53 random bits, the same on every machine for the same (seed, stream, position): the key is
// the seed, the counter (position, stream). What else runs at the time has no influence.
double UniformAt(uint64_t seed, uint64_t stream, uint64_t position);

}  // namespace qnext
