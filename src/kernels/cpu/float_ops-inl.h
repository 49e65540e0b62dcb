// The float ops, written once and compiled once per instruction set: the including file defines QNEXT_FLOAT_OPS_ISA (a
// namespace of its own) and QNEXT_FLOAT_OPS_WIDTH (floats per vector), and its compile flags choose the instructions.
//
// One-definition rule: everything of the parts has internal linkage, and the parts call no inline function that other
// files compile too (nothing of std::, no member functions of the argument structs): the linker would keep one copy of
// such a function, perhaps the one with instructions that this machine lacks.
//
// Order of sums: fixed per row by the op's own sizes and positions, never by the range or by other rows. Products use
// Fma, a fused multiply-add where the instruction set has one; the files are compiled with -ffp-contract=off so that
// nothing else is fused and the tail of a row rounds like its middle.
#include "kernels/cpu/float_ops.h"

// In order: each part uses those above it.
#include "kernels/cpu/float_ops_vec-inl.h"
//
#include "kernels/cpu/float_ops_product-inl.h"
//
#include "kernels/cpu/float_ops_row-inl.h"
//
#include "kernels/cpu/float_ops_conv-inl.h"
//
#include "kernels/cpu/float_ops_moe-inl.h"
//
#include "kernels/cpu/float_ops_delta-inl.h"
//
#include "kernels/cpu/float_ops_kv-inl.h"
//
#include "kernels/cpu/float_ops_attention-inl.h"

namespace qnext::QNEXT_FLOAT_OPS_ISA {
namespace {

void Fill(Kernels* kernels) {
  kernels->rms_norm = RmsNorm;
  kernels->gated_rms_norm = GatedRmsNorm;
  kernels->silu_mul = SiluMul;
  kernels->conv_silu = ConvSilu;
  kernels->delta_gates = DeltaGates;
  kernels->delta_recurrent = DeltaRecurrent;
  kernels->delta_chunked = DeltaChunked;
  kernels->qk_norm_rope = QkNormRope;
  kernels->kv_append = KvAppend;
  kernels->attention = Attention;
  kernels->attention_combine = AttentionCombine;
  kernels->router = Router;
  kernels->combine_experts = CombineExperts;
}

}  // namespace
}  // namespace qnext::QNEXT_FLOAT_OPS_ISA
