#include "quant/int4_matrix.h"

#include <gtest/gtest.h>

#include <bit>
#include <cstring>

#include "base/aligned_buffer.h"
#include "quant/random_gptq.h"

namespace qnext {
namespace {

struct Packed {
  Packed(const GptqTensors& tensors, std::span<const int32_t> rows)
      : layout(Int4LayoutFor(tensors)), inputs(Int4InputPermutation(tensors)), bytes(layout.bytes()) {
    std::memset(bytes.data(), 0xcd, static_cast<size_t>(bytes.size()));  // PackInt4 must write every byte
    PackInt4(tensors, layout, inputs, rows, bytes.data());
  }

  Int4Matrix matrix() const { return {layout, bytes.data()}; }

  Int4Layout layout;
  std::vector<int32_t> inputs;
  AlignedBuffer<std::byte> bytes;
};

std::vector<int32_t> Shuffled(int64_t size, uint64_t seed) {
  std::vector<int32_t> order(static_cast<size_t>(size));
  std::iota(order.begin(), order.end(), 0);
  std::mt19937_64 random(seed);
  std::shuffle(order.begin(), order.end(), random);
  return order;
}

// The packed weights equal the plain ones bit for bit, in the permuted order.
void ExpectPackedEqualsPlain(const RandomGptqOptions& options, bool permute_rows) {
  SCOPED_TRACE(options.ToString() + (permute_rows ? " rows permuted" : ""));
  const RandomGptq gptq(options);
  ASSERT_TRUE(ValidateGptq(gptq.tensors).ok()) << ValidateGptq(gptq.tensors).message();
  const std::vector<int32_t> rows = permute_rows ? Shuffled(options.out, options.seed) : std::vector<int32_t>();
  const Packed packed(gptq.tensors, rows);
  EXPECT_EQ(packed.layout.has_zeros, !options.symmetric);
  const std::vector<float> plain = DequantizeGptq(gptq.tensors);
  const std::vector<float> actual = DequantizeInt4(packed.matrix());
  ASSERT_EQ(actual.size(), plain.size());
  for (int64_t r = 0; r < options.out; ++r) {
    const int64_t row = permute_rows ? rows[static_cast<size_t>(r)] : r;
    for (int64_t p = 0; p < options.in; ++p) {
      const int64_t input = packed.inputs.empty() ? p : packed.inputs[static_cast<size_t>(p)];
      const float expected = plain[static_cast<size_t>(row * options.in + input)];
      const float found = actual[static_cast<size_t>(r * options.in + p)];
      ASSERT_EQ(std::bit_cast<uint32_t>(found), std::bit_cast<uint32_t>(expected)) << "row " << r << ", position " << p;
    }
  }
}

TEST(Int4Matrix, PackedEqualsPlainForEveryFormat) {
  uint64_t seed = 1;
  for (const int64_t in : {8, 40, 64, 200, 256}) {
    for (const int64_t out : {8, 16, 24, 64}) {
      for (const int64_t group_size : {32, 64, 128, -1}) {
        for (const bool symmetric : {true, false}) {
          for (const bool act_order : {false, true}) {
            for (const bool permute_rows : {false, true}) {
              for (const GptqFormat format : {GptqFormat::kV1, GptqFormat::kV2}) {
                for (const DType dtype : {DType::kF16, DType::kBF16}) {
                  RandomGptqOptions options;
                  options.in = in;
                  options.out = out;
                  options.group_size = group_size;
                  options.symmetric = symmetric;
                  options.act_order = act_order;
                  options.format = format;
                  options.scale_dtype = dtype;
                  options.seed = seed++;
                  ExpectPackedEqualsPlain(options, permute_rows);
                  if (HasFatalFailure()) return;
                }
              }
            }
          }
        }
      }
    }
  }
}

TEST(Int4Matrix, WithoutGroupIndices) {
  RandomGptqOptions options;
  options.in = 200;
  options.out = 40;
  options.group_size = 64;
  options.with_g_idx = false;
  ExpectPackedEqualsPlain(options, /*permute_rows=*/false);
}

TEST(Int4Matrix, RealShapes) {
  RandomGptqOptions options;
  options.group_size = 128;
  options.in = 2048, options.out = 512;
  ExpectPackedEqualsPlain(options, /*permute_rows=*/true);
  options.in = 512, options.out = 2048, options.act_order = true, options.symmetric = false;
  ExpectPackedEqualsPlain(options, /*permute_rows=*/false);
}

TEST(Int4Matrix, AStored15OfTheFirstFormatPacksAsZeroPoint0) {
  RandomGptqOptions options;
  options.out = 16;
  RandomGptq gptq(options);
  for (int32_t& word : gptq.qzeros) word = -1;
  const Packed packed(gptq.tensors, {});
  ASSERT_TRUE(packed.layout.has_zeros);
  for (int64_t i = 0; i < packed.layout.groups() * 16; ++i) EXPECT_EQ(packed.matrix().zeros(0)[i], 0);
  EXPECT_EQ(DequantizeInt4(packed.matrix()), DequantizeGptq(gptq.tensors));
}

// The byte table itself, so that a change of layout cannot hide behind a matching change of DequantizeInt4.
TEST(Int4Matrix, BytesStandWhereTheTableSays) {
  RandomGptqOptions options;
  options.in = 40;
  options.out = 24;
  options.group_size = 32;
  options.symmetric = false;
  const RandomGptq gptq(options);
  const Packed packed(gptq.tensors, {});
  EXPECT_EQ(packed.layout.in_padded(), 64);
  EXPECT_EQ(packed.layout.scales_offset(), 2 * 8 * 64);
  EXPECT_EQ(packed.layout.zeros_offset(), 1024 + 128);
  EXPECT_EQ(packed.layout.bytes(), 1024 + 128 + 64);
  const std::byte* data = packed.bytes.data();
  for (int64_t row = 0; row < 24; ++row) {
    for (int64_t i = 0; i < 40; ++i) {
      const int64_t at = row / 16 * 512 + i / 8 * 64 + row % 16 * 4 + i % 4;
      const int byte = std::to_integer<int>(data[at]);
      ASSERT_EQ(i % 8 < 4 ? byte & 15 : byte >> 4, gptq.tensors.Code(row, i)) << row << " " << i;
    }
    for (int64_t group = 0; group < 2; ++group) {
      const int64_t at = (row / 16 * 2 + group) * 16 + row % 16;
      uint16_t bits = 0;
      std::memcpy(&bits, data + 1024 + at * 2, 2);
      EXPECT_EQ(bits, gptq.scales[static_cast<size_t>(group * 24 + row)]);
      EXPECT_EQ(std::to_integer<int>(data[1152 + at]), gptq.tensors.Zero(row, group));
    }
  }
  for (int64_t i = 5 * 64; i < 512; ++i) EXPECT_EQ(data[i], std::byte{0x88}) << "padding inputs, byte " << i;
  for (int64_t b = 0; b < 5; ++b) {
    for (int64_t i = 32; i < 64; ++i) EXPECT_EQ(data[512 + b * 64 + i], std::byte{0x88}) << "padding rows";
  }
  for (int64_t group = 0; group < 2; ++group) {
    for (int64_t r = 8; r < 16; ++r) {
      EXPECT_EQ(packed.matrix().scales(1)[group * 16 + r], 0);
      EXPECT_EQ(packed.matrix().zeros(1)[group * 16 + r], 8);
    }
  }
}

TEST(Int4Matrix, PermutationKeepsTheOrderWithinAGroup) {
  RandomGptqOptions options;
  options.in = 64;
  options.act_order = true;
  const RandomGptq gptq(options);
  const std::vector<int32_t> order = Int4InputPermutation(gptq.tensors);
  ASSERT_EQ(order.size(), 64u);
  for (size_t p = 1; p < order.size(); ++p) {
    if (p == 32) continue;
    EXPECT_LT(order[p - 1], order[p]);
  }
  for (size_t p = 0; p < order.size(); ++p) {
    EXPECT_EQ(gptq.g_idx[static_cast<size_t>(order[p])], static_cast<int32_t>(p / 32));
  }
  options.act_order = false;
  EXPECT_TRUE(Int4InputPermutation(RandomGptq(options).tensors).empty());
}

TEST(Int4Layout, BytesOfThe80BShapes) {
  const auto bytes = [](int64_t in, int64_t out, int64_t group_size, bool zeros = false) {
    Int4Layout layout;
    layout.in = in;
    layout.out = out;
    layout.group_size = group_size;
    layout.has_zeros = zeros;
    return layout.bytes();
  };
  // One expert: gate, up and down.
  EXPECT_EQ(2 * bytes(2048, 512, 128) + bytes(512, 2048, 128), 1622016);
  EXPECT_EQ(2 * bytes(2048, 512, 32) + bytes(512, 2048, 32), 1769472);
  EXPECT_EQ(2 * bytes(2048, 512, 128, true) + bytes(512, 2048, 128, true), 1622016 + 24576);
  EXPECT_EQ(bytes(2048, 12288, 128), 12288 * 1024 + 12288 * 16 * 2);
  EXPECT_EQ(bytes(4096, 2048, 128), 2048 * 2048 + 2048 * 32 * 2);
  // One group over all inputs; padding of both extents.
  EXPECT_EQ(bytes(72, 8, 96), 96 / 8 * 64 + 64);
}

}  // namespace
}  // namespace qnext
