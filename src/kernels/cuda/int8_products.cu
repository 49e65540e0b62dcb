// LaunchInt8Products: checks, and the matrix-vector kernel (the matrix-matrix one: int8_products_gemm.cu).
#include "kernels/cuda/quantized_gemv.cuh"

namespace qnext::cuda {
namespace {

constexpr char kName[] = "int8_products";

Result<QuantizedPart> MakePart(const Int8Part& part, int64_t m) {
  const Int8Layout& layout = part.weight.layout;
  if (!AlignedTo(part.weight.data, 64)) return InvalidArgument("weights are not 64-byte aligned");
  if (m > 1 && part.y_stride < layout.out) return InvalidArgument("rows of y overlap");
  QuantizedPart made = {};
  QNEXT_ASSIGN_OR_RETURN(made.shape, MakeTileShape(layout.out, layout.in_padded(), kInt8GroupInputs, false));
  QNEXT_ASSIGN_OR_RETURN(made.x, MakeInputs(part.x, made.shape, false));
  const uint8_t* base = reinterpret_cast<const uint8_t*>(part.weight.data);
  made.planes = {base, base + layout.scales_offset(), nullptr};
  made.y = part.y;
  made.y_stride = part.y_stride;
  return made;
}

}  // namespace

Status LaunchInt8Products(const Int8ProductsArgs& args, Stream stream) {
  if (args.count < 1 || args.count > kMaxParts || args.m < 1 || args.m > kMostRows) {
    return InvalidArgument("int8_products: no parts or no rows");
  }
  QuantizedPart made[kMaxParts];
  for (int p = 0; p < args.count; ++p) {
    Result<QuantizedPart> part = MakePart(args.parts[p], args.m);
    if (!part.ok()) return part.status().WithContext(kName);
    made[p] = part.value();
  }
  // Parts with as many inputs go in one launch.
  bool launched[kMaxParts] = {};
  for (int first = 0; first < args.count; ++first) {
    if (launched[first]) continue;
    QuantizedGemvArgs alike = {};
    alike.m = static_cast<int32_t>(args.m);
    int count = 0;
    for (int p = first; p < args.count; ++p) {
      if (made[p].shape.runs != made[first].shape.runs) continue;
      alike.parts[count++] = made[p];
      launched[p] = true;
    }
    QNEXT_RETURN_IF_ERROR((args.m <= kMaxDecodeRows
                               ? LaunchQuantizedGemv<Int8Format, true, false>(kName, alike, count, stream)
                               : LaunchInt8Gemm(alike, count, stream)));
  }
  return Status();
}

}  // namespace qnext::cuda
