#include "kernels/cpu/known_answer.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <span>
#include <string_view>
#include <vector>

#include "base/aligned_buffer.h"
#include "kernels/cpu/cpu_kernels.h"

namespace qnext {
namespace known_answer {

const std::array<std::array<int32_t, kOut>, kPatterns> kSymmetricAnswers = {{
    {2321,  16316, 5297, 10694, 683,  9044,  21462,  -9916, -937,  56990, -3137, 14034,
     -6495, -4650, 4186, 2336,  -179, 42528, -16935, -2306, -5934, -8232, -4384, 14548},
    {-8055, -25916, -10190, 23338, -7780, 13358, -35779, 16092, 523,   -20086, -2399, -15102,
     10743, 4582,   8103,   -6614, -5828, 2370,  192,    10012, -6118, 16268,  5283,  -12504},
}};
const std::array<std::array<int32_t, kOut>, kPatterns> kZeroPointAnswers = {{
    {1670,   9452,  13697, 21716, 6188, 9596,  11442, 8810, -3436, 69854, 487,    -4080,
     -10854, -7794, 11662, 11510, -830, 35664, -8535, 8716, -429,  -7680, -14404, 33274},
    {-10858, -24568, -9482, 28630, -13683, 5434, -37719, 16216, 7008,   -34210, -779, -20274,
     12576,  15234,  7139,  -4666, -8631,  3718, 900,    15304, -12021, 8344,   3343, -12380},
}};
const std::array<std::array<int32_t, kOut>, kPatterns> kInt8Answers = {{
    {176723, 226196, 182981, -392238, -73765, -81762, -55954, -411176, 25080,  219254,  87101, -315296,
     -91142, 784,    140107, 9064,    -64071, 193374, 51758,  477414,  -82322, -243852, 17707, 358584},
    {-115679, 1842,   -117474, -258436, 108794, 300542,  105918, 119702, -101950, -117750, 140389, -344306,
     52279,   364992, 198388,  516088,  -23791, -347740, 255690, 164484, -189893, 380686,  159040, 133908},
}};
const std::array<std::array<int32_t, kDenseOut>, kPatterns> kDenseAnswers = {{
    {-1701, -1593, -1175, 3335, -308, -2649, 993, 3550, 2542, 1751, -3597, 975, 1021, 6089, -3320, -298, 1577, 4506},
    {1625, -3115, 329, -9, 1203, -5986, 2511, -1609, -3776, -3401, 3949, -4170, 731, -878, 4240, 585, -528, 1211},
}};

}  // namespace known_answer

namespace {

using namespace known_answer;  // NOLINT: this file is about nothing else

// Where an answer is wrong, if it is. y is [kRows][answers of a row].
Status Compare(std::string_view op, std::span<const float> y, const int32_t* answers, int64_t width) {
  for (int64_t row = 0; row < kRows; ++row) {
    for (int64_t o = 0; o < width; ++o) {
      const float expected = static_cast<float>(answers[row % kPatterns * width + o]) / 16.0f;
      const float found = y[static_cast<size_t>(row * width + o)];
      if (found != expected) {
        return Internal(fmt::format("{}: row {}, output {} is {}, not {}", op, row, o, found, expected));
      }
    }
  }
  return {};
}

struct PackedProblem {
  explicit PackedProblem(bool symmetric) {
    constexpr auto kIndex = [](int64_t i) { return static_cast<size_t>(i); };
    std::vector<int32_t> qweight(kIndex(kIn / 8 * kOut)), qzeros(kIndex(kGroups * kOut / 8));
    std::vector<uint16_t> scales(kIndex(kGroups * kOut));
    const auto put = [](int32_t& word, int64_t nibble, int64_t value) {
      word = static_cast<int32_t>(static_cast<uint32_t>(word) | (static_cast<uint32_t>(value) << (4 * nibble)));
    };
    for (int64_t row = 0; row < kOut; ++row) {
      for (int64_t i = 0; i < kIn; ++i) put(qweight[kIndex(i / 8 * kOut + row)], i % 8, Code(row, i));
      for (int64_t group = 0; group < kGroups; ++group) {
        put(qzeros[kIndex(group * (kOut / 8) + row / 8)], row % 8, symmetric ? 8 : Zero(row, group));
        const float scale = static_cast<float>(ScaleIn16ths(row, group)) / 16.0f;
        scales[kIndex(group * kOut + row)] = symmetric ? FloatToF16(scale) : FloatToBF16(scale);
      }
    }
    GptqTensors tensors;
    tensors.in = kIn;
    tensors.out = kOut;
    tensors.groups = kGroups;
    tensors.qweight = qweight;
    tensors.qzeros = qzeros;
    tensors.scales = scales;
    tensors.scale_dtype = symmetric ? DType::kF16 : DType::kBF16;
    tensors.format = GptqFormat::kV2;
    matrix.layout = Int4LayoutFor(tensors);
    bytes = AlignedBuffer<std::byte>(matrix.layout.bytes());
    PackInt4(tensors, matrix.layout, {}, {}, bytes.data());
    matrix.data = bytes.data();
  }

  AlignedBuffer<std::byte> bytes;
  Int4Matrix matrix;
};

Status CheckInt4(const Kernels& kernels, bool symmetric) {
  const PackedProblem problem(symmetric);
  const Int4Layout& layout = problem.matrix.layout;
  const int64_t padded = layout.in_padded(), runs = padded / kInt4BlockInputs;
  const int32_t* answers = (symmetric ? kSymmetricAnswers : kZeroPointAnswers).front().data();

  // The problem with zero points has its inputs reversed, to go through the permutation.
  std::vector<int32_t> permutation(static_cast<size_t>(kIn));
  std::iota(permutation.rbegin(), permutation.rend(), 0);
  AlignedBuffer<float> x(kRows * kIn), gathered(kRows * padded), scales(kRows * runs), y(kRows * kOut);
  AlignedBuffer<int8_t> codes(kRows * padded);
  AlignedBuffer<int32_t> sums(kRows * runs);
  for (int64_t row = 0; row < kRows; ++row) {
    for (int64_t i = 0; i < kIn; ++i) {
      x[row * kIn + (symmetric ? i : kIn - 1 - i)] = static_cast<float>(Activation(row % kPatterns, i));
    }
  }
  const int32_t* order = symmetric ? nullptr : permutation.data();

  kernels.gather_rows({.x = x.data(),
                       .permutation = order,
                       .out = gathered.data(),
                       .m = kRows,
                       .in = kIn,
                       .in_padded = padded,
                       .x_stride = kIn},
                      {0, kRows});
  kernels.int4_matmul_f32(
      {.weight = problem.matrix, .x = gathered.data(), .y = y.data(), .m = kRows, .x_stride = padded, .y_stride = kOut},
      {0, layout.tiles()});
  QNEXT_RETURN_IF_ERROR(Compare("int4_matmul_f32", y.span(), answers, kOut));

  const Int8Rows quantized = {.codes = codes.data(), .scales = scales.data(), .sums = sums.data(), .in_padded = padded};
  kernels.quantize_rows({.x = x.data(), .permutation = order, .out = quantized, .m = kRows, .in = kIn, .x_stride = kIn},
                        {0, kRows});
  for (int64_t row = 0; row < kRows; ++row) {
    for (int64_t p = 0; p < padded; ++p) {
      const int64_t expected = p < kIn ? Activation(row % kPatterns, p) : 0;
      if (codes[row * padded + p] != expected || scales[row * runs + p / kInt4BlockInputs] != 1.0f) {
        return Internal(fmt::format("quantize_rows: row {}, position {} is {}, not {}", row, p,
                                    int{codes[row * padded + p]}, expected));
      }
    }
  }
  y = AlignedBuffer<float>(kRows * kOut);
  kernels.int4_matmul_i8({.weight = problem.matrix, .x = quantized, .y = y.data(), .m = kRows, .y_stride = kOut},
                         {0, layout.tiles()});
  return Compare("int4_matmul_i8", y.span(), answers, kOut);
}

Status CheckInt8(const Kernels& kernels) {
  const Int8Layout layout = {.out = kOut, .in = kInt8In};
  const int64_t padded = layout.in_padded(), runs = padded / kInt4BlockInputs;
  AlignedBuffer<std::byte> bytes(layout.bytes());
  std::fill(bytes.data(), bytes.data() + bytes.size(), std::byte{0});
  for (int64_t row = 0; row < kOut; ++row) {
    const int64_t tile = row / kInt4TileRows, r = row % kInt4TileRows;
    for (int64_t i = 0; i < kInt8In; ++i) {
      bytes[tile * layout.code_bytes_per_tile() + (i / 4 * kInt4TileRows + r) * 4 + i % 4] =
          static_cast<std::byte>(Int8Code(row, i));
    }
    float* scales = reinterpret_cast<float*>(bytes.data() + layout.scales_offset());
    for (int64_t group = 0; group < kInt8Groups; ++group) {
      scales[(tile * kInt8Groups + group) * kInt4TileRows + r] = static_cast<float>(ScaleIn16ths(row, group)) / 16.0f;
    }
  }
  AlignedBuffer<float> x(kRows * kInt8In), scales(kRows * runs), y(kRows * kOut);
  AlignedBuffer<int8_t> codes(kRows * padded);
  AlignedBuffer<int32_t> sums(kRows * runs);
  for (int64_t row = 0; row < kRows; ++row) {
    for (int64_t i = 0; i < kInt8In; ++i) x[row * kInt8In + i] = static_cast<float>(Activation(row % kPatterns, i));
  }
  const Int8Rows quantized = {.codes = codes.data(), .scales = scales.data(), .sums = sums.data(), .in_padded = padded};
  kernels.quantize_rows(
      {.x = x.data(), .permutation = nullptr, .out = quantized, .m = kRows, .in = kInt8In, .x_stride = kInt8In},
      {0, kRows});
  kernels.int8_matmul({.weight = {layout, bytes.data()}, .x = quantized, .y = y.data(), .m = kRows, .y_stride = kOut},
                      {0, layout.tiles()});
  return Compare("int8_matmul", y.span(), kInt8Answers.front().data(), kOut);
}

Status CheckDense(const Kernels& kernels, DType dtype) {
  AlignedBuffer<float> x(kRows * kDenseIn), y(kRows * kDenseOut), weight32(kDenseOut * kDenseIn);
  AlignedBuffer<uint16_t> weight16(kDenseOut * kDenseIn);
  for (int64_t row = 0; row < kRows; ++row) {
    for (int64_t i = 0; i < kDenseIn; ++i) x[row * kDenseIn + i] = static_cast<float>(Activation(row % kPatterns, i));
  }
  for (int64_t row = 0; row < kDenseOut; ++row) {
    for (int64_t i = 0; i < kDenseIn; ++i) {
      const float w = static_cast<float>(DenseWeightIn16ths(row, i)) / 16.0f;
      weight32[row * kDenseIn + i] = w;
      weight16[row * kDenseIn + i] = dtype == DType::kF16 ? FloatToF16(w) : FloatToBF16(w);
    }
  }
  const void* weight = dtype == DType::kF32 ? static_cast<const void*>(weight32.data()) : weight16.data();
  const DenseMatmulArgs args = {.x = x.data(),
                                .weight = weight,
                                .dtype = dtype,
                                .y = y.data(),
                                .m = kRows,
                                .in = kDenseIn,
                                .out = kDenseOut,
                                .x_stride = kDenseIn,
                                .y_stride = kDenseOut};
  kernels.dense_matmul(args, {0, args.items()});
  return Compare(fmt::format("dense_matmul {}", DTypeName(dtype)), y.span(), kDenseAnswers.front().data(), kDenseOut);
}

}  // namespace

Status KnownAnswerTest(const Kernels& kernels) {
  Status status;
  for (const bool symmetric : {true, false}) {
    if (status.ok()) status = CheckInt4(kernels, symmetric);
  }
  if (status.ok()) status = CheckInt8(kernels);
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
    if (status.ok()) status = CheckDense(kernels, dtype);
  }
  return status.WithContext(fmt::format("CPU kernels {}: known-answer test", kernels.name));
}

}  // namespace qnext
