// The int4 products of the GPU against float64 on equal int8 codes, against themselves in other batches, other launches
// and the other kernel.
#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "compare.h"
#include "kernels/cpu/matmul_problems.h"
#include "kernels/cuda/cuda_test_util.h"
#include "kernels/cuda/product_plan.h"
#include "kernels/cuda/products.h"

namespace qnext::cuda {
namespace {

using cuda_test::DeviceArray;
using cuda_test::DeviceRows;

class CudaInt4Products : public cuda_test::CudaTest {};

// How many roundings a term meets at most: those of its quad and its product with the weight's scale, then one for each
// part of its slice, then one for each slice.
double Roundings(const Int4Layout& layout) {
  const RunSlices slices = SliceRuns(layout.in_padded());
  return 5 + slices.per_slice + slices.count;
}

// A problem and its copy on the device.
class DeviceProblem {
 public:
  DeviceProblem(const RandomGptqOptions& options, int64_t rows)
      : problem_(options, rows),
        quantized_(problem_.Quantize()),
        weight_(
            std::span<const std::byte>(problem_.matrix().data, static_cast<size_t>(problem_.matrix().layout.bytes()))),
        codes_(quantized_.codes),
        scales_(quantized_.scales),
        sums_(quantized_.sums) {}

  const Int4Problem& problem() const { return problem_; }
  Int4Part Part(float* y, int64_t y_stride) {
    return {.weight = {problem_.matrix().layout, weight_.get()},
            .x = {codes_.get(), scales_.get(), sums_.get(), problem_.in_padded()},
            .y = y,
            .y_stride = y_stride};
  }
  // The first m rows, launched alone.
  std::vector<float> Multiply(int64_t m) {
    DeviceRows y(m, problem_.out());
    Int4ProductsArgs args = {.parts = {Part(y.get(), y.stride())}, .count = 1, .m = m};
    EXPECT_TRUE(cuda_test::IsOk(LaunchInt4Products(args, nullptr)));
    EXPECT_TRUE(cuda_test::Synchronized());
    return y.Download();
  }
  std::vector<float> FirstRows(const std::vector<float>& y, int64_t m) const {
    return {y.begin(), y.begin() + m * problem_.out()};
  }

 private:
  Int4Problem problem_;
  Int4Problem::Quantized quantized_;
  DeviceArray<std::byte> weight_;
  DeviceArray<int8_t> codes_;
  DeviceArray<float> scales_;
  DeviceArray<int32_t> sums_;
};

void CheckProblem(const RandomGptqOptions& options, const std::vector<int64_t>& batches) {
  SCOPED_TRACE(options.ToString());
  const int64_t rows = batches.back();
  DeviceProblem device(options, rows);
  const Answer answer = device.problem().ForInt8Activations(Roundings(device.problem().matrix().layout));
  const std::vector<float> all = device.Multiply(rows);
  EXPECT_TRUE(ElementsWithin(all, answer.y, answer.bound)) << "m=" << rows;
  EXPECT_TRUE(BitEqual(device.Multiply(rows), all)) << "a second run";
  for (const int64_t m : batches) EXPECT_TRUE(BitEqual(device.Multiply(m), device.FirstRows(all, m))) << "m=" << m;
}

TEST_F(CudaInt4Products, RaggedShapesOfEveryFormat) {
  uint64_t seed = 0;
  for (const int64_t in : {8, 32, 40, 104, 200, 520, 1000}) {
    for (const int64_t out : {8, 16, 24, 72, 136}) {
      for (const int64_t group_size : {32, 64, 96, 128, -1}) {
        ++seed;
        RandomGptqOptions options;
        options.in = in;
        options.out = out;
        options.group_size = group_size;
        options.symmetric = seed % 2 == 0;
        options.act_order = seed % 3 == 0;
        options.scale_dtype = seed % 5 < 2 ? DType::kBF16 : DType::kF16;
        options.seed = seed;
        CheckProblem(options, {1, 2, 3, 4, 5, 6, 7, 8, 9, 33});
        if (HasFailure()) return;
      }
    }
  }
}

TEST_F(CudaInt4Products, EveryFormatAtOneShape) {
  for (const bool symmetric : {true, false}) {
    for (const int64_t group_size : {32, 64, 128, -1}) {
      for (const DType dtype : {DType::kF16, DType::kBF16}) {
        RandomGptqOptions options;
        options.in = 616;
        options.out = 72;
        options.group_size = group_size;
        options.symmetric = symmetric;
        options.scale_dtype = dtype;
        CheckProblem(options, {1, 8, 70});
      }
    }
  }
}

TEST_F(CudaInt4Products, RealShapes) {
  struct Case {
    int64_t in, out, group_size;
    bool symmetric;
    std::vector<int64_t> batches;
  };
  for (const Case& c :
       {Case{2048, 512, 128, true, {1, 2, 3, 4, 5, 6, 7, 8, 9, 33, 160}}, Case{512, 2048, 128, true, {1, 8, 9}},
        Case{2048, 512, 32, true, {1, 8, 9}}, Case{512, 2048, 32, false, {1, 8, 9}},
        Case{4096, 2048, 128, false, {1, 8, 9}}, Case{2048, 12288, 128, true, {1, 2}}}) {
    RandomGptqOptions options;
    options.in = c.in;
    options.out = c.out;
    options.group_size = c.group_size;
    options.symmetric = c.symmetric;
    CheckProblem(options, c.batches);
  }
}

// More inputs than a block's shared memory holds activations of eight rows of, and slices of many quads.
TEST_F(CudaInt4Products, LongRows) {
  RandomGptqOptions options;
  options.in = 14336;
  options.out = 32;
  options.group_size = 128;
  CheckProblem(options, {1, 5, 8, 9});
}

// Codes and activations at their extremes: the sums must stay within what the float trick holds.
TEST_F(CudaInt4Products, ExtremeCodes) {
  for (const int code_word : {-1, 0}) {     // every code 15, or 0
    for (const int zero_word : {-1, -2}) {  // every zero point 0 (15 plus one, modulo 16), or most of them 15
      RandomGptqOptions options;
      options.in = 128;
      options.symmetric = false;
      RandomGptq gptq(options);
      for (int32_t& word : gptq.qweight) word = code_word;
      for (int32_t& word : gptq.qzeros) word = zero_word == -1 ? -1 : static_cast<int32_t>(0xeeeeeeee);
      for (uint16_t& bits : gptq.scales) bits = FloatToF16(1.0f);
      Int4Layout layout = Int4LayoutFor(gptq.tensors);
      std::vector<std::byte> bytes(static_cast<size_t>(layout.bytes()) + 64);
      auto* aligned = reinterpret_cast<std::byte*>((reinterpret_cast<uintptr_t>(bytes.data()) + 63) / 64 * 64);
      PackInt4(gptq.tensors, layout, {}, {}, aligned);
      const DeviceArray<std::byte> weight(std::span<const std::byte>(aligned, static_cast<size_t>(layout.bytes())));
      for (const int sign : {1, -1}) {
        DeviceArray<int8_t> codes(std::vector<int8_t>(9 * 128, static_cast<int8_t>(127 * sign)));
        DeviceArray<float> scales(std::vector<float>(9 * 4, 1.0f));
        DeviceArray<int32_t> sums(std::vector<int32_t>(9 * 4, 32 * 127 * sign));
        const int code = code_word == -1 ? 15 : 0, zero = zero_word == -1 ? 0 : 15;
        const float expected = static_cast<float>(128 * 127 * sign * (code - zero));
        for (const int64_t m : {1, 8, 9}) {
          DeviceRows y(m, 16);
          Int4ProductsArgs args = {.parts = {{.weight = {layout, weight.get()},
                                              .x = {codes.get(), scales.get(), sums.get(), 128},
                                              .y = y.get(),
                                              .y_stride = y.stride()}},
                                   .count = 1,
                                   .m = m};
          ASSERT_TRUE(cuda_test::IsOk(LaunchInt4Products(args, nullptr)));
          ASSERT_TRUE(cuda_test::Synchronized());
          EXPECT_EQ(y.Download(), std::vector<float>(static_cast<size_t>(m) * 16, expected)) << "m=" << m;
        }
      }
    }
  }
}

// Parts of one launch, alike and not, with activations of their own or shared, give what they give alone.
TEST_F(CudaInt4Products, PartsGiveWhatTheyGiveAlone) {
  std::vector<std::unique_ptr<DeviceProblem>> problems;
  for (const auto& [in, out, group_size, symmetric] :
       {std::tuple{328, 136, 32, true}, {328, 8, 32, true}, {328, 72, 128, false}, {104, 504, 32, true}}) {
    RandomGptqOptions options;
    options.in = in;
    options.out = out;
    options.group_size = group_size;
    options.symmetric = symmetric;
    options.seed = static_cast<uint64_t>(out);
    problems.push_back(std::make_unique<DeviceProblem>(options, 9));
  }
  for (const int64_t m : {1, 3, 8, 9}) {
    for (const bool shared : {false, true}) {
      std::vector<std::unique_ptr<DeviceRows>> y;
      Int4ProductsArgs args = {.parts = {}, .count = 4, .m = m};
      for (int p = 0; p < 4; ++p) {
        DeviceProblem& problem = *problems[static_cast<size_t>(p)];
        y.push_back(std::make_unique<DeviceRows>(m, problem.problem().out()));
        args.parts[p] = problem.Part(y.back()->get(), y.back()->stride());
      }
      if (shared) args.parts[1].x = args.parts[0].x;
      ASSERT_TRUE(cuda_test::IsOk(LaunchInt4Products(args, nullptr)));
      ASSERT_TRUE(cuda_test::Synchronized());
      for (int p = 0; p < 4; ++p) {
        if (shared && p == 1) continue;  // not its own activations: below
        EXPECT_TRUE(BitEqual(y[static_cast<size_t>(p)]->Download(), problems[static_cast<size_t>(p)]->Multiply(m)))
            << "part " << p << " m=" << m;
      }
      if (shared) {
        DeviceRows alone(m, problems[1]->problem().out());
        Int4ProductsArgs one = {.parts = {problems[1]->Part(alone.get(), alone.stride())}, .count = 1, .m = m};
        one.parts[0].x = args.parts[0].x;
        ASSERT_TRUE(cuda_test::IsOk(LaunchInt4Products(one, nullptr)));
        ASSERT_TRUE(cuda_test::Synchronized());
        EXPECT_TRUE(BitEqual(y[1]->Download(), alone.Download())) << "m=" << m;
      }
    }
  }
}

TEST_F(CudaInt4Products, RefusesWhatItCannotDo) {
  RandomGptqOptions options;
  DeviceProblem device(options, 2);
  DeviceRows y(2, 16);
  const Int4ProductsArgs good = {.parts = {device.Part(y.get(), y.stride())}, .count = 1, .m = 2};
  EXPECT_TRUE(cuda_test::IsOk(LaunchInt4Products(good, nullptr)));
  Int4ProductsArgs args = good;
  args.count = 0;
  EXPECT_EQ(LaunchInt4Products(args, nullptr).code(), StatusCode::kInvalidArgument);
  args = good;
  args.m = 0;
  EXPECT_EQ(LaunchInt4Products(args, nullptr).code(), StatusCode::kInvalidArgument);
  args = good;
  args.parts[0].weight.data += 32;
  EXPECT_EQ(LaunchInt4Products(args, nullptr).code(), StatusCode::kInvalidArgument);
  args = good;
  args.parts[0].x.in_padded += 32;
  EXPECT_EQ(LaunchInt4Products(args, nullptr).code(), StatusCode::kInvalidArgument);
  args = good;
  args.parts[0].x.codes += 4;
  EXPECT_EQ(LaunchInt4Products(args, nullptr).code(), StatusCode::kInvalidArgument);
  args = good;
  args.parts[0].y_stride = 15;
  EXPECT_EQ(LaunchInt4Products(args, nullptr).code(), StatusCode::kInvalidArgument);
  EXPECT_TRUE(cuda_test::Synchronized());
}

}  // namespace
}  // namespace qnext::cuda
