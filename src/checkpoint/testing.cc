#include "checkpoint/testing.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "base/check.h"
#include "base/range.h"

namespace qnext {

std::vector<TestTensor> StoredTensors(const ModelConfig& config) {
  std::vector<TestTensor> tensors;
  for (const ExpectedTensor& expected : ExpectedTensors(config)) {
    if (expected.role != TensorRole::kLinear) {
      tensors.push_back({expected.name, DType::kBF16, expected.shape});
      continue;
    }
    std::optional<GptqParams> params;
    if (expected.may_be_quantized && config.quantization.has_value()) {
      params = config.quantization->ForModule(expected.name);
    }
    if (!params.has_value()) {
      tensors.push_back({expected.name + ".weight", DType::kBF16, expected.shape});
      continue;
    }
    const int64_t out = expected.shape[0], in = expected.shape[1];
    const int64_t groups = params->group_size < 0 ? 1 : CeilDiv(in, params->group_size);
    tensors.push_back({expected.name + ".qweight", DType::kI32, {in / 8, out}});
    tensors.push_back({expected.name + ".qzeros", DType::kI32, {groups, out / 8}});
    tensors.push_back({expected.name + ".scales", DType::kF16, {groups, out}});
    tensors.push_back({expected.name + ".g_idx", DType::kI32, {in}});
  }
  return tensors;
}

int64_t DataBytes(const std::vector<TestTensor>& tensors) {
  int64_t bytes = 0;
  for (const TestTensor& tensor : tensors) bytes += tensor.shape.Elements().value() * DTypeSize(tensor.dtype);
  return bytes;
}

std::string SafetensorsHeader(const std::vector<TestTensor>& tensors) {
  std::string header = R"({"__metadata__":{"format":"pt"})";
  int64_t offset = 0;
  for (const TestTensor& tensor : tensors) {
    const int64_t end = offset + tensor.shape.Elements().value() * DTypeSize(tensor.dtype);
    fmt::format_to(std::back_inserter(header), R"(,"{}":{{"dtype":"{}","shape":{},"data_offsets":[{},{}]}})",
                   tensor.name, DTypeName(tensor.dtype), tensor.shape.ToString(), offset, end);
    offset = end;
  }
  return header + "}";
}

void WriteText(const std::string& path, std::string_view text) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file.write(text.data(), static_cast<std::streamsize>(text.size()));
  QNEXT_CHECK(file.good(), "a test file could not be written");
}

void WriteSafetensors(const std::string& path, std::string_view header, int64_t data_bytes) {
  std::string text;
  for (int i = 0; i < 8; ++i) text += static_cast<char>(header.size() >> (8 * i) & 0xff);
  text += header;
  WriteText(path, text);
  std::filesystem::resize_file(path, text.size() + static_cast<uintmax_t>(data_bytes));
}

void WriteSafetensors(const std::string& path, const std::vector<TestTensor>& tensors) {
  WriteSafetensors(path, SafetensorsHeader(tensors), DataBytes(tensors));
}

std::string FreshFolder(const std::string& name) {
  std::string folder = ::testing::TempDir() + "/qnext_" + name;
  std::filesystem::remove_all(folder);
  std::filesystem::create_directories(folder);
  return folder;
}

void WriteCheckpoint(const std::string& folder, std::string_view config_json, const std::vector<TestTensor>& tensors,
                     int shards) {
  WriteText(folder + "/config.json", config_json);
  std::string index = R"({"metadata":{"total_size":0},"weight_map":{)";
  const auto per_shard = static_cast<size_t>(CeilDiv(static_cast<int64_t>(tensors.size()), shards));
  for (int shard = 0; shard < shards; ++shard) {
    const std::string name = fmt::format("model-{:05}-of-{:05}.safetensors", shard + 1, shards);
    const size_t begin = std::min(static_cast<size_t>(shard) * per_shard, tensors.size());
    const size_t end = std::min(begin + per_shard, tensors.size());
    const std::vector<TestTensor> part(tensors.begin() + static_cast<ptrdiff_t>(begin),
                                       tensors.begin() + static_cast<ptrdiff_t>(end));
    WriteSafetensors(fmt::format("{}/{}", folder, name), part);
    for (const TestTensor& tensor : part) {
      if (index.back() != '{') index += ',';
      fmt::format_to(std::back_inserter(index), R"("{}":"{}")", tensor.name, name);
    }
  }
  WriteText(folder + "/model.safetensors.index.json", index + "}}");
}

}  // namespace qnext
