// Linear layers as loaded, their inputs in the form the kernels want, and running many products as one parallel loop.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/aligned_buffer.h"
#include "base/thread_pool.h"
#include "kernels/kernels.h"
#include "quant/int4_matrix.h"
#include "quant/int8_matrix.h"
#include "tensor/dtype.h"

namespace qnext {

// The activation format of the int4 products; int8 weights have int8 alone.
enum class Activations : uint8_t { kFloat32, kInt8 };

// One linear layer [out, in], a view into the model's weight arena: int4 if int4.data is set, int8 if int8.data is,
// otherwise dense.
struct Linear {
  int64_t in = 0;
  int64_t out = 0;
  DType dtype = DType::kBF16;   // of `dense`
  const void* dense = nullptr;  // [out, in]
  Int4Matrix int4;
  Int8Matrix int8;                       // of a linear stored in 16 bits (--dense-weights)
  std::span<const int32_t> permutation;  // [in] or empty: the input order of int4

  bool is_int4() const { return int4.data != nullptr; }
  bool is_int8() const { return int8.data != nullptr; }
  int64_t in_padded() const { return is_int4() || is_int8() ? RoundUp(in, kInt4BlockInputs) : in; }
  int64_t items() const { return CeilDiv(out, is_int4() || is_int8() ? kInt4TileRows : kDenseBlockRows); }
};

// Rows of activations as one linear layer reads them: floats (in its order, padded, if it is int4) or int8 codes.
struct LinearInput {
  int64_t rows = 0;
  const float* x = nullptr;  // rows x_stride apart; null for an int4 layer with int8 activations and an int8 layer
  int64_t x_stride = 0;
  Int8Rows int8 = {};

  // The same input from row `first` on.
  LinearInput From(int64_t first, int64_t count) const;
};

// One product of a batch: y = input · weightᵀ. With `up`, the first half of an MLP: weight is gate_proj, y and up_y are
// scratch, and the result is `activated`, what down_proj reads (kernels/gate_up.h).
struct Product {
  const Linear* weight = nullptr;
  LinearInput input;
  float* y = nullptr;
  int64_t y_stride = 0;
  const Linear* up = nullptr;
  LinearInput up_input = {};
  float* up_y = nullptr;
  Int8Rows activated = {};

  int64_t items() const { return up != nullptr ? CeilDiv(weight->out, kInt4BlockInputs) : weight->items(); }
};

// Everything an op of the forward pass needs besides its data. Passed by reference, owned by the model.
struct OpContext {
  const Kernels& kernels;
  ThreadPool& pool;
  Activations activations;
};

// Memory for `rows` prepared rows of up to `width` inputs, in one or both forms.
class InputBuffer {
 public:
  InputBuffer() = default;
  InputBuffer(int64_t rows, int64_t width, bool with_floats, bool with_int8);

  float* floats(int64_t stride, int64_t row) { return floats_.data() + row * stride; }
  // The int8 view whose rows are `in_padded` wide, from row `row` on.
  Int8Rows int8(int64_t in_padded, int64_t row);

 private:
  AlignedBuffer<float> floats_;
  AlignedBuffer<int8_t> codes_;
  AlignedBuffer<float> scales_;
  AlignedBuffer<int32_t> sums_;
};

// True if `weight` can read x as it stands, without gathering, padding or quantizing.
bool ReadsPlainRows(const Linear& weight, Activations activations);

// Writes row `row` of x into `buffer` in the form that `weight` wants (not for layers that read plain rows).
void PrepareRow(const OpContext& context, const Linear& weight, const float* x, InputBuffer& buffer, int64_t row);

// The view of `rows` rows prepared by PrepareRow, from `first` on.
LinearInput PreparedRows(const OpContext& context, const Linear& weight, InputBuffer& buffer, int64_t first,
                         int64_t rows);

// Prepared forms of one x, made on demand and shared by the layers that want the same form.
class InputCache {
 public:
  InputCache() = default;
  // Room for `forms` different forms of up to `rows` rows of `width` inputs.
  InputCache(int64_t forms, int64_t rows, int64_t width, Activations activations);

  // Forgets all forms: x has changed.
  void Clear() { used_ = 0; }
  // x [rows, weight.in], rows x_stride apart, in the form that `weight` wants. Valid until Clear.
  LinearInput Get(const OpContext& context, const Linear& weight, const float* x, int64_t rows, int64_t x_stride);

 private:
  struct Form {
    const float* x;
    const int32_t* permutation;
    int64_t in_padded;
  };
  std::vector<InputBuffer> buffers_;
  std::vector<Form> forms_;
  size_t used_ = 0;
};

// Runs all products as one parallel loop over their items. `first_item` is scratch of products.size() + 1.
void RunProducts(const OpContext& context, std::span<const Product> products, std::span<int64_t> first_item);

}  // namespace qnext
