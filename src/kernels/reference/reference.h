// The plain scalar ops, one file each: float64 sums, weights dequantized one by one, loops in the order of the formulas
// of docs/numerics.md. They are what the fast ops are compared with, and are not meant to be fast; unlike the fast ones
// some of them allocate.
#pragma once

#include "kernels/kernels.h"

namespace qnext::reference {

void RmsNorm(const RmsNormArgs& args, Range rows);
void GatedRmsNorm(const GatedRmsNormArgs& args, Range tokens);
void DenseMatmul(const DenseMatmulArgs& args, Range blocks);
void GatherRows(const GatherRowsArgs& args, Range rows);
void QuantizeRows(const QuantizeRowsArgs& args, Range rows);
void Int4MatmulF32(const Int4MatmulF32Args& args, Range tiles);
void Int4MatmulI8(const Int4MatmulI8Args& args, Range tiles);
void Int8Matmul(const Int8MatmulArgs& args, Range tiles);
void SiluMul(const SiluMulArgs& args, Range rows);
void ConvSilu(const ConvSiluArgs& args, Range channels);
void DeltaGates(const DeltaGatesArgs& args, Range tokens);
void DeltaRecurrent(const DeltaArgs& args, Range head_columns);
void DeltaChunked(const DeltaArgs& args, Range heads);
void QkNormRope(const QkNormRopeArgs& args, Range token_heads);
void KvAppend(const KvAppendArgs& args, Range tokens);
void Attention(const AttentionArgs& args, Range items);
void AttentionCombine(const AttentionArgs& args, Range token_heads);
void Router(const RouterArgs& args, Range tokens);
void CombineExperts(const CombineExpertsArgs& args, Range tokens);

}  // namespace qnext::reference
