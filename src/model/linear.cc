#include "model/linear.h"

#include <algorithm>

#include "base/check.h"
#include "kernels/gate_up.h"

namespace qnext {

LinearInput LinearInput::From(int64_t first, int64_t count) const {
  LinearInput part = *this;
  part.rows = count;
  if (x != nullptr) part.x = x + first * x_stride;
  if (int8.codes != nullptr) {
    const int64_t runs = int8.in_padded / kInt4BlockInputs;
    part.int8 = {.codes = int8.codes + first * int8.in_padded,
                 .scales = int8.scales + first * runs,
                 .sums = int8.sums + first * runs,
                 .in_padded = int8.in_padded};
  }
  return part;
}

InputBuffer::InputBuffer(int64_t rows, int64_t width, bool with_floats, bool with_int8) {
  const int64_t padded = RoundUp(width, kInt4BlockInputs);
  if (with_floats) floats_ = AlignedBuffer<float>(rows * padded);
  if (with_int8) {
    codes_ = AlignedBuffer<int8_t>(rows * padded);
    scales_ = AlignedBuffer<float>(rows * padded / kInt4BlockInputs);
    sums_ = AlignedBuffer<int32_t>(rows * padded / kInt4BlockInputs);
  }
}

Int8Rows InputBuffer::int8(int64_t in_padded, int64_t row) {
  const int64_t runs = in_padded / kInt4BlockInputs;
  QNEXT_CHECK((row + 1) * in_padded <= codes_.size(), "input buffer too small");
  return {.codes = codes_.data() + row * in_padded,
          .scales = scales_.data() + row * runs,
          .sums = sums_.data() + row * runs,
          .in_padded = in_padded};
}

bool ReadsPlainRows(const Linear& weight, Activations activations) {
  if (weight.is_int8()) return false;
  if (!weight.is_int4()) return true;
  return activations == Activations::kFloat32 && weight.permutation.empty() && weight.in == weight.in_padded();
}

void PrepareRow(const OpContext& context, const Linear& weight, const float* x, InputBuffer& buffer, int64_t row) {
  const int32_t* permutation = weight.permutation.empty() ? nullptr : weight.permutation.data();
  const int64_t padded = weight.in_padded();
  if (context.activations == Activations::kInt8) {
    context.kernels.quantize_rows({.x = x,
                                   .permutation = permutation,
                                   .out = buffer.int8(padded, row),
                                   .m = 1,
                                   .in = weight.in,
                                   .x_stride = weight.in},
                                  Range{0, 1});
  } else {
    context.kernels.gather_rows({.x = x,
                                 .permutation = permutation,
                                 .out = buffer.floats(padded, row),
                                 .m = 1,
                                 .in = weight.in,
                                 .in_padded = padded,
                                 .x_stride = weight.in},
                                Range{0, 1});
  }
}

LinearInput PreparedRows(const OpContext& context, const Linear& weight, InputBuffer& buffer, int64_t first,
                         int64_t rows) {
  const int64_t padded = weight.in_padded();
  if (context.activations == Activations::kInt8) return {.rows = rows, .int8 = buffer.int8(padded, first)};
  return {.rows = rows, .x = buffer.floats(padded, first), .x_stride = padded};
}

InputCache::InputCache(int64_t forms, int64_t rows, int64_t width, Activations activations) {
  for (int64_t i = 0; i < forms; ++i) {
    buffers_.emplace_back(rows, width, activations == Activations::kFloat32, activations == Activations::kInt8);
  }
  forms_.resize(static_cast<size_t>(forms));
}

LinearInput InputCache::Get(const OpContext& context, const Linear& weight, const float* x, int64_t rows,
                            int64_t x_stride) {
  if (ReadsPlainRows(weight, context.activations)) return {.rows = rows, .x = x, .x_stride = x_stride};
  const Form wanted = {.x = x, .permutation = weight.permutation.data(), .in_padded = weight.in_padded()};
  for (size_t i = 0; i < used_; ++i) {
    if (forms_[i].x == wanted.x && forms_[i].permutation == wanted.permutation &&
        forms_[i].in_padded == wanted.in_padded) {
      return PreparedRows(context, weight, buffers_[i], 0, rows);
    }
  }
  QNEXT_CHECK(used_ < buffers_.size(), "more input forms than the layer has linears");
  InputBuffer& buffer = buffers_[used_];
  forms_[used_++] = wanted;
  context.pool.ParallelFor(rows, std::max<int64_t>(1, rows / (4 * context.pool.threads())), [&](Range part, int) {
    for (int64_t row = part.begin; row < part.end; ++row) PrepareRow(context, weight, x + row * x_stride, buffer, row);
  });
  return PreparedRows(context, weight, buffer, 0, rows);
}

namespace {

void RunItems(const OpContext& context, const Product& product, Range items) {
  const Linear& weight = *product.weight;
  if (product.up != nullptr) {
    GateUp(context.kernels,
           {.gate = weight.int4,
            .up = product.up->int4,
            .x_gate = product.input.int8,
            .x_up = product.up_input.int8,
            .gate_y = product.y,
            .up_y = product.up_y,
            .activated = product.activated,
            .m = product.input.rows,
            .y_stride = product.y_stride},
           items);
  } else if (weight.is_int8()) {
    context.kernels.int8_matmul({.weight = weight.int8,
                                 .x = product.input.int8,
                                 .y = product.y,
                                 .m = product.input.rows,
                                 .y_stride = product.y_stride},
                                items);
  } else if (!weight.is_int4()) {
    context.kernels.dense_matmul({.x = product.input.x,
                                  .weight = weight.dense,
                                  .dtype = weight.dtype,
                                  .y = product.y,
                                  .m = product.input.rows,
                                  .in = weight.in,
                                  .out = weight.out,
                                  .x_stride = product.input.x_stride,
                                  .y_stride = product.y_stride},
                                 items);
  } else if (context.activations == Activations::kInt8) {
    context.kernels.int4_matmul_i8({.weight = weight.int4,
                                    .x = product.input.int8,
                                    .y = product.y,
                                    .m = product.input.rows,
                                    .y_stride = product.y_stride},
                                   items);
  } else {
    context.kernels.int4_matmul_f32({.weight = weight.int4,
                                     .x = product.input.x,
                                     .y = product.y,
                                     .m = product.input.rows,
                                     .x_stride = product.input.x_stride,
                                     .y_stride = product.y_stride},
                                    items);
  }
}

}  // namespace

void RunProducts(const OpContext& context, std::span<const Product> products, std::span<int64_t> first_item) {
  QNEXT_CHECK(first_item.size() > products.size(), "scratch for one more than the products");
  first_item[0] = 0;
  for (size_t i = 0; i < products.size(); ++i) first_item[i + 1] = first_item[i] + products[i].items();
  const int64_t total = first_item[products.size()];
  // Parts small enough to share the tail among the threads, large enough to stream.
  const int64_t grain = std::max<int64_t>(1, total / (8 * context.pool.threads()));
  context.pool.ParallelFor(total, grain, [&](Range part, int) {
    const auto end = first_item.begin() + static_cast<std::ptrdiff_t>(products.size());
    auto at = std::upper_bound(first_item.begin(), end, part.begin) - 1;
    for (; part.begin < part.end; ++at) {
      const size_t i = static_cast<size_t>(at - first_item.begin());
      const int64_t stop = std::min(part.end, first_item[i + 1]);
      RunItems(context, products[i], Range{part.begin - first_item[i], stop - first_item[i]});
      part.begin = stop;
    }
  });
}

}  // namespace qnext
