#include "kernels/cpu/cpu_kernels.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/check.h"
#include "kernels/cpu/float_ops.h"
#include "kernels/cpu/isa_ops.h"

namespace qnext {
namespace {

static_assert(kDenseJobRows == kDenseBlockRows && kInt4TileRows == 16 && kInt4BlockInputs == 32 &&
              kInt8JobGroupRuns * kInt4BlockInputs == kInt8GroupInputs);

struct IsaInfo {
  CpuIsa isa;
  std::string_view name;
  bool (*supported)(const CpuFeatures& features);
};

// The best first.
constexpr std::array<IsaInfo, 4> kIsas = {{
    {CpuIsa::kAvx512Vnni, "avx512-vnni", [](const CpuFeatures& f) { return f.avx512_vnni; }},
    {CpuIsa::kAvxVnni, "avx-vnni", [](const CpuFeatures& f) { return f.avx_vnni; }},
    {CpuIsa::kAvx2, "avx2", [](const CpuFeatures& f) { return f.avx2; }},
    {CpuIsa::kGeneric, "generic", [](const CpuFeatures&) { return true; }},
}};

const IsaInfo& Info(CpuIsa isa) {
  const auto* found = std::find_if(kIsas.begin(), kIsas.end(), [isa](const IsaInfo& info) { return info.isa == isa; });
  QNEXT_CHECK(found != kIsas.end(), "not an ISA");
  return *found;
}

Int4Weight WeightOf(const Int4Matrix& matrix) {
  const Int4Layout& layout = matrix.layout;
  return {.codes = matrix.codes(0),
          .scales = matrix.scales(0),
          .zeros = layout.has_zeros ? matrix.zeros(0) : nullptr,
          .out = layout.out,
          .runs = layout.in_padded() / kInt4BlockInputs,
          .runs_per_group = layout.group_size / kInt4BlockInputs,
          .groups = layout.groups(),
          .bf16_scales = layout.scale_dtype == DType::kBF16};
}

DenseType DenseTypeOf(DType dtype) {
  QNEXT_CHECK(IsFloat16Or32(dtype), "dense weights are F32, F16 or BF16");
  return dtype == DType::kF32 ? DenseType::kF32 : dtype == DType::kF16 ? DenseType::kF16 : DenseType::kBF16;
}

template <void (*kRun)(const QuantizeJob&, int64_t, int64_t)>
void QuantizeRows(const QuantizeRowsArgs& args, Range rows) {
  const QuantizeJob job = {.x = args.x,
                           .permutation = args.permutation,
                           .codes = args.out.codes,
                           .scales = args.out.scales,
                           .sums = args.out.sums,
                           .in = args.in,
                           .runs = args.out.in_padded / kInt4BlockInputs,
                           .x_stride = args.x_stride};
  kRun(job, rows.begin, rows.end);
}

template <void (*kRun)(const Int4I8Job&, int64_t, int64_t)>
void Int4MatmulI8(const Int4MatmulI8Args& args, Range tiles) {
  const Int4I8Job job = {.weight = WeightOf(args.weight),
                         .codes = args.x.codes,
                         .scales = args.x.scales,
                         .sums = args.x.sums,
                         .y = args.y,
                         .m = args.m,
                         .y_stride = args.y_stride,
                         .next = args.next};
  kRun(job, tiles.begin, tiles.end);
}

template <void (*kRun)(const Int8Job&, int64_t, int64_t)>
void Int8Matmul(const Int8MatmulArgs& args, Range tiles) {
  const Int8Job job = {.weight = args.weight.codes(0),
                       .weight_scales = args.weight.scales(0),
                       .codes = args.x.codes,
                       .scales = args.x.scales,
                       .sums = args.x.sums,
                       .y = args.y,
                       .m = args.m,
                       .out = args.weight.layout.out,
                       .runs = args.x.in_padded / kInt4BlockInputs,
                       .y_stride = args.y_stride};
  kRun(job, tiles.begin, tiles.end);
}

template <void (*kRun)(const Int4F32Job&, int64_t, int64_t)>
void Int4MatmulF32(const Int4MatmulF32Args& args, Range tiles) {
  const Int4F32Job job = {.weight = WeightOf(args.weight),
                          .x = args.x,
                          .y = args.y,
                          .m = args.m,
                          .x_stride = args.x_stride,
                          .y_stride = args.y_stride};
  kRun(job, tiles.begin, tiles.end);
}

template <void (*kRun)(const DenseJob&, int64_t, int64_t)>
void DenseMatmul(const DenseMatmulArgs& args, Range blocks) {
  const DenseJob job = {.x = args.x,
                        .weight = args.weight,
                        .y = args.y,
                        .m = args.m,
                        .in = args.in,
                        .out = args.out,
                        .x_stride = args.x_stride,
                        .y_stride = args.y_stride,
                        .type = DenseTypeOf(args.dtype)};
  kRun(job, blocks.begin, blocks.end);
}

// Bound by memory, and the gather by scattered loads, on every ISA alike.
void GatherRows(const GatherRowsArgs& args, Range rows) {
  for (int64_t row = rows.begin; row < rows.end; ++row) {
    const float* x = args.x + row * args.x_stride;
    float* out = args.out + row * args.in_padded;
    if (args.permutation == nullptr) {
      std::copy(x, x + args.in, out);
    } else {
      for (int64_t p = 0; p < args.in; ++p) out[p] = x[args.permutation[p]];
    }
    std::fill(out + args.in, out + args.in_padded, 0.0f);
  }
}

Kernels GenericTable() {
  Kernels kernels = {};
  SetFloatOpsGeneric(&kernels);
  kernels.name = "generic";
  kernels.gather_rows = GatherRows;
  kernels.quantize_rows = QuantizeRows<isa_generic::QuantizeRows>;
  kernels.int4_matmul_i8 = Int4MatmulI8<isa_generic::Int4MatmulI8>;
  kernels.int8_matmul = Int8Matmul<isa_generic::Int8Matmul>;
  kernels.int4_matmul_f32 = Int4MatmulF32<isa_generic::Int4MatmulF32>;
  kernels.dense_matmul = DenseMatmul<isa_generic::DenseMatmul>;
  return kernels;
}

#if defined(__x86_64__)
Kernels Avx2Table() {
  Kernels kernels = {};
  SetFloatOpsAvx2(&kernels);
  kernels.name = "avx2";
  kernels.gather_rows = GatherRows;
  kernels.quantize_rows = QuantizeRows<isa_avx2::QuantizeRows>;
  kernels.int4_matmul_i8 = Int4MatmulI8<isa_avx2::Int4MatmulI8>;
  kernels.int8_matmul = Int8Matmul<isa_avx2::Int8Matmul>;
  kernels.int4_matmul_f32 = Int4MatmulF32<isa_avx2::Int4MatmulF32>;
  kernels.dense_matmul = DenseMatmul<isa_avx2::DenseMatmul>;
  return kernels;
}

// Differs from AVX2 in the products with int8 activations only.
Kernels AvxVnniTable() {
  Kernels kernels = Avx2Table();
  kernels.name = "avx-vnni";
  kernels.int4_matmul_i8 = Int4MatmulI8<isa_avx_vnni::Int4MatmulI8>;
  kernels.int8_matmul = Int8Matmul<isa_avx_vnni::Int8Matmul>;
  return kernels;
}

Kernels Avx512VnniTable() {
  Kernels kernels = {};
  SetFloatOpsAvx512(&kernels);
  kernels.name = "avx512-vnni";
  kernels.gather_rows = GatherRows;
  kernels.quantize_rows = QuantizeRows<isa_avx512_vnni::QuantizeRows>;
  kernels.int4_matmul_i8 = Int4MatmulI8<isa_avx512_vnni::Int4MatmulI8>;
  kernels.int8_matmul = Int8Matmul<isa_avx512_vnni::Int8Matmul>;
  kernels.int4_matmul_f32 = Int4MatmulF32<isa_avx512_vnni::Int4MatmulF32>;
  kernels.dense_matmul = DenseMatmul<isa_avx512_vnni::DenseMatmul>;
  return kernels;
}
#endif

}  // namespace

std::string_view CpuIsaName(CpuIsa isa) { return Info(isa).name; }

std::optional<CpuIsa> ParseCpuIsa(std::string_view name) {
  for (const IsaInfo& info : kIsas) {
    if (info.name == name) return info.isa;
  }
  return std::nullopt;
}

bool CpuIsaSupported(CpuIsa isa, const CpuFeatures& features) { return Info(isa).supported(features); }

std::vector<CpuIsa> SupportedCpuIsas(const CpuFeatures& features) {
  std::vector<CpuIsa> supported;
  for (const IsaInfo& info : kIsas) {
    if (info.supported(features)) supported.push_back(info.isa);
  }
  return supported;
}

const Kernels& CpuKernels(CpuIsa isa) {
  // Each table is built when it is first asked for: what fills it may itself need the instruction set.
  switch (isa) {
    case CpuIsa::kGeneric: {
      static const Kernels generic = GenericTable();
      return generic;
    }
#if defined(__x86_64__)
    case CpuIsa::kAvx2: {
      static const Kernels avx2 = Avx2Table();
      return avx2;
    }
    case CpuIsa::kAvxVnni: {
      static const Kernels avx_vnni = AvxVnniTable();
      return avx_vnni;
    }
    case CpuIsa::kAvx512Vnni: {
      static const Kernels avx512_vnni = Avx512VnniTable();
      return avx512_vnni;
    }
#else
    default:
      break;
#endif
  }
  CheckFailed(__FILE__, __LINE__, "isa", "this build has no such path");
}

Result<const Kernels*> FirstThatPasses(std::span<const Kernels* const> paths, std::vector<std::string>* warnings) {
  Status last;
  for (const Kernels* path : paths) {
    last = KnownAnswerTest(*path);
    if (last.ok()) return path;
    if (warnings != nullptr) warnings->push_back(last.message() + "; a slower path is used");
  }
  return last;
}

Result<const Kernels*> SelectCpuKernels(const CpuFeatures& features, std::optional<CpuIsa> wanted,
                                        std::vector<std::string>* warnings) {
  if (wanted) {
    if (!CpuIsaSupported(*wanted, features)) {
      return Unsupported(fmt::format("CPU kernels {}: this machine has {}", CpuIsaName(*wanted), features.ToString()));
    }
    QNEXT_RETURN_IF_ERROR(KnownAnswerTest(CpuKernels(*wanted)));
    return &CpuKernels(*wanted);
  }
  std::vector<const Kernels*> paths;
  for (const CpuIsa isa : SupportedCpuIsas(features)) paths.push_back(&CpuKernels(isa));
  return FirstThatPasses(paths, warnings);
}

}  // namespace qnext
