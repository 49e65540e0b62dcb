// LaunchInt4Products: checks, and the matrix-vector kernels (the matrix-matrix ones: int4_products_gemm.cu).
#include "kernels/cuda/quantized_gemv.cuh"

namespace qnext::cuda {
namespace {

constexpr char kName[] = "int4_products";

Result<QuantizedPart> MakePart(const Int4Part& part, int64_t m) {
  if (!AlignedTo(part.weight.data, 64)) return InvalidArgument("weights are not 64-byte aligned");
  if (m > 1 && part.y_stride < part.weight.layout.out) return InvalidArgument("rows of y overlap");
  QuantizedPart made = {};
  QNEXT_ASSIGN_OR_RETURN(made.shape, Int4TileShape(part.weight.layout));
  QNEXT_ASSIGN_OR_RETURN(made.x, MakeInputs(part.x, made.shape, part.weight.layout.has_zeros));
  made.planes = Int4Planes(part.weight.layout, part.weight.data);
  made.y = part.y;
  made.y_stride = part.y_stride;
  return made;
}

Status LaunchGemv(const QuantizedGemvArgs& args, int count, bool one_group, bool zeros, Stream stream) {
  if (one_group) {
    return zeros ? LaunchQuantizedGemv<Int4Format, true, true>(kName, args, count, stream)
                 : LaunchQuantizedGemv<Int4Format, true, false>(kName, args, count, stream);
  }
  return zeros ? LaunchQuantizedGemv<Int4Format, false, true>(kName, args, count, stream)
               : LaunchQuantizedGemv<Int4Format, false, false>(kName, args, count, stream);
}

}  // namespace

Status LaunchInt4Products(const Int4ProductsArgs& args, Stream stream) {
  if (args.count < 1 || args.count > kMaxParts || args.m < 1 || args.m > kMostRows) {
    return InvalidArgument("int4_products: no parts or no rows");
  }
  QuantizedPart made[kMaxParts];
  for (int p = 0; p < args.count; ++p) {
    Result<QuantizedPart> part = MakePart(args.parts[p], args.m);
    if (!part.ok()) return part.status().WithContext(kName);
    made[p] = part.value();
  }
  // Parts that are alike go in one launch. A part's kernel is chosen by its own format alone, so that its bits do not
  // depend on what it is launched with.
  bool launched[kMaxParts] = {};
  for (int first = 0; first < args.count; ++first) {
    if (launched[first]) continue;
    const bool one_group = ScalesServeQuads(made[first].shape), zeros = args.parts[first].weight.layout.has_zeros;
    QuantizedGemvArgs alike = {};
    alike.m = static_cast<int32_t>(args.m);
    int count = 0;
    for (int p = first; p < args.count; ++p) {
      if (ScalesServeQuads(made[p].shape) != one_group || args.parts[p].weight.layout.has_zeros != zeros ||
          made[p].shape.runs != made[first].shape.runs) {
        continue;
      }
      alike.parts[count++] = made[p];
      launched[p] = true;
    }
    QNEXT_RETURN_IF_ERROR(args.m <= kMaxDecodeRows ? LaunchGemv(alike, count, one_group, zeros, stream)
                                                   : LaunchInt4Gemm(alike, count, one_group, zeros, stream));
  }
  return Status();
}

}  // namespace qnext::cuda
