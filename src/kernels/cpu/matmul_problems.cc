#include "kernels/cpu/matmul_problems.h"

#include <bit>
#include <cmath>
#include <limits>

namespace qnext {
namespace {

size_t Index(int64_t i) { return static_cast<size_t>(i); }

constexpr float kUntouched = -12345.5f;

// y rows stand 3 floats further apart than they need; those floats must survive.
class StridedOutput {
 public:
  StridedOutput(int64_t m, int64_t out) : m_(m), out_(out), y_(Index(m * stride()), kUntouched) {}

  float* data() { return y_.data(); }
  int64_t stride() const { return out_ + 3; }
  std::vector<float> Dense() const {
    std::vector<float> dense;
    for (int64_t i = 0; i < m_; ++i) {
      const auto row = y_.begin() + i * stride();
      dense.insert(dense.end(), row, row + out_);
      for (int64_t k = out_; k < stride(); ++k) EXPECT_EQ(row[k], kUntouched) << "written past row " << i;
    }
    return dense;
  }

 private:
  int64_t m_, out_;
  std::vector<float> y_;
};

Answer Multiply(std::span<const double> x, std::span<const double> weights, int64_t in, int64_t out, double roundings) {
  Answer answer;
  const int64_t rows = static_cast<int64_t>(x.size()) / in;
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t o = 0; o < out; ++o) {
      double sum = 0, magnitude = 0;
      for (int64_t i = 0; i < in; ++i) {
        const double term = x[Index(row * in + i)] * weights[Index(o * in + i)];
        sum += term;
        magnitude += std::abs(term);
      }
      answer.y.push_back(static_cast<float>(sum));
      answer.bound.push_back(Gamma(roundings) * magnitude + std::ldexp(std::abs(sum), -24));
    }
  }
  return answer;
}

}  // namespace

std::vector<CpuIsa> IsasOfThisMachine() { return SupportedCpuIsas(DetectCpuFeatures()); }

double Gamma(double roundings) {
  const double u = std::ldexp(1.0, -24);
  return roundings * u / (1 - roundings * u);
}

std::vector<float> RandomActivations(int64_t size, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> x(Index(size));
  for (float& v : x) v = normal(random);
  return x;
}

::testing::AssertionResult BitEqual(std::span<const float> actual, std::span<const float> expected) {
  if (actual.size() != expected.size()) return ::testing::AssertionFailure() << "lengths differ";
  for (size_t i = 0; i < actual.size(); ++i) {
    if (std::bit_cast<uint32_t>(actual[i]) != std::bit_cast<uint32_t>(expected[i])) {
      return ::testing::AssertionFailure() << "differs first at " << i << ": " << actual[i] << ", " << expected[i];
    }
  }
  return ::testing::AssertionSuccess();
}

std::vector<std::vector<Range>> Cuts(int64_t items) {
  std::vector<std::vector<Range>> cuts = {{{0, items}}, {}};
  for (int64_t i = items; i > 0; --i) cuts[1].push_back({i - 1, i});
  if (items > 2) cuts.push_back({{0, items / 3}, {items / 3, items}});
  return cuts;
}

Int4Problem::Int4Problem(const RandomGptqOptions& options, int64_t rows)
    : gptq_(options), rows_(rows), permutation_(Int4InputPermutation(gptq_.tensors)) {
  matrix_.layout = Int4LayoutFor(gptq_.tensors);
  bytes_ = AlignedBuffer<std::byte>(matrix_.layout.bytes());
  PackInt4(gptq_.tensors, matrix_.layout, permutation_, {}, bytes_.data());
  matrix_.data = bytes_.data();
  x_ = RandomActivations(rows * in(), options.seed + 1000);
  const GptqTensors& tensors = gptq_.tensors;
  for (int64_t o = 0; o < out(); ++o) {
    for (int64_t p = 0; p < in(); ++p) {
      const int64_t i = permutation_.empty() ? p : permutation_[Index(p)];
      const int64_t group = p / matrix_.layout.group_size;
      const int difference = tensors.Code(o, i) - tensors.Zero(o, group);
      weights_.push_back(static_cast<double>(tensors.Scale(o, group)) * difference);
    }
  }
}

Answer Int4Problem::Sum(const std::vector<double>& x, double roundings) const {
  return Multiply(x, weights_, in(), out(), roundings);
}

Answer Int4Problem::ForFloatActivations() const {
  std::vector<double> x;
  for (int64_t row = 0; row < rows_; ++row) {
    for (int64_t p = 0; p < in(); ++p) {
      const int64_t i = permutation_.empty() ? p : permutation_[Index(p)];
      x.push_back(static_cast<double>(x_[Index(row * in() + i)]));
    }
  }
  const int64_t group = std::min(matrix_.layout.group_size, in());
  return Sum(x, static_cast<double>(group + matrix_.layout.groups() + 1));
}

Int4Problem::Quantized Int4Problem::Quantize() const {
  Quantized q;
  for (int64_t row = 0; row < rows_; ++row) {
    for (int64_t run = 0; run < runs(); ++run) {
      float values[kInt4BlockInputs] = {};
      float largest = 0;
      for (int64_t k = 0; k < kInt4BlockInputs && run * kInt4BlockInputs + k < in(); ++k) {
        const int64_t p = run * kInt4BlockInputs + k;
        values[k] = x_[Index(row * in() + (permutation_.empty() ? p : permutation_[Index(p)]))];
        largest = std::max(largest, std::abs(values[k]));
      }
      q.scales.push_back(largest / 127);
      q.sums.push_back(0);
      for (const float value : values) {
        const float code = q.scales.back() > 0 ? std::nearbyint(value / q.scales.back()) : 0;
        q.codes.push_back(static_cast<int8_t>(std::clamp(code, -127.0f, 127.0f)));
        q.sums.back() += q.codes.back();
      }
    }
  }
  return q;
}

Answer Int4Problem::ForInt8Activations() const {
  const int64_t runs_per_group = std::min(matrix_.layout.group_size / kInt4BlockInputs, runs());
  return ForInt8Activations(static_cast<double>(runs_per_group + matrix_.layout.groups() + 1));
}

Answer Int4Problem::ForInt8Activations(double roundings) const {
  const Quantized q = Quantize();
  std::vector<double> x;
  for (int64_t row = 0; row < rows_; ++row) {
    for (int64_t p = 0; p < in(); ++p) {
      x.push_back(static_cast<double>(q.scales[Index(row * runs() + p / kInt4BlockInputs)]) *
                  q.codes[Index(row * in_padded() + p)]);
    }
  }
  return Sum(x, roundings);
}

std::vector<double> Int4Problem::QuantizationBound() const {
  const Quantized q = Quantize();
  std::vector<double> bound = ForInt8Activations().bound;
  for (int64_t row = 0; row < rows_; ++row) {
    for (int64_t o = 0; o < out(); ++o) {
      for (int64_t p = 0; p < in(); ++p) {
        // The quotient that is rounded to a code is itself rounded: 127 * 2^-24 of a step.
        const double step = static_cast<double>(q.scales[Index(row * runs() + p / kInt4BlockInputs)]);
        bound[Index(row * out() + o)] += step * (0.5 + 1e-5) * std::abs(weights_[Index(o * in() + p)]);
      }
    }
  }
  return bound;
}

std::vector<float> Int4Problem::MultiplyF32(const Kernels& kernels, int64_t m, std::span<const Range> parts) const {
  std::vector<float> gathered(Index(m * in_padded()), std::numeric_limits<float>::quiet_NaN());
  kernels.gather_rows({.x = x_.data(),
                       .permutation = permutation(),
                       .out = gathered.data(),
                       .m = m,
                       .in = in(),
                       .in_padded = in_padded(),
                       .x_stride = in()},
                      {0, m});
  StridedOutput y(m, out());
  const Int4MatmulF32Args args = {
      .weight = matrix_, .x = gathered.data(), .y = y.data(), .m = m, .x_stride = in_padded(), .y_stride = y.stride()};
  for (const Range part : parts) kernels.int4_matmul_f32(args, part);
  return y.Dense();
}

std::vector<float> Int4Problem::MultiplyI8(const Kernels& kernels, int64_t m, std::span<const Range> parts) const {
  Quantized q;
  q.codes.resize(Index(m * in_padded()), 99);
  q.scales.resize(Index(m * runs()), std::numeric_limits<float>::quiet_NaN());
  q.sums.resize(Index(m * runs()), 99);
  const Int8Rows quantized = {
      .codes = q.codes.data(), .scales = q.scales.data(), .sums = q.sums.data(), .in_padded = in_padded()};
  kernels.quantize_rows(
      {.x = x_.data(), .permutation = permutation(), .out = quantized, .m = m, .in = in(), .x_stride = in()}, {0, m});
  StridedOutput y(m, out());
  const Int4MatmulI8Args args = {.weight = matrix_, .x = quantized, .y = y.data(), .m = m, .y_stride = y.stride()};
  for (const Range part : parts) kernels.int4_matmul_i8(args, part);
  return y.Dense();
}

DenseProblem::DenseProblem(int64_t in, int64_t out, int64_t rows, DType dtype, uint64_t seed)
    : in_(in), out_(out), dtype_(dtype), x_(RandomActivations(rows * in, seed)) {
  for (const float value : RandomActivations(in * out, seed + 1)) {
    const uint16_t bits = dtype == DType::kF16 ? FloatToF16(value) : FloatToBF16(value);
    weights16_.push_back(bits);
    weights_.push_back(dtype == DType::kF32 ? value : dtype == DType::kF16 ? F16ToFloat(bits) : BF16ToFloat(bits));
  }
}

const void* DenseProblem::weight() const {
  return dtype_ == DType::kF32 ? static_cast<const void*>(weights_.data()) : weights16_.data();
}

Answer DenseProblem::ForFloatActivations() const {
  return ForFloatActivations(static_cast<double>(CeilDiv(in_, 8) + 5));
}

Answer DenseProblem::ForFloatActivations(double roundings) const {
  const std::vector<double> x(x_.begin(), x_.end()), weights(weights_.begin(), weights_.end());
  return qnext::Multiply(x, weights, in_, out_, roundings);
}

Answer DenseProblem::ForRoundedActivations(double roundings) const {
  std::vector<double> x;
  for (const float value : x_) {
    x.push_back(static_cast<double>(dtype_ == DType::kF32   ? value
                                    : dtype_ == DType::kF16 ? F16ToFloat(FloatToF16(value))
                                                            : BF16ToFloat(FloatToBF16(value))));
  }
  const std::vector<double> weights(weights_.begin(), weights_.end());
  return qnext::Multiply(x, weights, in_, out_, roundings);
}

std::vector<float> DenseProblem::Multiply(const Kernels& kernels, int64_t m, std::span<const Range> parts) const {
  StridedOutput y(m, out_);
  const DenseMatmulArgs args = {.x = x_.data(),
                                .weight = weight(),
                                .dtype = dtype_,
                                .y = y.data(),
                                .m = m,
                                .in = in_,
                                .out = out_,
                                .x_stride = in_,
                                .y_stride = y.stride()};
  for (const Range part : parts) kernels.dense_matmul(args, part);
  return y.Dense();
}

}  // namespace qnext
