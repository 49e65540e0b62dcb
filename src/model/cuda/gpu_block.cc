#include "model/cuda/gpu_block.h"

#include <array>

#include "base/check.h"
#include "kernels/cuda/products.h"
#include "kernels/cuda/row_ops.h"

namespace qnext::cuda {
namespace {

static_assert(kMaxInputOrders >= kMaxParts, "every linear of a launch may have an order of its own");

// Which rows an int4 linear reads: the plain codes, or those of its order, which are made on first use.
class OrderedInputs {
 public:
  OrderedInputs(const GpuBlock& block, const GpuInput& input) : block_(block), input_(input) {}

  Result<Int8Rows> Get(const Linear& weight) {
    if (weight.permutation.empty()) {
      QNEXT_CHECK(input_.codes.codes != nullptr, "the stage before has given the codes");
      return input_.codes;
    }
    for (int i = 0; i < used_; ++i) {
      if (orders_[static_cast<size_t>(i)] == weight.permutation.data()) return Rows(i, weight);
    }
    QNEXT_CHECK(used_ < kMaxInputOrders, "no more orders than linears");
    orders_[static_cast<size_t>(used_)] = weight.permutation.data();
    const Int8Rows rows = Rows(used_++, weight);
    QNEXT_RETURN_IF_ERROR(block_.Run(StepKernel::kOrderInputs, 0, LaunchQuantize,
                                     {.x = input_.x,
                                      .permutation = weight.permutation.data(),
                                      .out = rows,
                                      .m = block_.m,
                                      .in = weight.in,
                                      .x_stride = input_.width}));
    return rows;
  }

 private:
  // The buffer is made for the widest input; rows stand as close as this one's.
  Int8Rows Rows(int i, const Linear& weight) const {
    Int8Rows rows = block_.ws.ordered[i];
    rows.in_padded = weight.int4.layout.in_padded();
    return rows;
  }

  const GpuBlock& block_;
  const GpuInput& input_;
  std::array<const int32_t*, kMaxInputOrders> orders_ = {};
  int used_ = 0;
};

}  // namespace

std::string_view StepKernelName(StepKernel kernel) {
  constexpr std::array<std::string_view, kStepKernels> kNames = {
      "slot map",         "embedding",       "rope table",    "listed experts",   "norms",
      "order inputs",     "DeltaNet inputs", "DeltaNet rule", "DeltaNet norm",    "DeltaNet output",
      "attention inputs", "keys and values", "attention",     "attention output", "router logits",
      "router",           "fetched experts", "experts",       "CPU's experts",    "MLP inputs",
      "MLP activation",   "MLP output",      "logits",        "sample",           "finish"};
  return kNames[static_cast<size_t>(kernel)];
}

int64_t WeightBytes(const Linear& linear) {
  if (linear.is_int4()) return linear.int4.layout.bytes();
  if (linear.is_int8()) return linear.int8.layout.bytes();
  return linear.in * linear.out * DTypeSize(linear.dtype);
}

InputForms FormsFor(std::initializer_list<const Linear*> linears) {
  InputForms forms;
  for (const Linear* linear : linears) {
    const bool plain_codes = linear->is_int8() || (linear->is_int4() && linear->permutation.empty());
    (plain_codes ? forms.codes : forms.floats) = true;
  }
  return forms;
}

Status RunProducts(const GpuBlock& block, StepKernel kernel, const GpuInput& input,
                   std::initializer_list<GpuProduct> products) {
  QNEXT_CHECK(products.size() <= kMaxParts, "what one launch takes");
  OrderedInputs ordered(block, input);
  Int4ProductsArgs int4 = {.parts = {}, .count = 0, .m = block.m};
  Int8ProductsArgs int8 = {.parts = {}, .count = 0, .m = block.m};
  DenseProductsArgs dense = {.parts = {}, .count = 0, .m = block.m};
  int64_t int4_bytes = 0, int8_bytes = 0, dense_bytes = 0;
  for (const GpuProduct& product : products) {
    const Linear& weight = *product.weight;
    if (weight.is_int4()) {
      QNEXT_ASSIGN_OR_RETURN(const Int8Rows x, ordered.Get(weight));
      int4.parts[int4.count++] = {.weight = weight.int4, .x = x, .y = product.y, .y_stride = weight.out};
      int4_bytes += WeightBytes(weight);
    } else if (weight.is_int8()) {
      QNEXT_ASSIGN_OR_RETURN(const Int8Rows x, ordered.Get(weight));
      int8.parts[int8.count++] = {.weight = weight.int8, .x = x, .y = product.y, .y_stride = weight.out};
      int8_bytes += WeightBytes(weight);
    } else {
      QNEXT_CHECK(input.x != nullptr, "the stage before has given floats");
      dense.parts[dense.count++] = {.weight = weight.dense,
                                    .dtype = weight.dtype,
                                    .x = input.x,
                                    .y = product.y,
                                    .in = weight.in,
                                    .out = weight.out,
                                    .x_stride = input.width,
                                    .y_stride = weight.out};
      dense_bytes += WeightBytes(weight);
    }
  }
  if (int4.count > 0) QNEXT_RETURN_IF_ERROR(block.Run(kernel, int4_bytes, LaunchInt4Products, int4));
  if (int8.count > 0) QNEXT_RETURN_IF_ERROR(block.Run(kernel, int8_bytes, LaunchInt8Products, int8));
  if (dense.count > 0) QNEXT_RETURN_IF_ERROR(block.Run(kernel, dense_bytes, LaunchDenseProducts, dense));
  return Status();
}

}  // namespace qnext::cuda
