#include "kernels/kernels.h"
#include "kernels/reference/reference.h"

namespace qnext {

const Kernels& ReferenceKernels() {
  static constexpr Kernels kKernels = {.name = "reference",
                                       .rms_norm = reference::RmsNorm,
                                       .gated_rms_norm = reference::GatedRmsNorm,
                                       .dense_matmul = reference::DenseMatmul,
                                       .gather_rows = reference::GatherRows,
                                       .quantize_rows = reference::QuantizeRows,
                                       .int4_matmul_f32 = reference::Int4MatmulF32,
                                       .int4_matmul_i8 = reference::Int4MatmulI8,
                                       .int8_matmul = reference::Int8Matmul,
                                       .silu_mul = reference::SiluMul,
                                       .conv_silu = reference::ConvSilu,
                                       .delta_gates = reference::DeltaGates,
                                       .delta_recurrent = reference::DeltaRecurrent,
                                       .delta_chunked = reference::DeltaChunked,
                                       .qk_norm_rope = reference::QkNormRope,
                                       .kv_append = reference::KvAppend,
                                       .attention = reference::Attention,
                                       .attention_combine = reference::AttentionCombine,
                                       .router = reference::Router,
                                       .combine_experts = reference::CombineExperts};
  return kKernels;
}

}  // namespace qnext
