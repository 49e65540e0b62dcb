// Small dense float32 products, the inside of chunked DeltaNet and of attention. Part of float_ops-inl.h.

namespace qnext::QNEXT_FLOAT_OPS_ISA {
namespace {

// One matrix operand of Product: element (i, j) at data[i * row_stride + j * column_stride].
struct Operand {
  const float* data;
  int64_t row_stride;
  int64_t column_stride = 1;
};

// Rows per register tile: kTileRows x 2 vectors of sums, 2 vectors of b and a broadcast fit the registers.
constexpr int kTileRows = kWidth == 16 ? 8 : 4;

// c[kRows x kVectors * kWidth] (+)= a · b: every element is one chain of Fma in the order of k, so that the element
// does not depend on the tile it falls into. `lanes` of the last vector exist.
template <int kRows, int kVectors, bool kAccumulate>
void ProductTile(Operand a, const float* b, int64_t b_stride, float* c, int64_t c_stride, int64_t depth,
                 int64_t lanes) {
  Floats sum[kRows][kVectors];
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v) {
      sum[r][v] = Zero();
      if constexpr (kAccumulate) {
        sum[r][v] = LoadFirst(c + r * c_stride + v * kWidth, v + 1 == kVectors ? lanes : int64_t{kWidth});
      }
    }
  }
  if (lanes == kWidth) {
    for (int64_t k = 0; k < depth; ++k) {
      Floats right[kVectors];
#pragma GCC unroll 2
      for (int v = 0; v < kVectors; ++v) right[v] = Load(b + k * b_stride + v * kWidth);
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) {
        const Floats left = Splat(a.data[r * a.row_stride + k * a.column_stride]);
#pragma GCC unroll 2
        for (int v = 0; v < kVectors; ++v) sum[r][v] = Fma(left, right[v], sum[r][v]);
      }
    }
  } else {
    for (int64_t k = 0; k < depth; ++k) {
      Floats right[kVectors];
#pragma GCC unroll 2
      for (int v = 0; v < kVectors; ++v) {
        right[v] = LoadFirst(b + k * b_stride + v * kWidth, v + 1 == kVectors ? lanes : int64_t{kWidth});
      }
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) {
        const Floats left = Splat(a.data[r * a.row_stride + k * a.column_stride]);
#pragma GCC unroll 2
        for (int v = 0; v < kVectors; ++v) sum[r][v] = Fma(left, right[v], sum[r][v]);
      }
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v) {
      StoreFirst(c + r * c_stride + v * kWidth, sum[r][v], v + 1 == kVectors ? lanes : int64_t{kWidth});
    }
  }
}

template <int kVectors, bool kAccumulate>
void ProductColumns(int64_t rows, Operand a, const float* b, int64_t b_stride, float* c, int64_t c_stride,
                    int64_t depth, int64_t lanes) {
  int64_t r = 0;
  const auto at = [&](int64_t row) { return Operand{a.data + row * a.row_stride, a.row_stride, a.column_stride}; };
  for (; r + kTileRows <= rows; r += kTileRows) {
    ProductTile<kTileRows, kVectors, kAccumulate>(at(r), b, b_stride, c + r * c_stride, c_stride, depth, lanes);
  }
  if constexpr (kTileRows > 4) {
    if (r + 4 <= rows) {
      ProductTile<4, kVectors, kAccumulate>(at(r), b, b_stride, c + r * c_stride, c_stride, depth, lanes);
      r += 4;
    }
  }
  if (r + 2 <= rows) {
    ProductTile<2, kVectors, kAccumulate>(at(r), b, b_stride, c + r * c_stride, c_stride, depth, lanes);
    r += 2;
  }
  if (r < rows) ProductTile<1, kVectors, kAccumulate>(at(r), b, b_stride, c + r * c_stride, c_stride, depth, lanes);
}

// c [rows, columns] = a [rows, depth] · b [depth, columns], or += with kAccumulate. Rows of b and c are contiguous.
template <bool kAccumulate>
void Product(int64_t rows, int64_t columns, int64_t depth, Operand a, const float* b, int64_t b_stride, float* c,
             int64_t c_stride) {
  int64_t j = 0;
  for (; j + kWidth < columns; j += 2 * kWidth) {
    const int64_t lanes = Min<int64_t>(kWidth, columns - j - kWidth);
    ProductColumns<2, kAccumulate>(rows, a, b + j, b_stride, c + j, c_stride, depth, lanes);
  }
  if (j < columns) {
    ProductColumns<1, kAccumulate>(rows, a, b + j, b_stride, c + j, c_stride, depth, columns - j);
  }
}

}  // namespace
}  // namespace qnext::QNEXT_FLOAT_OPS_ISA
