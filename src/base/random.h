// Small, fast, seeded random numbers for synthetic weights, simulated routing and tests: the same everywhere, unlike
// std::uniform_*_distribution. Not for anything secret.
#pragma once

#include <cstdint>

namespace qnext {

// The finaliser of splitmix64 (Steele, Lea and Flood 2014): a bijection that scatters close values far apart.
constexpr uint64_t MixBits(uint64_t x) {
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

// splitmix64. Streams of one seed are independent. One thread at a time.
class Random {
 public:
  explicit Random(uint64_t seed, uint64_t stream = 0) : state_(MixBits(seed) ^ MixBits(~stream)) {}

  uint64_t Bits() {
    const uint64_t out = MixBits(state_);
    state_ += 0x9e3779b97f4a7c15u;
    return out;
  }
  // In [0, 1).
  double Uniform() { return static_cast<double>(Bits() >> 11) * 0x1.0p-53; }
  // In [0, bound); 0 < bound < 2^32. The bias of the multiplication is below 2^-32.
  uint64_t Below(uint64_t bound) { return ((Bits() >> 32) * bound) >> 32; }

 private:
  uint64_t state_;
};

}  // namespace qnext
