// Random matrix products, their float64 answers and the bounds of float32 implementations: what the tests of the CPU
// products share.
//
// Bounds. u = 2^-24, gamma(n) = n u / (1 - n u): n roundings on the way of a term give it a relative error of at most
// gamma(n). Weights are exact in float32: the codes, zero points and 16-bit scales are taken apart in the float64
// answer, so that no quantization error of the checkpoint hides in a bound.
//   int4, float32 activations: a term x * (code - zero) of a group of n inputs meets at most n sums (and one product
//     where it is not fused), then one multiply-add per group: gamma(n + groups + 1) * sum |x| |w|.
//   int4, int8 activations, against the float64 product of the same codes: integer dot products are exact, a run of 32
//     meets at most one sum per run of its group, then one per group: gamma(runs + groups + 1) * sum |x'| |w|.
//   The same against the unquantized activations: half a step per input more, sum scale/2 * |w|.
//   Dense: a lane takes every 8th or 16th input, then the lanes are added in a tree:
//     gamma(ceil(in/8) + 5) * sum |x| |w|.
// To each comes u * |answer| for the answer's own rounding to float32.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <span>
#include <vector>

#include "base/aligned_buffer.h"
#include "kernels/cpu/cpu_kernels.h"
#include "kernels/kernels.h"
#include "quant/random_gptq.h"

namespace qnext {

// The paths that this machine can run, the best first; kGeneric is always there.
std::vector<CpuIsa> IsasOfThisMachine();

double Gamma(double roundings);

// An answer in float64 per output and what an implementation may differ from it.
struct Answer {
  std::vector<float> y;       // [m, out]
  std::vector<double> bound;  // [m, out]
};

std::vector<float> RandomActivations(int64_t size, uint64_t seed);  // normal, deviation 1

// One int4 matrix and activation rows for it.
class Int4Problem {
 public:
  Int4Problem(const RandomGptqOptions& options, int64_t rows);

  const Int4Matrix& matrix() const { return matrix_; }
  int64_t rows() const { return rows_; }
  int64_t in() const { return matrix_.layout.in; }
  int64_t out() const { return matrix_.layout.out; }
  int64_t in_padded() const { return matrix_.layout.in_padded(); }
  int64_t runs() const { return in_padded() / kInt4BlockInputs; }
  const int32_t* permutation() const { return permutation_.empty() ? nullptr : permutation_.data(); }
  const std::vector<float>& x() const { return x_; }  // [rows, in] in the checkpoint's order

  Answer ForFloatActivations() const;
  // With the codes that a plain scalar quantization gives; with the bound of the CPU's order of sums, or that of
  // another order in which a term meets that many roundings.
  Answer ForInt8Activations() const;
  Answer ForInt8Activations(double roundings) const;
  // The bound of the int8 product against the float answer.
  std::vector<double> QuantizationBound() const;

  // The plain scalar quantization, in packed order.
  struct Quantized {
    std::vector<int8_t> codes;  // [rows, in_padded]
    std::vector<float> scales;  // [rows, runs]
    std::vector<int32_t> sums;  // [rows, runs]
  };
  Quantized Quantize() const;

  // What `kernels` computes for the first m rows: gathered or quantized, then multiplied in the given parts of the
  // tiles, with y rows y_stride apart and every float between them left as it was (checked).
  std::vector<float> MultiplyF32(const Kernels& kernels, int64_t m, std::span<const Range> parts) const;
  std::vector<float> MultiplyI8(const Kernels& kernels, int64_t m, std::span<const Range> parts) const;

 private:
  Answer Sum(const std::vector<double>& x, double roundings) const;  // x [rows, in] in packed order

  RandomGptq gptq_;
  int64_t rows_;
  std::vector<int32_t> permutation_;
  AlignedBuffer<std::byte> bytes_;
  Int4Matrix matrix_;
  std::vector<float> x_;
  std::vector<double> weights_;  // [out, in] in packed order
};

// One dense matrix and activation rows for it.
class DenseProblem {
 public:
  DenseProblem(int64_t in, int64_t out, int64_t rows, DType dtype, uint64_t seed);

  int64_t in() const { return in_; }
  int64_t out() const { return out_; }
  const std::vector<float>& x() const { return x_; }  // [rows, in]
  const void* weight() const;                         // [out, in] as stored
  DType dtype() const { return dtype_; }

  Answer ForFloatActivations() const;
  Answer ForFloatActivations(double roundings) const;
  // With activations rounded to the weights' type first.
  Answer ForRoundedActivations(double roundings) const;
  std::vector<float> Multiply(const Kernels& kernels, int64_t m, std::span<const Range> parts) const;

 private:
  int64_t in_, out_;
  DType dtype_;
  std::vector<float> x_, weights_;  // weights_ as they are after rounding to dtype
  std::vector<uint16_t> weights16_;
};

::testing::AssertionResult BitEqual(std::span<const float> actual, std::span<const float> expected);

// Ways to cut [0, items): whole, single items backwards, and two uneven parts.
std::vector<std::vector<Range>> Cuts(int64_t items);

}  // namespace qnext
