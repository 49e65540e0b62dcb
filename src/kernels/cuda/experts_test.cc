// The experts on the GPU, step by step against float64 - the quantized hidden values on equal inputs, the outputs on
// the device's own hidden values - and decode against prefill, bit for bit.
#include "kernels/cuda/experts.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <random>
#include <vector>

#include "compare.h"
#include "kernels/cpu/matmul_problems.h"
#include "kernels/cuda/cuda_test_util.h"
#include "kernels/cuda/product_plan.h"

namespace qnext::cuda {
namespace {

using cuda_test::DeviceArray;

constexpr double kUnit = 0x1p-24;

size_t Index(int64_t i) { return static_cast<size_t>(i); }

// As in int4_products_test.cc.
double Roundings(const Int4Layout& layout) {
  const RunSlices slices = SliceRuns(layout.in_padded());
  return 5 + slices.per_slice + slices.count;
}

struct Options {
  int64_t dim = 104, inner = 72;
  int64_t gate_group = 32, down_group = 32;  // -1: one group
  bool symmetric = true;
  DType scale_dtype = DType::kF16;
  int64_t slots = 6;  // of which one is the shared expert's, and one is never chosen
  int64_t rows = 3, entries = 5;
  bool x_per_entry = false, x_up = false;
  uint64_t seed = 1;

  std::string ToString() const {
    return "dim=" + std::to_string(dim) + " inner=" + std::to_string(inner) + " groups=" + std::to_string(gate_group) +
           "," + std::to_string(down_group) + (symmetric ? " sym" : " asym") + " rows=" + std::to_string(rows) +
           " entries=" + std::to_string(entries) + (x_per_entry ? " x_per_entry" : "") + (x_up ? " x_up" : "") +
           " seed=" + std::to_string(seed);
  }
};

// Quantized activation rows, on both sides.
struct Inputs {
  Inputs(int64_t row_count, int64_t in, uint64_t seed) : rows(row_count), in_padded(RoundUp(in, kInt4BlockInputs)) {
    const std::vector<float> x = RandomActivations(rows * in, seed);
    codes.resize(Index(rows * in_padded));
    scales.resize(Index(rows * in_padded / kInt4BlockInputs));
    sums.resize(scales.size());
    ReferenceKernels().quantize_rows({.x = x.data(),
                                      .permutation = nullptr,
                                      .out = {codes.data(), scales.data(), sums.data(), in_padded},
                                      .m = rows,
                                      .in = in,
                                      .x_stride = in},
                                     {0, rows});
    device_codes = std::make_unique<DeviceArray<int8_t>>(codes);
    device_scales = std::make_unique<DeviceArray<float>>(scales);
    device_sums = std::make_unique<DeviceArray<int32_t>>(sums);
  }
  Int8Rows Device(int64_t first_row) {
    const int64_t runs = in_padded / kInt4BlockInputs;
    return {device_codes->get() + first_row * in_padded, device_scales->get() + first_row * runs,
            device_sums->get() + first_row * runs, in_padded};
  }

  int64_t rows, in_padded;
  std::vector<int8_t> codes;
  std::vector<float> scales;
  std::vector<int32_t> sums;
  std::unique_ptr<DeviceArray<int8_t>> device_codes;
  std::unique_ptr<DeviceArray<float>> device_scales;
  std::unique_ptr<DeviceArray<int32_t>> device_sums;
};

// What is left in device memory by a run.
struct Outcome {
  std::vector<int8_t> codes;
  std::vector<float> scales;
  std::vector<int32_t> sums;
  std::vector<float> out;
};

class Problem {
 public:
  explicit Problem(const Options& options)
      : options_(options),
        x_(options.rows * (options.x_per_entry ? options.entries : 1), options.dim, options.seed * 7 + 1),
        x_up_(x_.rows, options.dim, options.seed * 7 + 2) {
    std::mt19937_64 random(options.seed);
    for (int64_t slot = 0; slot < options.slots; ++slot) {
      AddMatrix(slot, 0, options.dim, options.inner, options.gate_group);
      AddMatrix(slot, 1, options.dim, options.inner, options.gate_group);
      AddMatrix(slot, 2, options.inner, options.dim, options.down_group);
    }
    // A slot that is never chosen holds NaN scales and whatever codes.
    std::fill(bytes_.begin() + Unused() * stride_, bytes_.begin() + (Unused() + 1) * stride_, std::byte{0xff});
    device_bytes_ = std::make_unique<DeviceArray<std::byte>>(bytes_);

    // Distinct slots in a row, some entries elsewhere, the last one the shared expert.
    for (int64_t row = 0; row < options.rows; ++row) {
      std::vector<int32_t> slots;
      for (int32_t slot = 0; slot < options.slots; ++slot) {
        if (slot != Shared() && slot != Unused()) slots.push_back(slot);
      }
      std::shuffle(slots.begin(), slots.end(), random);
      for (int64_t entry = 0; entry < options.entries; ++entry) {
        const bool last = entry == options.entries - 1;
        int32_t slot = last ? static_cast<int32_t>(Shared()) : slots[Index(entry) % slots.size()];
        if (random() % 4 == 0 || (row == 1 && options.rows > 1)) slot = -1;
        entry_slots_.push_back(slot);
        entry_weights_.push_back(std::uniform_real_distribution<float>(-0.5f, 1.0f)(random));
      }
    }
    device_slots_ = std::make_unique<DeviceArray<int32_t>>(entry_slots_);
    device_weights_ = std::make_unique<DeviceArray<float>>(entry_weights_);
  }

  const Options& options() const { return options_; }
  int64_t hidden_padded() const { return RoundUp(options_.inner, kInt4BlockInputs); }
  int64_t hidden_runs() const { return hidden_padded() / kInt4BlockInputs; }

  // Rows first .. first + m - 1, by LaunchExperts or LaunchExpertsGrouped.
  Outcome Run(int64_t first, int64_t m, bool grouped) {
    const int64_t pairs = m * options_.entries;
    DeviceArray<int8_t> codes(pairs * hidden_padded());
    DeviceArray<float> scales(pairs * hidden_runs()), out(m * options_.dim);
    DeviceArray<int32_t> sums(pairs * hidden_runs());
    const int64_t x_row = first * (options_.x_per_entry ? options_.entries : 1);
    const ExpertsArgs args = {
        .slots = {.base = device_bytes_->get(), .stride = stride_, .gate_up = gate_up_, .down = down_},
        .entry_slots = device_slots_->get() + first * options_.entries,
        .entry_weights = device_weights_->get() + first * options_.entries,
        .x = x_.Device(x_row),
        .x_up = options_.x_up ? x_up_.Device(x_row) : Int8Rows{nullptr, nullptr, nullptr, 0},
        .x_per_entry = options_.x_per_entry,
        .hidden = {codes.get(), scales.get(), sums.get(), hidden_padded()},
        .out = out.get(),
        .m = m,
        .entries = options_.entries};
    if (grouped) {
      DeviceArray<int32_t> counts(options_.slots + 1), pair_rows(pairs);
      DeviceArray<float> pair_out(pairs * options_.dim);
      // The slots between the first and the shared expert's; all lie in [0, slots).
      const ExpertGroupsScratch scratch = {.counts = counts.get(),
                                           .pair_rows = pair_rows.get(),
                                           .pair_out = pair_out.get(),
                                           .slots_begin = 0,
                                           .slots_count = options_.slots - 1,
                                           .shared_slot = static_cast<int32_t>(Shared())};
      EXPECT_TRUE(cuda_test::IsOk(LaunchExpertsGrouped(args, scratch, nullptr)));
      EXPECT_TRUE(cuda_test::Synchronized());
      EXPECT_TRUE(counts.GuardsIntact() && pair_rows.GuardsIntact() && pair_out.GuardsIntact());
      CheckPairs(first, counts.Download(), pair_rows.Download(), pairs);
    } else {
      EXPECT_TRUE(cuda_test::IsOk(LaunchExperts(args, nullptr)));
      EXPECT_TRUE(cuda_test::Synchronized());
    }
    EXPECT_TRUE(codes.GuardsIntact() && scales.GuardsIntact() && sums.GuardsIntact() && out.GuardsIntact());
    return {codes.Download(), scales.Download(), sums.Download(), out.Download()};
  }

  // All rows' hidden values and outputs, against float64.
  void Check(const Outcome& outcome) const {
    for (int64_t row = 0; row < options_.rows; ++row) {
      std::vector<double> sum(Index(options_.dim), 0), bound(Index(options_.dim), 0);
      for (int64_t entry = 0; entry < options_.entries; ++entry) {
        const int64_t pair = row * options_.entries + entry;
        const int32_t slot = entry_slots_[Index(pair)];
        if (slot < 0) continue;
        CheckHidden(outcome, pair, slot);
        AddDown(outcome, pair, slot, sum, bound);
        if (::testing::Test::HasFailure()) return;
      }
      for (int64_t o = 0; o < options_.dim; ++o) {
        const double actual = static_cast<double>(outcome.out[Index(row * options_.dim + o)]);
        // One rounding for each entry's multiply-add; the sum itself is exact here.
        const double allowed = bound[Index(o)] + kUnit * std::abs(sum[Index(o)]);
        ASSERT_TRUE(std::isfinite(actual) && std::abs(actual - sum[Index(o)]) <= allowed)
            << "row " << row << " output " << o << ": " << actual << ", expected " << sum[Index(o)] << " ± " << allowed;
      }
    }
  }

 private:
  int64_t Shared() const { return options_.slots - 1; }
  int64_t Unused() const { return options_.slots - 2; }

  // Appends matrix `which` (gate, up, down) of a slot; the first slot decides the layouts.
  void AddMatrix(int64_t slot, int which, int64_t in, int64_t out, int64_t group_size) {
    RandomGptqOptions random;
    random.in = in;
    random.out = out;
    random.group_size = group_size;
    random.symmetric = options_.symmetric;
    random.scale_dtype = options_.scale_dtype;
    random.seed = options_.seed * 1000 + static_cast<uint64_t>(slot * 3 + which);
    const RandomGptq gptq(random);
    const Int4Layout layout = Int4LayoutFor(gptq.tensors);
    if (slot == 0 && which == 0) gate_up_ = layout;
    if (slot == 0 && which == 2) {
      down_ = layout;
      stride_ = ExpertSlots::BytesOf(gate_up_, down_) + 64;  // slots need not touch
      bytes_.resize(Index(stride_ * options_.slots), std::byte{0xff});
    }
    EXPECT_EQ(layout, which == 2 ? down_ : gate_up_);
    AlignedBuffer<std::byte> packed(layout.bytes());
    PackInt4(gptq.tensors, layout, {}, {}, packed.data());
    weights_.push_back(DequantizeInt4({layout, packed.data()}));
    packed_.emplace_back(packed.data(), packed.data() + layout.bytes());
    if (which < 2) {
      if (slot > 0 || which > 0) Place(slot, which);
    } else {
      if (slot == 0) Place(0, 0), Place(0, 1);
      Place(slot, 2);
    }
  }
  void Place(int64_t slot, int which) {
    if (bytes_.empty()) return;
    const int64_t offset = which == 0 ? 0 : which == 1 ? gate_up_.bytes() : 2 * gate_up_.bytes();
    const std::vector<std::byte>& packed = packed_[Index(slot * 3 + which)];
    std::copy(packed.begin(), packed.end(), bytes_.begin() + slot * stride_ + offset);
  }
  const std::vector<float>& Weights(int64_t slot, int which) const { return weights_[Index(slot * 3 + which)]; }

  // The product with row `o` of the weights, and the bound of an implementation.
  struct Dot {
    double value, bound;
  };
  static Dot Multiply(const std::vector<float>& weights, int64_t in, int64_t o, const int8_t* codes,
                      const float* scales, double roundings) {
    double sum = 0, magnitude = 0;
    for (int64_t i = 0; i < in; ++i) {
      const double term = static_cast<double>(weights[Index(o * in + i)]) *
                          static_cast<double>(scales[i / kInt4BlockInputs]) * codes[i];
      sum += term;
      magnitude += std::abs(term);
    }
    return {sum, Gamma(roundings) * magnitude + kUnit * std::abs(sum)};
  }

  void CheckHidden(const Outcome& outcome, int64_t pair, int32_t slot) const {
    const int64_t row = options_.x_per_entry ? pair : pair / options_.entries;
    const Inputs& up_inputs = options_.x_up ? x_up_ : x_;
    const int64_t runs = x_.in_padded / kInt4BlockInputs;
    for (int64_t run = 0; run < hidden_runs(); ++run) {
      std::vector<double> h, bound;
      double maximum = 0, bound_of_maximum = 0;
      for (int64_t i = run * kInt4BlockInputs; i < (run + 1) * kInt4BlockInputs; ++i) {
        if (i >= options_.inner) {
          h.push_back(0), bound.push_back(0);
          continue;
        }
        const Dot gate = Multiply(Weights(slot, 0), options_.dim, i, &x_.codes[Index(row * x_.in_padded)],
                                  &x_.scales[Index(row * runs)], Roundings(gate_up_));
        const Dot up = Multiply(Weights(slot, 1), options_.dim, i, &up_inputs.codes[Index(row * x_.in_padded)],
                                &up_inputs.scales[Index(row * runs)], Roundings(gate_up_));
        // |silu'| < 1.1; silu's own error is that of exp (2 ulp), a sum and a quotient.
        const double silu = gate.value / (1 + std::exp(-gate.value));
        const double silu_bound = 1.1 * gate.bound + Gamma(8) * std::abs(silu) + 1e-36;
        h.push_back(silu * up.value);
        bound.push_back(silu_bound * (std::abs(up.value) + up.bound) + std::abs(silu) * up.bound +
                        kUnit * std::abs(h.back()));
        maximum = std::max(maximum, std::abs(h.back()));
        bound_of_maximum = std::max(bound_of_maximum, bound.back());
      }
      const int64_t at = pair * hidden_runs() + run;
      const double scale = static_cast<double>(outcome.scales[Index(at)]);
      ASSERT_TRUE(std::isfinite(scale) && std::abs(scale - maximum / 127) <= bound_of_maximum / 127 + kUnit * scale)
          << "scale of pair " << pair << " run " << run << ": " << scale << ", expected " << maximum / 127;
      int32_t sum = 0;
      for (int64_t k = 0; k < kInt4BlockInputs; ++k) {
        const int code = outcome.codes[Index(at * kInt4BlockInputs + k)];
        sum += code;
        ASSERT_LE(std::abs(code), 127);
        ASSERT_LE(std::abs(code * scale - h[Index(k)]), scale * (0.5 + 1e-5) + bound[Index(k)])
            << "pair " << pair << " run " << run << " value " << k << " code " << code;
      }
      ASSERT_EQ(outcome.sums[Index(at)], sum);
    }
  }

  // Adds weight * down · (the device's hidden values of the pair).
  void AddDown(const Outcome& outcome, int64_t pair, int32_t slot, std::vector<double>& sum,
               std::vector<double>& bound) const {
    const double weight = static_cast<double>(entry_weights_[Index(pair)]);
    for (int64_t o = 0; o < options_.dim; ++o) {
      const Dot dot = Multiply(Weights(slot, 2), options_.inner, o, &outcome.codes[Index(pair * hidden_padded())],
                               &outcome.scales[Index(pair * hidden_runs())], Roundings(down_));
      sum[Index(o)] += weight * dot.value;
      bound[Index(o)] +=
          std::abs(weight) * dot.bound + Gamma(static_cast<double>(options_.entries)) * std::abs(weight * dot.value);
    }
  }

  // The sorted pairs: each pair that has a slot once, by slot, in order within one.
  void CheckPairs(int64_t first, const std::vector<int32_t>& ends, const std::vector<int32_t>& sorted,
                  int64_t pairs) const {
    std::vector<int32_t> expected, expected_ends;
    for (int64_t bucket = 0; bucket < options_.slots; ++bucket) {  // the shared slot is the last
      for (int64_t pair = 0; pair < pairs; ++pair) {
        if (entry_slots_[Index(first * options_.entries + pair)] == bucket) {
          expected.push_back(static_cast<int32_t>(pair));
        }
      }
      expected_ends.push_back(static_cast<int32_t>(expected.size()));
    }
    EXPECT_EQ(std::vector<int32_t>(ends.begin(), ends.begin() + options_.slots), expected_ends);
    EXPECT_EQ(std::vector<int32_t>(sorted.begin(), sorted.begin() + static_cast<int64_t>(expected.size())), expected);
  }

  Options options_;
  Int4Layout gate_up_, down_;
  int64_t stride_ = 0;
  std::vector<std::byte> bytes_;
  std::vector<std::vector<std::byte>> packed_;  // [slot][gate, up, down]
  std::vector<std::vector<float>> weights_;     // likewise
  std::vector<int32_t> entry_slots_;
  std::vector<float> entry_weights_;
  Inputs x_, x_up_;
  std::unique_ptr<DeviceArray<std::byte>> device_bytes_;
  std::unique_ptr<DeviceArray<int32_t>> device_slots_;
  std::unique_ptr<DeviceArray<float>> device_weights_;
};

std::vector<float> Rows(const std::vector<float>& out, int64_t dim, int64_t first, int64_t m) {
  return {out.begin() + first * dim, out.begin() + (first + m) * dim};
}

class CudaExperts : public cuda_test::CudaTest {};

// Decode of all rows at once and one by one, prefill of all rows: all the same bits.
void CheckProblem(const Options& options) {
  SCOPED_TRACE(options.ToString());
  Problem problem(options);
  const Outcome all = problem.Run(0, options.rows, /*grouped=*/options.rows > kMaxDecodeRows);
  problem.Check(all);
  if (::testing::Test::HasFailure()) return;
  EXPECT_TRUE(BitEqual(problem.Run(0, options.rows, options.rows > kMaxDecodeRows).out, all.out)) << "a second run";
  if (options.rows <= kMaxDecodeRows) {
    EXPECT_TRUE(BitEqual(problem.Run(0, options.rows, /*grouped=*/true).out, all.out)) << "grouped";
  }
  for (int64_t first = 0; first < options.rows; first += kMaxDecodeRows) {
    const int64_t m = std::min(kMaxDecodeRows, options.rows - first);
    EXPECT_TRUE(BitEqual(problem.Run(first, m, /*grouped=*/false).out, Rows(all.out, options.dim, first, m)))
        << "rows " << first << " to " << first + m;
  }
  for (int64_t row = 0; row < std::min<int64_t>(options.rows, 4); ++row) {
    EXPECT_TRUE(BitEqual(problem.Run(row, 1, /*grouped=*/false).out, Rows(all.out, options.dim, row, 1)))
        << "row " << row << " alone";
  }
}

TEST_F(CudaExperts, RaggedShapesOfEveryFormat) {
  uint64_t seed = 0;
  for (const int64_t dim : {8, 40, 136, 520}) {
    for (const int64_t inner : {8, 24, 64, 104, 264}) {
      ++seed;
      Options options;
      options.dim = dim;
      options.inner = inner;
      options.gate_group = seed % 3 == 0 ? 128 : seed % 3 == 1 ? 32 : -1;
      options.down_group = seed % 2 == 0 ? 128 : 32;
      options.symmetric = seed % 4 < 2;
      options.scale_dtype = seed % 5 == 0 ? DType::kBF16 : DType::kF16;
      options.rows = static_cast<int64_t>(1 + seed % 8);
      options.entries = static_cast<int64_t>(1 + seed % 7);
      options.x_per_entry = seed % 3 == 1;
      options.x_up = seed % 4 == 1;
      options.seed = seed;
      CheckProblem(options);
      if (HasFailure()) return;
    }
  }
}

TEST_F(CudaExperts, ActivationsOfTheirOwn) {
  for (const bool x_per_entry : {false, true}) {
    for (const bool x_up : {false, true}) {
      Options options;
      options.x_per_entry = x_per_entry;
      options.x_up = x_up;
      options.rows = 9;
      CheckProblem(options);
    }
  }
}

TEST_F(CudaExperts, ManyRows) {
  for (const int64_t rows : {9, 33, 160}) {
    Options options;
    options.rows = rows;
    options.slots = 9;
    options.gate_group = 128;
    options.down_group = 128;
    options.dim = 136;
    CheckProblem(options);
  }
}

// More entries than the second kernel has warps.
TEST_F(CudaExperts, ManyEntries) {
  Options options;
  options.entries = 29;
  options.rows = 2;
  options.slots = 33;
  CheckProblem(options);
}

TEST_F(CudaExperts, RealShapes) {
  for (const int64_t group_size : {128, 32}) {
    Options options;
    options.dim = 2048;
    options.inner = 512;
    options.gate_group = group_size;
    options.down_group = group_size;
    options.slots = 14;
    options.rows = 2;
    options.entries = 11;
    CheckProblem(options);
  }
}

// Rows of more slices than a block of the first kernel takes warps of.
TEST_F(CudaExperts, LongRows) {
  Options options;
  options.dim = 3080;
  options.inner = 1064;
  options.gate_group = 128;
  options.down_group = 128;
  options.rows = 2;
  options.entries = 3;
  CheckProblem(options);
}

TEST_F(CudaExperts, RefusesMoreRowsThanDecodeHas) {
  ExpertsArgs args = {};
  args.m = kMaxDecodeRows + 1;
  args.entries = 1;
  EXPECT_EQ(LaunchExperts(args, nullptr).code(), StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace qnext::cuda
