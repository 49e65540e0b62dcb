// The fixed small problem of KnownAnswerTest and its stored answers. Internal: for known_answer.cc and its test, which
// derives the answers anew in integers.
//
// All numbers are small integers times powers of two and the activations of a run reach exactly 127, so that every
// product, sum and int8 code is exact and the answers do not depend on any order of operations. The extents leave part
// of a tile, of a group, of a run and of a vector over.
#pragma once

#include <array>
#include <cstdint>

namespace qnext::known_answer {

constexpr int64_t kOut = 24, kIn = 72, kGroupSize = 32, kGroups = 3;
constexpr int64_t kInt8In = 168, kInt8Groups = 2;  // int8 weights, [kOut, kInt8In] in groups of 128
constexpr int64_t kDenseOut = 18, kDenseIn = 21;
constexpr int64_t kPatterns = 2;  // distinct activation rows
constexpr int64_t kRows = 25;     // row r has pattern r % kPatterns; several blocks of rows and a part of one

constexpr int64_t Code(int64_t row, int64_t input) { return (row * 7 + input * 5 + row * input % 11) % 16; }
constexpr int64_t Zero(int64_t row, int64_t group) { return (row * 3 + group * 5 + 1) % 16; }
constexpr int64_t ScaleIn16ths(int64_t row, int64_t group) { return int64_t{1} << ((row + group * 2) % 4); }
constexpr int64_t Activation(int64_t pattern, int64_t input) {
  return input % 32 == 5 ? (pattern == 0 ? 127 : -127) : (input * 37 + pattern * 59 + input * input % 29) % 253 - 126;
}
constexpr int64_t Int8Code(int64_t row, int64_t input) {
  return (row * 29 + input * 53 + row * input % 17) % 255 - 127;
}
constexpr int64_t DenseWeightIn16ths(int64_t row, int64_t input) {
  return (row * 11 + input * 13 + row * input) % 31 - 15;
}

// In sixteenths.
extern const std::array<std::array<int32_t, kOut>, kPatterns> kSymmetricAnswers;  // every zero point 8
extern const std::array<std::array<int32_t, kOut>, kPatterns> kZeroPointAnswers;
extern const std::array<std::array<int32_t, kOut>, kPatterns> kInt8Answers;
extern const std::array<std::array<int32_t, kDenseOut>, kPatterns> kDenseAnswers;

}  // namespace qnext::known_answer
