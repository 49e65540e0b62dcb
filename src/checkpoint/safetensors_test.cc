#include "checkpoint/safetensors.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "checkpoint/safetensors_header.h"
#include "checkpoint/testing.h"

namespace qnext {
namespace {

// The error of a header over `data_bytes`; empty when it is accepted.
std::string ErrorOf(std::string_view header, int64_t data_bytes) {
  const Result<std::vector<TensorInfo>> tensors = ParseSafetensorsHeader(header, 100, data_bytes);
  if (tensors.ok()) return "";
  EXPECT_EQ(tensors.status().code(), StatusCode::kCorrupt) << tensors.status().message();
  return tensors.status().message();
}

TEST(Safetensors, ReadsTensorsByRisingOffset) {
  const std::string header =
      R"({"__metadata__": {"format": "pt", "k": "v"},
          "b": {"dtype": "F32", "shape": [2, 3], "data_offsets": [8, 32]},
          "a": {"shape": [4], "data_offsets": [0, 8], "dtype": "BF16"},
          "none": {"dtype": "I32", "shape": [0, 7], "data_offsets": [8, 8]},
          "scalar": {"dtype": "I64", "shape": [], "data_offsets": [32, 40]}}   )";
  const Result<std::vector<TensorInfo>> tensors = ParseSafetensorsHeader(header, 100, 40);
  ASSERT_TRUE(tensors.ok()) << tensors.status().message();
  ASSERT_EQ(tensors->size(), 4U);
  EXPECT_EQ((*tensors)[0].name, "a");
  EXPECT_EQ((*tensors)[0].dtype, DType::kBF16);
  EXPECT_EQ((*tensors)[0].offset, 100);
  EXPECT_EQ((*tensors)[1].name, "none");
  EXPECT_EQ((*tensors)[1].bytes, 0);
  EXPECT_EQ((*tensors)[2].name, "b");
  EXPECT_EQ((*tensors)[2].shape, (Shape{2, 3}));
  EXPECT_EQ((*tensors)[2].offset, 108);
  EXPECT_EQ((*tensors)[2].bytes, 24);
  EXPECT_EQ((*tensors)[3].shape.rank(), 0U);
  EXPECT_EQ(ErrorOf("{}", 0), "") << "a file may hold no tensors";
}

TEST(Safetensors, RefusesEveryKindOfBadHeader) {
  struct Case {
    std::string header;
    int64_t data_bytes;
    std::string expected;
  };
  const std::string good = R"("a": {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]})";
  for (const Case& c : std::vector<Case>{
           {"", 0, "header: does not begin with '{'"},
           {" {}", 0, "header: does not begin with '{'"},
           {"{", 0, "header is not valid JSON"},
           {"{} x", 0, "header is not valid JSON"},
           {"{} \n ", 0, "header: byte 0x0a after its JSON, which only spaces (0x20) may follow"},
           {std::string("{}\0\0", 4), 0, "header: byte 2 is NUL"},
           {"{\"a\": 1}", 0, "a: found a number, expected an object"},
           {"{\"a\": []}", 0, "a: found an array, expected an object"},
           {"{\"a\": null}", 0, "a: found null, expected an object"},
           {"{\"a\": \"x\"}", 0, "a: found a string, expected an object"},
           {"{\"a\": {}}", 0, "a: dtype: is missing"},
           {R"({"a": {"dtype": "U8", "data_offsets": [0, 4]}})", 4, "a: shape: is missing"},
           {R"({"a": {"dtype": "U8", "shape": [4]}})", 4, "a: data_offsets: is missing"},
           {R"({"a": {"dtype": "Q4", "shape": [4], "data_offsets": [0, 4]}})", 4, "a: dtype: \"Q4\" is not known"},
           {R"({"a": {"dtype": 5, "shape": [4], "data_offsets": [0, 4]}})", 4, "a: dtype: unexpected a number"},
           {R"({"a": {"dtype": ["U8"], "shape": [4], "data_offsets": [0, 4]}})", 4, "a: dtype: unexpected an array"},
           {R"({"a": {"dtype": "U8", "shape": 4, "data_offsets": [0, 4]}})", 4, "a: shape: unexpected a number"},
           {R"({"a": {"dtype": "U8", "shape": [-4], "data_offsets": [0, 4]}})", 4, "a: shape: unexpected a negative"},
           {R"({"a": {"dtype": "U8", "shape": [4.0], "data_offsets": [0, 4]}})", 4, "a: shape: unexpected a fraction"},
           {R"({"a": {"dtype": "U8", "shape": ["4"], "data_offsets": [0, 4]}})", 4, "a: shape: unexpected a string"},
           {R"({"a": {"dtype": "U8", "shape": [true], "data_offsets": [0, 4]}})", 4, "a: shape: unexpected a boolean"},
           {R"({"a": {"dtype": "U8", "shape": {"x": 1}, "data_offsets": [0, 4]}})", 4, "a: shape: unexpected an obj"},
           {R"({"a": {"dtype": "U8", "shape": [[4]], "data_offsets": [0, 4]}})", 4, "header: JSON nested deeper"},
           {R"({"a": {"dtype": "U8", "shape": [1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,4], "data_offsets": [0, 4]}})", 4,
            "a: shape: more than 16 numbers"},
           {R"({"a": {"dtype": "U8", "shape": [4611686018427387904, 4], "data_offsets": [0, 4]}})", 4,
            "a: shape: [4611686018427387904, 4] is too large"},
           {R"({"a": {"dtype": "F64", "shape": [4611686018427387904], "data_offsets": [0, 4]}})", 4,
            "a: shape: [4611686018427387904] is too large"},
           {R"({"a": {"dtype": "U8", "shape": [18446744073709551615], "data_offsets": [0, 4]}})", 4,
            "a: shape: 18446744073709551615 is too large"},
           {R"({"a": {"dtype": "U8", "shape": [4], "data_offsets": [0, 5]}})", 5, "a: data_offsets: span 5 bytes, but"},
           {R"({"a": {"dtype": "F16", "shape": [4], "data_offsets": [0, 4]}})", 4,
            "a: data_offsets: span 4 bytes, but"},
           {R"({"a": {"dtype": "U8", "shape": [4], "data_offsets": [4, 0]}})", 4,
            "a: data_offsets: the end 0 is before"},
           {R"({"a": {"dtype": "U8", "shape": [4], "data_offsets": [0]}})", 4, "a: data_offsets: 1 numbers"},
           {R"({"a": {"dtype": "U8", "shape": [4], "data_offsets": [0, 4, 8]}})", 4, "a: data_offsets: 3 numbers"},
           {R"({"a": {"dtype": "U8", "shape": [4], "data_offsets": [0, 4], "x": 1}})", 4, "a: \"x\" is not a field"},
           {R"({"a": {"dtype": "U8", "shape": [4], "shape": [4], "data_offsets": [0, 4]}})", 4,
            "a: shape: occurs twice"},
           {fmt::format("{{{0},{0}}}", good), 4, "a: occurs twice in the header"},
           {R"({"": {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]}})", 4, "header: a tensor has an empty name"},
           {"{" + good + R"(, "b": {"dtype": "U8", "shape": [4], "data_offsets": [2, 6]}})", 6,
            "b: begins at data byte 2, inside a, which ends at 4"},
           {"{" + good + R"(, "b": {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]}})", 4,
            "b: begins at data byte 0, inside a"},
           {"{" + good + R"(, "b": {"dtype": "U8", "shape": [4], "data_offsets": [5, 9]}})", 9,
            "b: begins at data byte 5, leaving a gap after byte 4"},
           {R"({"a": {"dtype": "U8", "shape": [3], "data_offsets": [1, 4]}})", 4,
            "a: begins at data byte 1, leaving a"},
           {"{" + good + "}", 3, "a: ends at data byte 4, but the file holds 3 (is it incomplete?)"},
           {"{" + good + "}", 5, "the tensors end at data byte 4, but the file holds 5"},
           {R"({"a": {"dtype": "U8", "shape": [4], "data_offsets": [4611686018427387904, 4611686018427387908]}})", 4,
            "a: data_offsets: 4611686018427387908 is too large"},
           {R"({"__metadata__": {"a": 1}})", 0, "__metadata__: found a number, expected a string"},
           {R"({"__metadata__": {"a": {"b": "c"}}})", 0, "__metadata__: found an object, expected a string"},
           {R"({"__metadata__": {"a": ["c"]}})", 0, "__metadata__: found an array, expected a string"},
           {R"({"__metadata__": "x"})", 0, "__metadata__: found a string, expected an object"},
           {R"({"__metadata__": {}, "__metadata__": {}})", 0, "__metadata__: occurs twice"},
           {"{\"a\": " + std::string(1000000, '['), 0, "header: JSON nested deeper than 3 levels"},
           {"{\"\xff\": {}}", 0, "header is not valid JSON"},
       }) {
    const std::string error = ErrorOf(c.header, c.data_bytes);
    EXPECT_EQ(error.rfind(c.expected, 0), 0U) << c.header.substr(0, 200) << "\n  gives: " << error;
  }
}

// A file of the given length field, then text.
std::string WriteRaw(uint64_t length, const std::string& text) {
  std::string path = FreshFolder("safetensors_raw") + "/raw.safetensors";
  std::string bytes;
  for (int i = 0; i < 8; ++i) bytes += static_cast<char>(length >> (8 * i) & 0xff);
  WriteText(path, bytes + text);
  return path;
}

TEST(Safetensors, DistrustsTheLengthOfTheHeader) {
  const auto error = [](const std::string& path) {
    const Result<SafetensorsFile> file = SafetensorsFile::Open(path);
    if (file.ok()) return std::string();
    EXPECT_EQ(file.status().message().rfind(path + ": ", 0), 0U) << file.status().message();
    return file.status().message().substr(path.size() + 2);
  };
  EXPECT_EQ(error(WriteRaw(2, "{}")), "");
  EXPECT_EQ(error(WriteRaw(3, "{}")), "header of 3 bytes, but the file has only 2 after the length");
  EXPECT_EQ(error(WriteRaw(~uint64_t{0}, "{}")),
            "header of 18446744073709551615 bytes, but the file has only 2 after the length");
  EXPECT_EQ(error(WriteRaw(1, "{}")).rfind("header is not valid JSON", 0), 0U);
  EXPECT_EQ(error(WriteRaw(0, "{}")), "header: does not begin with '{'");
  std::string path = WriteRaw(100'000'001, "{");
  std::filesystem::resize_file(path, 200'000'000);
  EXPECT_EQ(error(path), "header of 100000001 bytes, above the format's 100000000");
  path = FreshFolder("safetensors_short") + "/short.safetensors";
  WriteText(path, "1234567");
  EXPECT_EQ(error(path), "7 bytes are too few for a safetensors file");
  EXPECT_EQ(SafetensorsFile::Open("/no/such/file").status().code(), StatusCode::kNotFound);
}

TEST(Safetensors, ReadsTheBytesOfATensor) {
  const std::string header = R"({"b":{"dtype":"U8","shape":[3],"data_offsets":[2,5]},)"
                             R"("a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}})";
  const std::string path = WriteRaw(header.size(), header + "abcde");
  const Result<SafetensorsFile> file = SafetensorsFile::Open(path);
  ASSERT_TRUE(file.ok()) << file.status().message();
  ASSERT_EQ(file->tensors().size(), 2U);
  std::string bytes(3, '\0');
  ASSERT_TRUE(file->Read(file->tensors()[1], std::as_writable_bytes(std::span(bytes))).ok());
  EXPECT_EQ(bytes, "cde");
  EXPECT_EQ(file->file_bytes(), 8 + static_cast<int64_t>(header.size()) + 5);

  std::filesystem::resize_file(path, 8 + header.size() + 4);
  const Status cut = file->Read(file->tensors()[1], std::as_writable_bytes(std::span(bytes)));
  EXPECT_EQ(cut.code(), StatusCode::kCorrupt);
  EXPECT_NE(cut.message().find("(tensor b)"), std::string::npos) << cut.message();
}

}  // namespace
}  // namespace qnext
