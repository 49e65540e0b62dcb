#include "kernels/cpu/known_answer.h"

#include <gtest/gtest.h>

#include <cmath>

#include "kernels/cpu/matmul_problems.h"

namespace qnext {
namespace {

using namespace known_answer;  // NOLINT: this file is about nothing else

TEST(KnownAnswer, StoredAnswersAreThoseOfPlainIntegers) {
  for (int64_t pattern = 0; pattern < kPatterns; ++pattern) {
    const auto at = static_cast<size_t>(pattern);
    for (int64_t row = 0; row < kOut; ++row) {
      int64_t symmetric = 0, zero_points = 0;
      for (int64_t i = 0; i < kIn; ++i) {
        const int64_t group = i / kGroupSize, scaled = Activation(pattern, i) * ScaleIn16ths(row, group);
        symmetric += scaled * (Code(row, i) - 8);
        zero_points += scaled * (Code(row, i) - Zero(row, group));
      }
      EXPECT_EQ(kSymmetricAnswers[at][static_cast<size_t>(row)], symmetric);
      EXPECT_EQ(kZeroPointAnswers[at][static_cast<size_t>(row)], zero_points);
    }
    for (int64_t row = 0; row < kOut; ++row) {
      int64_t int8 = 0;
      for (int64_t i = 0; i < kInt8In; ++i)
        int8 += Activation(pattern, i) * ScaleIn16ths(row, i / 128) * Int8Code(row, i);
      EXPECT_EQ(kInt8Answers[at][static_cast<size_t>(row)], int8);
    }
    for (int64_t row = 0; row < kDenseOut; ++row) {
      int64_t dense = 0;
      for (int64_t i = 0; i < kDenseIn; ++i) dense += Activation(pattern, i) * DenseWeightIn16ths(row, i);
      EXPECT_EQ(kDenseAnswers[at][static_cast<size_t>(row)], dense);
    }
  }
}

TEST(KnownAnswer, EveryPathOfThisMachinePasses) {
  for (const CpuIsa isa : IsasOfThisMachine()) {
    const Status status = KnownAnswerTest(CpuKernels(isa));
    EXPECT_TRUE(status.ok()) << status.message();
  }
}

// The generic table with one pointer replaced must fail, naming the table and the op.
void ExpectFailure(void (*break_it)(Kernels& kernels), const std::string& op) {
  Kernels broken = CpuKernels(CpuIsa::kGeneric);
  broken.name = "broken";
  break_it(broken);
  const Status status = KnownAnswerTest(broken);
  EXPECT_EQ(status.code(), StatusCode::kInternal);
  EXPECT_EQ(status.message().find("CPU kernels broken: known-answer test: " + op), 0u) << status.message();
}

TEST(KnownAnswer, BrokenPathsFail) {
  ExpectFailure([](Kernels& k) { k.int4_matmul_i8 = [](const Int4MatmulI8Args&, Range) {}; }, "int4_matmul_i8");
  ExpectFailure([](Kernels& k) { k.int4_matmul_f32 = [](const Int4MatmulF32Args&, Range) {}; }, "int4_matmul_f32");
  ExpectFailure([](Kernels& k) { k.int8_matmul = [](const Int8MatmulArgs&, Range) {}; }, "int8_matmul");
  ExpectFailure([](Kernels& k) { k.dense_matmul = [](const DenseMatmulArgs&, Range) {}; }, "dense_matmul");
  ExpectFailure([](Kernels& k) { k.quantize_rows = [](const QuantizeRowsArgs&, Range) {}; }, "quantize_rows");
  ExpectFailure([](Kernels& k) { k.gather_rows = [](const GatherRowsArgs&, Range) {}; }, "int4_matmul_f32");

  // Zero points ignored, which a symmetric checkpoint would not show.
  ExpectFailure(
      [](Kernels& k) {
        k.int4_matmul_i8 = [](const Int4MatmulI8Args& args, Range tiles) {
          Int4MatmulI8Args changed = args;
          changed.weight.layout.has_zeros = false;
          CpuKernels(CpuIsa::kGeneric).int4_matmul_i8(changed, tiles);
        };
      },
      "int4_matmul_i8");
  // The last activation row only; one ulp.
  ExpectFailure(
      [](Kernels& k) {
        k.int4_matmul_f32 = [](const Int4MatmulF32Args& args, Range tiles) {
          CpuKernels(CpuIsa::kGeneric).int4_matmul_f32(args, tiles);
          float& last = args.y[(args.m - 1) * args.y_stride + args.weight.layout.out - 1];
          last = std::nextafter(last, 1e30f);
        };
      },
      "int4_matmul_f32: row 24, output 23");
  // NaN.
  ExpectFailure(
      [](Kernels& k) {
        k.dense_matmul = [](const DenseMatmulArgs& args, Range blocks) {
          CpuKernels(CpuIsa::kGeneric).dense_matmul(args, blocks);
          if (args.dtype == DType::kBF16) args.y[0] = std::nanf("");
        };
      },
      "dense_matmul BF16: row 0, output 0");
  // The sums of the codes forgotten.
  ExpectFailure(
      [](Kernels& k) {
        k.quantize_rows = [](const QuantizeRowsArgs& args, Range rows) {
          CpuKernels(CpuIsa::kGeneric).quantize_rows(args, rows);
          for (int64_t i = rows.begin; i < rows.end; ++i) args.out.sums[i * args.out.in_padded / 32] += 1;
        };
      },
      "int4_matmul_i8");
}

TEST(KnownAnswer, APathThatFailsIsPassedOverWithAWarning) {
  Kernels broken = CpuKernels(CpuIsa::kGeneric);
  broken.name = "broken";
  broken.quantize_rows = [](const QuantizeRowsArgs&, Range) {};
  const Kernels* generic = &CpuKernels(CpuIsa::kGeneric);
  std::vector<std::string> warnings;
  const Result<const Kernels*> chosen = FirstThatPasses(std::vector<const Kernels*>{&broken, generic}, &warnings);
  ASSERT_TRUE(chosen.ok()) << chosen.status().message();
  EXPECT_EQ(*chosen, generic);
  ASSERT_EQ(warnings.size(), 1u);
  EXPECT_NE(warnings[0].find("broken"), std::string::npos) << warnings[0];
  EXPECT_FALSE(FirstThatPasses(std::vector<const Kernels*>{&broken}, nullptr).ok());
}

}  // namespace
}  // namespace qnext
