// Norm and rotary embedding of queries and keys; keys and values into the cache.
#include "hw/cuda/cuda_status.h"
#include "kernels/cuda/attention.h"
#include "kernels/cuda/kv_page_shape.h"
#include "kernels/cuda/kv_store.cuh"

namespace qnext::cuda {
namespace {

constexpr int kWarps = 4;  // heads of a block
constexpr int kMostDims = 256;
constexpr int kQuads = kMostDims / 4 / 32;  // of a lane
constexpr unsigned kAllLanes = 0xffffffffu;

__device__ inline float WarpSum(float x) {
#pragma unroll
  for (int step = 16; step > 0; step /= 2) x += __shfl_xor_sync(kAllLanes, x, step);
  return x;
}

__device__ inline bool Finite(float x) { return fabsf(x) < __int_as_float(0x7f800000); }

// A warp takes one head of one row: queries first, then keys, then values. x is the lane's quads of it.
__global__ void __launch_bounds__(kWarps * 32) QkvPrepare(const QkvPrepareArgs args, const KvPageShape page) {
  __shared__ float normed[kWarps][kMostDims];
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const int64_t kv_heads = args.kv.layout.kv_heads, heads = args.query_heads + 2 * kv_heads;
  const int64_t item = static_cast<int64_t>(blockIdx.x) * kWarps + warp;
  if (item >= args.m * heads) return;
  const int64_t row = item / heads, head = item % heads;
  const int head_dim = static_cast<int>(args.kv.layout.head_dim), half = static_cast<int>(args.rotary_dims / 2);
  const bool is_query = head < args.query_heads, is_value = head >= args.query_heads + kv_heads;
  const int64_t kv_head = is_query ? 0 : (head - args.query_heads) % kv_heads;
  const float* from = is_query   ? args.query_gate + (row * args.query_heads + head) * 2 * head_dim
                      : is_value ? args.value + (row * kv_heads + kv_head) * head_dim
                                 : args.key + (row * kv_heads + kv_head) * head_dim;

  float4 x[kQuads];
#pragma unroll
  for (int j = 0; j < kQuads; ++j) {
    const int dim = (j * 32 + lane) * 4;
    x[j] = dim < head_dim ? *reinterpret_cast<const float4*>(from + dim) : make_float4(0, 0, 0, 0);
  }

  if (!is_value) {
    const float* weight = is_query ? args.q_norm : args.k_norm;
    float squares = 0;
#pragma unroll
    for (int j = 0; j < kQuads; ++j) {
      squares += (x[j].x * x[j].x + x[j].y * x[j].y) + (x[j].z * x[j].z + x[j].w * x[j].w);
    }
    const float inverse = 1.0f / sqrtf(WarpSum(squares) / static_cast<float>(head_dim) + args.eps);
#pragma unroll
    for (int j = 0; j < kQuads; ++j) {
      const int dim = (j * 32 + lane) * 4;
      if (dim >= head_dim) continue;
      const float4 w = *reinterpret_cast<const float4*>(weight + dim);
      x[j].x = x[j].x * inverse * (1.0f + w.x), x[j].y = x[j].y * inverse * (1.0f + w.y);
      x[j].z = x[j].z * inverse * (1.0f + w.z), x[j].w = x[j].w * inverse * (1.0f + w.w);
      *reinterpret_cast<float4*>(&normed[warp][dim]) = x[j];
    }
    __syncwarp();
    // Dims i and i + half turn together; each is computed by the lane that holds it.
    const float* cosines = args.cos + row * half;
    const float* sines = args.sin + row * half;
#pragma unroll
    for (int j = 0; j < kQuads; ++j) {
      const int dim = (j * 32 + lane) * 4;
      float turned[4] = {x[j].x, x[j].y, x[j].z, x[j].w};
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int d = dim + i;
        if (d < half) {
          turned[i] = turned[i] * cosines[d] - normed[warp][d + half] * sines[d];
        } else if (d < 2 * half) {
          turned[i] = turned[i] * cosines[d - half] + normed[warp][d - half] * sines[d - half];
        }
      }
      x[j] = make_float4(turned[0], turned[1], turned[2], turned[3]);
    }
  }

  if (is_query) {
    float* out = args.query + (row * args.query_heads + head) * head_dim;
#pragma unroll
    for (int j = 0; j < kQuads; ++j) {
      const int dim = (j * 32 + lane) * 4;
      if (dim < head_dim) *reinterpret_cast<float4*>(out + dim) = x[j];
    }
    return;
  }

  const int position = args.positions[row];
  const int32_t page_index =
      args.kv.page_table[args.slots[row] * args.kv.max_pages + position / static_cast<int>(kKvPageTokens)];
  std::byte* page_at = args.kv.pool + page_index * page.page_bytes;
  const int in_head = position % static_cast<int>(kKvPageTokens);
  std::byte* out = page_at + (is_value ? page.values : 0) + kv_head * page.head_bytes + in_head * page.row_bytes;
  float scale = 0;
  if (args.kv.layout.type == KvType::kInt8) {
    float largest = 0;
#pragma unroll
    for (int j = 0; j < kQuads; ++j) {
      const bool finite = Finite(x[j].x) && Finite(x[j].y) && Finite(x[j].z) && Finite(x[j].w);
      const float of_quad = fmaxf(fmaxf(fabsf(x[j].x), fabsf(x[j].y)), fmaxf(fabsf(x[j].z), fabsf(x[j].w)));
      largest = fmaxf(largest, finite ? of_quad : __int_as_float(0x7f800000));
    }
    scale = Int8RowScale(largest);
    if (lane == 0) {
      std::byte* scales = page_at + (is_value ? page.value_scales : page.key_scales);
      reinterpret_cast<float*>(scales)[kv_head * kKvPageTokens + in_head] = scale;
    }
  }
#pragma unroll
  for (int j = 0; j < kQuads; ++j) {
    const int dim = (j * 32 + lane) * 4;
    if (dim < head_dim) StoreKvQuad(out, args.kv.layout.type, dim, x[j], scale);
  }
}

}  // namespace

Status LaunchQkvPrepare(const QkvPrepareArgs& args, Stream stream) {
  const KvLayout& layout = args.kv.layout;
  if (layout.head_dim <= 0 || layout.head_dim > kMostDims || layout.head_dim % 32 != 0) {
    return Unsupported("qkv_prepare: head dims are multiples of 32 up to 256");
  }
  if (args.rotary_dims < 0 || args.rotary_dims % 2 != 0 || args.rotary_dims > layout.head_dim) {
    return InvalidArgument("qkv_prepare: rotary dims must be even and within the head");
  }
  const void* const rows[] = {args.query_gate, args.key,   args.value,  args.q_norm,
                              args.k_norm,     args.query, args.kv.pool};
  for (const void* p : rows) {
    if (reinterpret_cast<uintptr_t>(p) % 16 != 0)
      return InvalidArgument("qkv_prepare: rows must be aligned to 16 bytes");
  }
  if (args.m == 0) return Status();
  const int64_t blocks = CeilDiv(args.m * (args.query_heads + 2 * layout.kv_heads), kWarps);
  QkvPrepare<<<static_cast<unsigned>(blocks), kWarps * 32, 0, stream>>>(args, KvPageShape(layout));
  return LaunchStatus("qkv_prepare");
}

}  // namespace qnext::cuda
