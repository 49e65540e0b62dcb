#include "quant/int4_matrix.h"

#include <algorithm>
#include <numeric>

#include "base/check.h"

namespace qnext {

Int4Layout Int4LayoutFor(const GptqTensors& tensors) {
  const int64_t group_size = tensors.group_size();
  QNEXT_CHECK(group_size >= tensors.in || group_size % kInt4BlockInputs == 0, "the tensors were not validated");
  const int32_t all_eight = tensors.format == GptqFormat::kV1 ? 0x77777777 : static_cast<int32_t>(0x88888888u);
  Int4Layout layout;
  layout.out = tensors.out;
  layout.in = tensors.in;
  layout.group_size = group_size >= tensors.in ? layout.in_padded() : group_size;
  layout.has_zeros = !std::all_of(tensors.qzeros.begin(), tensors.qzeros.end(),
                                  [all_eight](int32_t word) { return word == all_eight; });
  layout.scale_dtype = tensors.scale_dtype;
  return layout;
}

std::vector<int32_t> Int4InputPermutation(const GptqTensors& tensors) {
  if (std::is_sorted(tensors.g_idx.begin(), tensors.g_idx.end())) return {};
  std::vector<int32_t> next(static_cast<size_t>(tensors.groups) + 1);  // where the next input of a group goes
  for (const int32_t group : tensors.g_idx) ++next[static_cast<size_t>(group) + 1];
  std::partial_sum(next.begin(), next.end(), next.begin());
  std::vector<int32_t> permutation(tensors.g_idx.size());
  for (size_t i = 0; i < permutation.size(); ++i) {
    const int32_t position = next[static_cast<size_t>(tensors.g_idx[i])]++;
    permutation[static_cast<size_t>(position)] = static_cast<int32_t>(i);
  }
  return permutation;
}

std::vector<float> DequantizeInt4(const Int4Matrix& matrix) {
  const Int4Layout& layout = matrix.layout;
  std::vector<float> weights(static_cast<size_t>(layout.out * layout.in));
  for (int64_t row = 0; row < layout.out; ++row) {
    const int64_t tile = row / kInt4TileRows, r = row % kInt4TileRows;
    for (int64_t i = 0; i < layout.in; ++i) {
      const int64_t at = i / layout.group_size * kInt4TileRows + r;
      const uint8_t pair = matrix.codes(tile)[(i / 8 * kInt4TileRows + r) * 4 + i % 4];
      const int code = i % 8 < 4 ? pair & 15 : pair >> 4;
      const int zero = layout.has_zeros ? matrix.zeros(tile)[at] : 8;
      const uint16_t bits = matrix.scales(tile)[at];
      const float scale = layout.scale_dtype == DType::kF16 ? F16ToFloat(bits) : BF16ToFloat(bits);
      weights[static_cast<size_t>(row * layout.in + i)] = scale * static_cast<float>(code - zero);
    }
  }
  return weights;
}

}  // namespace qnext
