#include "base/bytes.h"

#include <gtest/gtest.h>

namespace qnext {
namespace {

TEST(Bytes, ParsesUnits) {
  EXPECT_EQ(ParseByteSize("15GiB").value(), int64_t{15} << 30);
  EXPECT_EQ(ParseByteSize("1.5 GB").value(), 1500000000);
  EXPECT_EQ(ParseByteSize("64KiB").value(), 65536);
  EXPECT_EQ(ParseByteSize("12").value(), 12);
  EXPECT_EQ(ParseByteSize("0").value(), 0);
}

TEST(Bytes, RefusesNonsense) {
  for (const char* bad : {"", "GiB", "-1GiB", "1e30GiB", "nan", "inf", "12 parsecs", "99999999TiB", "1GiB "}) {
    EXPECT_FALSE(ParseByteSize(bad).ok()) << bad;
  }
}

TEST(Bytes, Formats) {
  EXPECT_EQ(FormatBytes(512), "512 B");
  EXPECT_EQ(FormatBytes(1699000), "1.62 MiB");
  EXPECT_EQ(FormatBytes(int64_t{15} << 30), "15.0 GiB");
}

}  // namespace
}  // namespace qnext
