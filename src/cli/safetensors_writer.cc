#include "cli/safetensors_writer.h"

#include <bit>
#include <cstdint>
#include <nlohmann/json.hpp>

#include "base/check.h"
#include "cli/result_file.h"

namespace qnext {

static_assert(std::endian::native == std::endian::little, "the format is little-endian");

Status WriteSafetensors(const std::string& path, const std::vector<TensorToWrite>& tensors) {
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  int64_t offset = 0;
  for (const TensorToWrite& tensor : tensors) {
    const int64_t bytes = static_cast<int64_t>(tensor.bytes.size());
    QNEXT_CHECK(tensor.shape.Elements().value_or(-1) * DTypeSize(tensor.dtype) == bytes, "bytes must fit the shape");
    header[tensor.name] = {{"dtype", DTypeName(tensor.dtype)},
                           {"shape", tensor.shape.extents()},
                           {"data_offsets", {offset, offset + bytes}}};
    offset += bytes;
  }
  std::string text = header.dump();
  text.append((8 - text.size() % 8) % 8, ' ');  // the data begins aligned
  const uint64_t length = text.size();

  std::vector<std::string_view> pieces = {{reinterpret_cast<const char*>(&length), sizeof(length)}, text};
  for (const TensorToWrite& tensor : tensors) {
    pieces.emplace_back(reinterpret_cast<const char*>(tensor.bytes.data()), tensor.bytes.size());
  }
  return WriteWholeFile(path, pieces);
}

}  // namespace qnext
