// Writing a synthetic checkpoint as a folder of real shards.
//
//   1. tensors, in the order of their names, fill shards; their bytes are cut into regions of one large write each
//   2. every thread takes the next region of the folder, generates it and writes it where it belongs
//   3. shards get their names, then the index, then the small files
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/aligned_buffer.h"
#include "base/bytes.h"
#include "checkpoint/synthetic.h"
#include "checkpoint/synthetic_files.h"

namespace qnext {
namespace {

// One write: large enough for any disk, small enough for every thread to have one in hand.
constexpr int64_t kRegionBytes = int64_t{8} << 20;
constexpr char kUnfinished[] = ".part";

// A file being written, under another name until it is whole.
class Writer {
 public:
  static Result<Writer> Create(const std::string& path) {
    Writer writer(path);
    writer.descriptor_ = ::open(writer.part_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (writer.descriptor_ < 0) return Unavailable(fmt::format("{}: cannot be created: {}", path, ErrorText()));
    return writer;
  }
  Writer(Writer&& other) noexcept
      : descriptor_(std::exchange(other.descriptor_, -1)),
        path_(std::move(other.path_)),
        part_(std::move(other.part_)) {}
  Writer& operator=(Writer&&) = delete;
  ~Writer() {
    if (descriptor_ < 0) return;
    ::close(descriptor_);
    ::unlink(part_.c_str());
  }

  // Thread-safe.
  Status WriteAt(int64_t offset, std::span<const std::byte> bytes) const {
    while (!bytes.empty()) {
      const ssize_t wrote = ::pwrite(descriptor_, bytes.data(), bytes.size(), offset);
      if (wrote < 0 && errno == EINTR) continue;
      if (wrote <= 0) return Failed("cannot be written");
      bytes = bytes.subspan(static_cast<size_t>(wrote));
      offset += wrote;
    }
    return Status();
  }

  // The file is whole and gets its name.
  Status Finish() {
    if (::close(std::exchange(descriptor_, -1)) != 0 || ::rename(part_.c_str(), path_.c_str()) != 0) {
      const Status failed = Failed("cannot be written");
      ::unlink(part_.c_str());
      return failed;
    }
    return Status();
  }

 private:
  explicit Writer(std::string path) : path_(std::move(path)), part_(path_ + kUnfinished) {}

  static std::string ErrorText() { return std::strerror(errno); }
  Status Failed(const char* what) const {
    const bool full = errno == ENOSPC || errno == EDQUOT;
    const std::string message = fmt::format("{}: {}: {}", path_, what, ErrorText());
    return full ? ResourceExhausted(message) : Unavailable(message);
  }

  int descriptor_ = -1;
  std::string path_;
  std::string part_;
};

// A stretch of a tensor's bytes.
struct Piece {
  TensorInfo tensor;
  int64_t offset;
  int64_t bytes;
};

// Consecutive pieces, written at once.
struct Region {
  size_t shard;
  int64_t file_offset;
  int64_t bytes = 0;
  std::vector<Piece> pieces;
};

struct Shard {
  std::string name;
  std::vector<TensorInfo> tensors;
  std::string header;  // with its length

  int64_t bytes() const {
    int64_t sum = static_cast<int64_t>(header.size());
    for (const TensorInfo& tensor : tensors) sum += tensor.bytes;
    return sum;
  }
};

std::string ShardHeader(const std::vector<TensorInfo>& tensors) {
  nlohmann::ordered_json header;
  header["__metadata__"] = {{"format", "pt"}};
  int64_t offset = 0;
  for (const TensorInfo& tensor : tensors) {
    header[tensor.name] = {{"dtype", std::string(DTypeName(tensor.dtype))},
                           {"shape", tensor.shape.extents()},
                           {"data_offsets", {offset, offset + tensor.bytes}}};
    offset += tensor.bytes;
  }
  std::string text = header.dump();
  text.append((8 - text.size() % 8) % 8, ' ');
  const uint64_t length = text.size();
  std::string prefix(8, '\0');
  std::memcpy(prefix.data(), &length, 8);
  return prefix + text;
}

std::vector<Shard> PlanShards(const SyntheticCheckpoint& source, int64_t shard_bytes) {
  std::vector<Shard> shards(1);
  int64_t filled = 0;
  source.ForEach([&](const TensorInfo& tensor) {
    if (filled > 0 && filled + tensor.bytes > shard_bytes) shards.emplace_back(), filled = 0;
    shards.back().tensors.push_back(tensor);
    filled += tensor.bytes;
  });
  for (size_t i = 0; i < shards.size(); ++i) {
    shards[i].name = fmt::format("model-{:05}-of-{:05}.safetensors", i + 1, shards.size());
    shards[i].header = ShardHeader(shards[i].tensors);
  }
  return shards;
}

// In the order of the files, so that a disk sees one long write.
std::vector<Region> PlanRegions(const std::vector<Shard>& shards) {
  std::vector<Region> regions;
  for (size_t i = 0; i < shards.size(); ++i) {
    int64_t at = static_cast<int64_t>(shards[i].header.size());
    regions.push_back({.shard = i, .file_offset = at});
    for (const TensorInfo& tensor : shards[i].tensors) {
      for (int64_t offset = 0; offset < tensor.bytes;) {
        const int64_t bytes = std::min(kRegionBytes, tensor.bytes - offset);
        if (regions.back().bytes + bytes > kRegionBytes) regions.push_back({.shard = i, .file_offset = at});
        regions.back().pieces.push_back({.tensor = tensor, .offset = offset, .bytes = bytes});
        regions.back().bytes += bytes;
        offset += bytes;
        at += bytes;
      }
    }
  }
  return regions;
}

// Makes the folder if there is none.
Status CheckEmpty(const std::string& folder) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) return Unavailable(fmt::format("{}: cannot be created: {}", folder, error.message()));
  const std::filesystem::directory_iterator entries(folder, error);
  if (error) return Unavailable(fmt::format("{}: cannot be read: {}", folder, error.message()));
  if (entries != std::filesystem::directory_iterator()) {
    return InvalidArgument(fmt::format("{}: is not empty", folder));
  }
  return Status();
}

Status CheckRoom(const std::string& folder, int64_t needed) {
  struct statvfs disk = {};
  if (::statvfs(folder.c_str(), &disk) != 0) return Status();  // writing will tell
  const int64_t free = static_cast<int64_t>(disk.f_bavail) * static_cast<int64_t>(disk.f_frsize);
  if (free >= needed) return Status();
  return ResourceExhausted(
      fmt::format("{}: {} are needed, and the disk has {} free", folder, FormatBytes(needed), FormatBytes(free)));
}

Status WriteText(const std::string& path, std::string_view text) {
  QNEXT_ASSIGN_OR_RETURN(Writer writer, Writer::Create(path));
  QNEXT_RETURN_IF_ERROR(writer.WriteAt(0, std::as_bytes(std::span(text))));
  return writer.Finish();
}

// Removes what was finished when a later step fails. (Unfinished files are removed by their Writer.)
class Undo {
 public:
  explicit Undo(std::string folder) : folder_(std::move(folder)) {}
  ~Undo() {
    std::error_code ignored;
    for (const std::string& name : names_) std::filesystem::remove(folder_ + "/" + name, ignored);
  }
  Undo(const Undo&) = delete;
  Undo& operator=(const Undo&) = delete;

  void Remember(std::string name) { names_.push_back(std::move(name)); }
  void Keep() { names_.clear(); }

 private:
  std::string folder_;
  std::vector<std::string> names_;
};

Status WriteShards(const SyntheticCheckpoint& source, const std::vector<Shard>& shards, std::vector<Writer>& writers,
                   ThreadPool& pool, FunctionRef<void(int64_t done, int64_t total)> progress) {
  for (size_t i = 0; i < shards.size(); ++i) {
    QNEXT_RETURN_IF_ERROR(writers[i].WriteAt(0, std::as_bytes(std::span(shards[i].header))));
  }
  const std::vector<Region> regions = PlanRegions(shards);
  std::vector<AlignedBuffer<std::byte>> buffers(static_cast<size_t>(pool.threads()));
  std::vector<Status> status(static_cast<size_t>(pool.threads()));
  std::atomic<bool> failed{false};
  std::atomic<int64_t> done{0};
  pool.ParallelFor(static_cast<int64_t>(regions.size()), 1, [&](Range part, int thread) {
    const Region& region = regions[static_cast<size_t>(part.begin)];
    if (failed || region.bytes == 0) return;
    AlignedBuffer<std::byte>& buffer = buffers[static_cast<size_t>(thread)];
    if (buffer.size() == 0) buffer = AlignedBuffer<std::byte>(kRegionBytes);
    int64_t at = 0;
    for (const Piece& piece : region.pieces) {
      source.Generate(piece.tensor, piece.offset, {buffer.data() + at, static_cast<size_t>(piece.bytes)});
      at += piece.bytes;
    }
    const Status wrote =
        writers[region.shard].WriteAt(region.file_offset, buffer.span().first(static_cast<size_t>(region.bytes)));
    if (!wrote.ok()) {
      status[static_cast<size_t>(thread)] = wrote;
      failed = true;
    }
    done += region.bytes;
    if (thread == 0) progress(done, source.total_bytes());
  });
  for (const Status& one : status) QNEXT_RETURN_IF_ERROR(one);
  progress(source.total_bytes(), source.total_bytes());
  return Status();
}

}  // namespace

Status WriteSynthetic(const SyntheticKind& kind, const std::string& folder, const SyntheticWriteOptions& options,
                      ThreadPool& pool, FunctionRef<void(int64_t done, int64_t total)> progress) {
  QNEXT_ASSIGN_OR_RETURN(const ModelConfig config, SyntheticConfig(kind));
  QNEXT_RETURN_IF_ERROR(CheckEmpty(folder));  // before the list of all tensors, which takes seconds
  const SyntheticCheckpoint source(config, options.seed);
  const std::vector<Shard> shards = PlanShards(source, options.shard_bytes);
  int64_t needed = 0;
  for (const Shard& shard : shards) needed += shard.bytes();
  QNEXT_RETURN_IF_ERROR(CheckRoom(folder, needed));

  Undo undo(folder);
  std::vector<Writer> writers;
  nlohmann::ordered_json weight_map;
  for (const Shard& shard : shards) {
    QNEXT_ASSIGN_OR_RETURN(Writer writer, Writer::Create(folder + "/" + shard.name));
    writers.push_back(std::move(writer));
    for (const TensorInfo& tensor : shard.tensors) weight_map[tensor.name] = shard.name;
  }
  QNEXT_RETURN_IF_ERROR(WriteShards(source, shards, writers, pool, progress));
  for (size_t i = 0; i < shards.size(); ++i) {
    QNEXT_RETURN_IF_ERROR(writers[i].Finish());
    undo.Remember(shards[i].name);
  }
  const nlohmann::ordered_json index = {{"metadata", {{"total_size", source.total_bytes()}}},
                                        {"weight_map", weight_map}};
  const std::pair<const char*, std::string> files[] = {{"model.safetensors.index.json", index.dump(1)},
                                                       {"config.json", kind.config_json},
                                                       {"tokenizer.json", SyntheticTokenizerJson()},
                                                       {"tokenizer_config.json", SyntheticTokenizerConfigJson()},
                                                       {"generation_config.json", SyntheticGenerationConfigJson()}};
  for (const auto& [name, text] : files) {
    QNEXT_RETURN_IF_ERROR(WriteText(folder + "/" + name, text));
    undo.Remember(name);
  }
  undo.Keep();
  return Status();
}

}  // namespace qnext
