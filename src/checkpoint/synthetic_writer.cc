// Writing a synthetic checkpoint as a folder of real shards.
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "checkpoint/synthetic.h"

namespace qnext {
namespace {

constexpr std::string_view kChatTemplate =
    "{%- for message in messages %}{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}{%- "
    "endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}";

// A file being written; unfinished ones are visible as errors, never as short files that look whole.
class Writer {
 public:
  static Result<Writer> Create(const std::string& path) {
    const int descriptor = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (descriptor < 0) return Internal(fmt::format("{}: cannot be created: {}", path, std::strerror(errno)));
    return Writer(descriptor, path);
  }
  Writer(Writer&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)), path_(std::move(other.path_)) {}
  Writer& operator=(Writer&&) = delete;
  ~Writer() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }

  Status Write(std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
      const ssize_t wrote = ::write(descriptor_, bytes.data(), bytes.size());
      if (wrote < 0 && errno == EINTR) continue;
      if (wrote <= 0) return Internal(fmt::format("{}: write failed: {}", path_, std::strerror(errno)));
      bytes = bytes.subspan(static_cast<size_t>(wrote));
    }
    return Status();
  }
  Status Close() {
    const int closed = ::close(std::exchange(descriptor_, -1));
    if (closed != 0) return Internal(fmt::format("{}: close failed: {}", path_, std::strerror(errno)));
    return Status();
  }

 private:
  Writer(int descriptor, std::string path) : descriptor_(descriptor), path_(std::move(path)) {}

  int descriptor_;
  std::string path_;
};

Status WriteText(const std::string& path, std::string_view text) {
  QNEXT_ASSIGN_OR_RETURN(Writer writer, Writer::Create(path));
  QNEXT_RETURN_IF_ERROR(writer.Write(std::as_bytes(std::span(text))));
  return writer.Close();
}

// The character that stands for a byte in byte-level BPE vocabularies (GPT-2's table): printable Latin-1 for itself,
// the rest from U+0100 on, in order.
std::string ByteCharacter(int byte) {
  const auto printable = [](int b) {
    return (b >= '!' && b <= '~') || (b >= 0xa1 && b <= 0xac) || (b >= 0xae && b <= 0xff);
  };
  int code = byte;
  if (!printable(byte)) {
    code = 256;
    for (int b = 0; b < byte; ++b) code += printable(b) ? 0 : 1;
  }
  if (code < 0x80) return std::string(1, static_cast<char>(code));
  return {static_cast<char>(0xc0 | (code >> 6)), static_cast<char>(0x80 | (code & 0x3f))};
}

std::string ShardHeader(const std::vector<TensorInfo>& shard) {
  nlohmann::ordered_json header;
  header["__metadata__"] = {{"format", "pt"}};
  int64_t offset = 0;
  for (const TensorInfo& tensor : shard) {
    header[tensor.name] = {{"dtype", std::string(DTypeName(tensor.dtype))},
                           {"shape", tensor.shape.extents()},
                           {"data_offsets", {offset, offset + tensor.bytes}}};
    offset += tensor.bytes;
  }
  std::string text = header.dump();
  text.append((8 - text.size() % 8) % 8, ' ');
  return text;
}

}  // namespace

std::string SyntheticTokenizerJson() {
  nlohmann::ordered_json vocab, added = nlohmann::ordered_json::array();
  for (int byte = 0; byte < 256; ++byte) vocab[ByteCharacter(byte)] = byte;
  int id = 256;
  for (const char* content : {"<|endoftext|>", "<|im_start|>", "<|im_end|>"}) {
    added.push_back({{"id", id++},
                     {"content", content},
                     {"single_word", false},
                     {"lstrip", false},
                     {"rstrip", false},
                     {"normalized", false},
                     {"special", true}});
  }
  const nlohmann::ordered_json byte_level = {
      {"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", false}, {"use_regex", false}};
  return nlohmann::ordered_json({{"version", "1.0"},
                                 {"truncation", nullptr},
                                 {"padding", nullptr},
                                 {"added_tokens", added},
                                 {"normalizer", nullptr},
                                 {"pre_tokenizer", byte_level},
                                 {"post_processor", nullptr},
                                 {"decoder", byte_level},
                                 {"model",
                                  {{"type", "BPE"},
                                   {"dropout", nullptr},
                                   {"unk_token", nullptr},
                                   {"continuing_subword_prefix", ""},
                                   {"end_of_word_suffix", ""},
                                   {"fuse_unk", false},
                                   {"byte_fallback", false},
                                   {"vocab", vocab},
                                   {"merges", nlohmann::ordered_json::array()}}}})
      .dump();
}

Status WriteSynthetic(const SyntheticKind& kind, uint64_t seed, const std::string& folder, int64_t shard_bytes,
                      FunctionRef<void(int64_t done, int64_t total)> progress) {
  QNEXT_ASSIGN_OR_RETURN(const ModelConfig config, ParseModelConfig(kind.config_json, kind.name));
  const SyntheticCheckpoint source(config, seed);
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) return Internal(fmt::format("{}: cannot be created: {}", folder, error.message()));
  const std::filesystem::directory_iterator entries(folder, error);
  if (error) return Internal(fmt::format("{}: cannot be read: {}", folder, error.message()));
  if (entries != std::filesystem::directory_iterator()) return InvalidArgument(fmt::format("{}: is not empty", folder));

  std::vector<std::vector<TensorInfo>> shards(1);
  int64_t filled = 0;
  source.ForEach([&](const TensorInfo& tensor) {
    if (filled > 0 && filled + tensor.bytes > shard_bytes) shards.emplace_back(), filled = 0;
    shards.back().push_back(tensor);
    filled += tensor.bytes;
  });

  nlohmann::ordered_json weight_map;
  int64_t done = 0;
  for (size_t i = 0; i < shards.size(); ++i) {
    const std::string name = fmt::format("model-{:05}-of-{:05}.safetensors", i + 1, shards.size());
    QNEXT_ASSIGN_OR_RETURN(Writer writer, Writer::Create(folder + "/" + name));
    const std::string header = ShardHeader(shards[i]);
    const uint64_t length = header.size();
    QNEXT_RETURN_IF_ERROR(writer.Write(std::as_bytes(std::span(&length, 1))));
    QNEXT_RETURN_IF_ERROR(writer.Write(std::as_bytes(std::span(header))));
    std::vector<std::byte> bytes;
    for (const TensorInfo& tensor : shards[i]) {
      bytes.resize(static_cast<size_t>(tensor.bytes));
      QNEXT_RETURN_IF_ERROR(source.Read(tensor, bytes));
      QNEXT_RETURN_IF_ERROR(writer.Write(bytes));
      weight_map[tensor.name] = name;
      done += tensor.bytes;
      progress(done, source.total_bytes());
    }
    QNEXT_RETURN_IF_ERROR(writer.Close());
  }
  const nlohmann::ordered_json index = {{"metadata", {{"total_size", source.total_bytes()}}},
                                        {"weight_map", weight_map}};
  QNEXT_RETURN_IF_ERROR(WriteText(folder + "/model.safetensors.index.json", index.dump(1)));
  QNEXT_RETURN_IF_ERROR(WriteText(folder + "/config.json", kind.config_json));
  QNEXT_RETURN_IF_ERROR(WriteText(folder + "/tokenizer.json", SyntheticTokenizerJson()));
  const nlohmann::ordered_json tokenizer_config = {{"tokenizer_class", "Qwen2Tokenizer"},
                                                   {"eos_token", "<|im_end|>"},
                                                   {"pad_token", "<|endoftext|>"},
                                                   {"bos_token", nullptr},
                                                   {"chat_template", std::string(kChatTemplate)}};
  QNEXT_RETURN_IF_ERROR(WriteText(folder + "/tokenizer_config.json", tokenizer_config.dump(1)));
  return WriteText(folder + "/generation_config.json", R"({"eos_token_id": [258, 256], "do_sample": false})");
}

}  // namespace qnext
