#include "quant/gptq.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "quant/random_gptq.h"

namespace qnext {
namespace {

// The tensors of a layer [8, 8] with one group, zero except for what a test sets.
struct OneGroup {
  std::vector<int32_t> qweight = std::vector<int32_t>(8), qzeros = std::vector<int32_t>(1);
  std::vector<uint16_t> scales = std::vector<uint16_t>(8);

  GptqTensors View(GptqFormat format, DType scale_dtype) const {
    GptqTensors tensors;
    tensors.in = tensors.out = 8;
    tensors.groups = 1;
    tensors.qweight = qweight;
    tensors.qzeros = qzeros;
    tensors.scales = scales;
    tensors.scale_dtype = scale_dtype;
    tensors.format = format;
    return tensors;
  }
};

TEST(Gptq, AHandMadeLayer) {
  OneGroup layer;
  layer.qweight[3] = static_cast<int32_t>(0xf0000021u);  // row 3: input 0 has code 1, input 1 code 2, input 7 code 15
  layer.qzeros[0] = 0x00005000;                          // row 3 stores 5
  layer.scales[3] = FloatToF16(0.5f);
  const GptqTensors v1 = layer.View(GptqFormat::kV1, DType::kF16);
  ASSERT_TRUE(ValidateGptq(v1).ok()) << ValidateGptq(v1).message();
  EXPECT_EQ(v1.Code(3, 0), 1);
  EXPECT_EQ(v1.Code(3, 1), 2);
  EXPECT_EQ(v1.Code(3, 7), 15);
  EXPECT_EQ(v1.Code(2, 0), 0);
  EXPECT_EQ(v1.Zero(3, 0), 6);
  const std::vector<float> weights = DequantizeGptq(v1);
  EXPECT_EQ(weights[3 * 8 + 0], 0.5f * (1 - 6));
  EXPECT_EQ(weights[3 * 8 + 7], 0.5f * (15 - 6));

  layer.scales[3] = FloatToBF16(0.25f);
  const GptqTensors v2 = layer.View(GptqFormat::kV2, DType::kBF16);
  EXPECT_EQ(v2.Zero(3, 0), 5);
  EXPECT_EQ(DequantizeGptq(v2)[3 * 8 + 7], 0.25f * (15 - 5));
}

TEST(Gptq, AStored15OfTheFirstFormatIsZeroPoint0) {
  OneGroup layer;
  layer.qzeros[0] = 0x0000000f;
  EXPECT_EQ(layer.View(GptqFormat::kV1, DType::kF16).Zero(0, 0), 0);
  EXPECT_EQ(layer.View(GptqFormat::kV2, DType::kF16).Zero(0, 0), 15);
}

TEST(Gptq, FindsTheGroupSize) {
  for (const bool with_g_idx : {false, true}) {
    for (const int64_t in : {32, 72, 128, 200, 512, 2048, 4096}) {
      for (const int64_t group_size : {32, 64, 128, -1}) {
        RandomGptqOptions options;
        options.in = in;
        options.group_size = group_size;
        options.with_g_idx = with_g_idx;
        const RandomGptq gptq(options);
        const int64_t expected = group_size < 0 || group_size > in ? in : group_size;
        EXPECT_EQ(gptq.tensors.group_size(), expected) << options.ToString();
        EXPECT_TRUE(ValidateGptq(gptq.tensors).ok()) << options.ToString();
        EXPECT_EQ(gptq.tensors.Group(in - 1), (in - 1) / expected) << options.ToString();
      }
    }
  }
}

Status ValidateWith(RandomGptq& gptq) { return ValidateGptq(gptq.tensors); }

RandomGptqOptions Grouped() {
  RandomGptqOptions options;
  options.in = 128;
  options.group_size = 64;
  return options;
}

TEST(Gptq, RefusesWrongSizes) {
  const auto expect_corrupt = [](auto change, const char* field) {
    RandomGptq gptq(Grouped());
    change(gptq);
    const Status status = ValidateWith(gptq);
    EXPECT_EQ(status.code(), StatusCode::kCorrupt) << field;
    EXPECT_EQ(status.message().find(field), 0u) << status.message();
  };
  expect_corrupt([](RandomGptq& g) { g.tensors.qweight = g.tensors.qweight.first(10); }, "qweight: 10 elements");
  expect_corrupt([](RandomGptq& g) { g.tensors.qzeros = {}; }, "qzeros: 0 elements");
  expect_corrupt([](RandomGptq& g) { g.tensors.scales = g.tensors.scales.subspan(1); }, "scales: 31 elements");
  expect_corrupt([](RandomGptq& g) { g.tensors.g_idx = g.tensors.g_idx.subspan(1); }, "g_idx: 127 elements");
  expect_corrupt([](RandomGptq& g) { g.tensors.in = 100; }, "qweight: 100 inputs");
  expect_corrupt([](RandomGptq& g) { g.tensors.in = 0; }, "qweight: 0 inputs");
  expect_corrupt([](RandomGptq& g) { g.tensors.in = int64_t{1} << 60; }, "qweight: ");
  expect_corrupt([](RandomGptq& g) { g.tensors.out = 12; }, "qweight: 12 outputs");
  expect_corrupt([](RandomGptq& g) { g.tensors.out = -8; }, "qweight: -8 outputs");
  expect_corrupt([](RandomGptq& g) { g.tensors.groups = 0; }, "scales: 0 groups");
}

TEST(Gptq, RefusesGroupsThatAreOutOfRangeOrUneven) {
  RandomGptq gptq(Grouped());
  gptq.g_idx[5] = 2;
  EXPECT_EQ(ValidateWith(gptq).message(), "g_idx: input 5 is in group 2 of 2");
  gptq.g_idx[5] = -1;
  EXPECT_EQ(ValidateWith(gptq).message(), "g_idx: input 5 is in group -1 of 2");
  gptq.g_idx[5] = 1;  // 63 and 65
  EXPECT_EQ(ValidateWith(gptq).code(), StatusCode::kCorrupt);
  for (int32_t& group : gptq.g_idx) group = 1;  // group 0 empty
  EXPECT_EQ(ValidateWith(gptq).code(), StatusCode::kCorrupt);

  RandomGptqOptions three = Grouped();
  three.in = 192;
  RandomGptq shifted(three);
  std::swap(shifted.g_idx[0], shifted.g_idx[191]);
  EXPECT_TRUE(ValidateWith(shifted).ok());
  shifted.g_idx[70] = 2;  // 64, 63, 65
  EXPECT_EQ(ValidateWith(shifted).message(), "g_idx: group 1 has 63 inputs, expected 64");
}

TEST(Gptq, RefusesScalesThatAreNotFinite) {
  for (const float bad : {std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity(),
                          std::numeric_limits<float>::quiet_NaN()}) {
    for (const DType dtype : {DType::kF16, DType::kBF16}) {
      RandomGptqOptions options = Grouped();
      options.scale_dtype = dtype;
      RandomGptq gptq(options);
      gptq.scales[17] = dtype == DType::kF16 ? FloatToF16(bad) : FloatToBF16(bad);
      EXPECT_EQ(ValidateWith(gptq).message(), "scales: not finite at group 1, output 1");
    }
  }
  RandomGptq gptq(Grouped());
  gptq.tensors.scale_dtype = DType::kF32;
  EXPECT_EQ(ValidateWith(gptq).code(), StatusCode::kUnsupported);
}

TEST(Gptq, RefusesGroupSizesThatTheLayoutCannotHold) {
  RandomGptqOptions options = Grouped();
  options.group_size = 16;
  RandomGptq gptq(options);
  EXPECT_EQ(ValidateWith(gptq).code(), StatusCode::kUnsupported);
}

}  // namespace
}  // namespace qnext
