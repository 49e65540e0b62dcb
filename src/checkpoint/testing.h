// Checkpoints for this folder's tests: headers with any content over data that is all zero bytes (and, being sparse,
// takes no disk space however large).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/tensor_list.h"
#include "config/model_config.h"
#include "tensor/dtype.h"
#include "tensor/shape.h"

namespace qnext {

struct TestTensor {
  std::string name;
  DType dtype = DType::kBF16;
  Shape shape;
};

// The tensors that a checkpoint of `config` stores: GPTQ four-tuples (F16 scales) where the configuration quantizes,
// BF16 elsewhere.
std::vector<TestTensor> StoredTensors(const ModelConfig& config);

int64_t DataBytes(const std::vector<TestTensor>& tensors);

// The JSON header of a file that stores the tensors one after the other.
std::string SafetensorsHeader(const std::vector<TestTensor>& tensors);

// 8 bytes of length, the header, then `data_bytes` zero bytes.
void WriteSafetensors(const std::string& path, std::string_view header, int64_t data_bytes);
void WriteSafetensors(const std::string& path, const std::vector<TestTensor>& tensors);

void WriteText(const std::string& path, std::string_view text);

// An empty folder of that name under the test's temporary folder.
std::string FreshFolder(const std::string& name);

// Writes config.json, the tensors in `shards` files of about equal counts, and their index.
void WriteCheckpoint(const std::string& folder, std::string_view config_json, const std::vector<TestTensor>& tensors,
                     int shards);

}  // namespace qnext
