#include "cli/safetensors_writer.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <cstring>

#include "checkpoint/safetensors.h"

namespace qnext {
namespace {

TEST(SafetensorsWriterTest, TheReaderTakesWhatIsWritten) {
  const std::string path = ::testing::TempDir() + "qnext_writer_test.safetensors";
  const std::vector<float> floats = {1, -2.5f, 3};
  const std::vector<int32_t> ints = {7, 8};
  ASSERT_TRUE(
      WriteSafetensors(
          path, {{.name = "floats", .dtype = DType::kF32, .shape = {3, 1}, .bytes = std::as_bytes(std::span(floats))},
                 {.name = "ints", .dtype = DType::kI32, .shape = {2}, .bytes = std::as_bytes(std::span(ints))},
                 {.name = "none", .dtype = DType::kF32, .shape = {0, 4}, .bytes = {}}})
          .ok());
  const Result<SafetensorsFile> file = SafetensorsFile::Open(path);
  ASSERT_TRUE(file.ok()) << file.status().message();
  ASSERT_EQ(file->tensors().size(), 3u);
  for (const TensorInfo& info : file->tensors()) {
    std::vector<std::byte> bytes(static_cast<size_t>(info.bytes));
    ASSERT_TRUE(file->Read(info, bytes).ok());
    if (info.name == "floats") {
      EXPECT_EQ(info.shape, (Shape{3, 1}));
      EXPECT_EQ(std::memcmp(bytes.data(), floats.data(), 12), 0);
    } else if (info.name == "ints") {
      EXPECT_EQ(info.dtype, DType::kI32);
      EXPECT_EQ(std::memcmp(bytes.data(), ints.data(), 8), 0);
    } else {
      EXPECT_EQ(info.bytes, 0);
    }
  }
  std::remove(path.c_str());
}

TEST(SafetensorsWriterTest, AnUnwritablePathIsAnError) {
  EXPECT_EQ(WriteSafetensors("/no/such/folder/x", {}).message(),
            "/no/such/folder/x: cannot be created: No such file or directory");
}

}  // namespace
}  // namespace qnext
