#include "kernels/cpu/cpu_kernels.h"

#include <gtest/gtest.h>

namespace qnext {
namespace {

TEST(CpuKernels, NamesRoundTrip) {
  for (const CpuIsa isa : {CpuIsa::kGeneric, CpuIsa::kAvx2, CpuIsa::kAvxVnni, CpuIsa::kAvx512Vnni}) {
    EXPECT_EQ(ParseCpuIsa(CpuIsaName(isa)), isa);
  }
  EXPECT_EQ(CpuIsaName(CpuIsa::kAvx512Vnni), "avx512-vnni");
  EXPECT_EQ(ParseCpuIsa("avx"), std::nullopt);
  EXPECT_EQ(ParseCpuIsa(""), std::nullopt);
}

TEST(CpuKernels, SupportFollowsTheFeatures) {
  using Isas = std::vector<CpuIsa>;
  CpuFeatures features;
  EXPECT_EQ(SupportedCpuIsas(features), Isas({CpuIsa::kGeneric}));
  features.avx2 = true;
  EXPECT_EQ(SupportedCpuIsas(features), Isas({CpuIsa::kAvx2, CpuIsa::kGeneric}));
  features.avx512 = true;  // without VNNI it is no path
  EXPECT_EQ(SupportedCpuIsas(features), Isas({CpuIsa::kAvx2, CpuIsa::kGeneric}));
  features.avx_vnni = true;
  EXPECT_EQ(SupportedCpuIsas(features), Isas({CpuIsa::kAvxVnni, CpuIsa::kAvx2, CpuIsa::kGeneric}));
  features.avx512_vnni = true;
  EXPECT_EQ(SupportedCpuIsas(features).front(), CpuIsa::kAvx512Vnni);
  EXPECT_EQ(SupportedCpuIsas(features).size(), 4u);
}

TEST(CpuKernels, SelectsTheBestOrTheWanted) {
  const CpuFeatures here = DetectCpuFeatures();
  const Result<const Kernels*> best = SelectCpuKernels(here, std::nullopt);
  ASSERT_TRUE(best.ok()) << best.status().message();
  EXPECT_EQ(*best, &CpuKernels(SupportedCpuIsas(here).front()));
  for (const CpuIsa isa : SupportedCpuIsas(here)) {
    const Result<const Kernels*> wanted = SelectCpuKernels(here, isa);
    ASSERT_TRUE(wanted.ok()) << wanted.status().message();
    EXPECT_EQ((*wanted)->name, CpuIsaName(isa));
  }
  const Status absent = SelectCpuKernels({}, CpuIsa::kAvx2).status();
  EXPECT_EQ(absent.code(), StatusCode::kUnsupported);
  EXPECT_EQ(absent.message(), "CPU kernels avx2: this machine has none");
  EXPECT_EQ((*SelectCpuKernels({}, std::nullopt))->name, std::string_view("generic"));
}

}  // namespace
}  // namespace qnext
