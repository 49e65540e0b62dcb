#include "checkpoint/checkpoint.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>
#include <set>
#include <system_error>
#include <utility>

#include "base/check.h"
#include "base/file.h"
#include "config/json_value.h"

namespace qnext {
namespace {

constexpr int64_t kMaxIndexBytes = int64_t{256} << 20;
constexpr size_t kListed = 20;

struct IndexEntry {
  std::string tensor;
  std::string file;
};

std::string InFolder(const std::string& folder, std::string_view file) { return fmt::format("{}/{}", folder, file); }

// A shard lies beside its index: a name with a separator could reach any file of the machine.
bool IsPlainFileName(const std::string& name) {
  return !name.empty() && name != "." && name != ".." && name.find('/') == std::string::npos &&
         name.find('\0') == std::string::npos;
}

Result<std::vector<IndexEntry>> ReadIndex(const std::string& path) {
  QNEXT_ASSIGN_OR_RETURN(const std::string text, ReadFileToString(path, kMaxIndexBytes));
  Result<JsonValue> json = ParseJson(text, {.max_bytes = kMaxIndexBytes, .max_depth = 8});
  if (!json.ok()) return json.status().WithContext(path);
  const JsonValue* map = json->Find("weight_map");
  if (map == nullptr || map->object() == nullptr) {
    return Corrupt(fmt::format("{}: weight_map: is missing or not an object", path));
  }
  if (map->object()->empty()) return Corrupt(fmt::format("{}: weight_map: is empty", path));
  std::vector<IndexEntry> entries;
  entries.reserve(map->object()->size());
  for (const JsonMember& member : *map->object()) {
    const std::string* file = member.value.string();
    if (file == nullptr || !IsPlainFileName(*file)) {
      return Corrupt(fmt::format("{}: weight_map: {}: {} is not the name of a file beside the index", path, member.key,
                                 member.value.Describe()));
    }
    entries.push_back({member.key, *file});
  }
  return entries;
}

// Lists up to kListed of the items, and how many more there are.
std::string List(const std::vector<std::string>& items) {
  const size_t shown = std::min(items.size(), kListed);
  std::string text = fmt::format("{}", fmt::join(items.begin(), items.begin() + static_cast<ptrdiff_t>(shown), ", "));
  if (shown < items.size()) text += fmt::format(" and {} more", items.size() - shown);
  return text;
}

}  // namespace

Result<Checkpoint> Checkpoint::Open(const std::string& folder) {
  Checkpoint checkpoint;
  checkpoint.folder_ = folder;
  const std::string index_path = folder + "/model.safetensors.index.json";
  const std::string single_path = folder + "/model.safetensors";
  if (!FileExists(index_path)) {
    if (!FileExists(single_path)) {
      return NotFound(fmt::format("{}: holds neither model.safetensors.index.json nor model.safetensors", folder));
    }
    QNEXT_RETURN_IF_ERROR(checkpoint.AddShard(single_path));
    return checkpoint;
  }

  QNEXT_ASSIGN_OR_RETURN(const std::vector<IndexEntry> index, ReadIndex(index_path));
  std::set<std::string> files;
  for (const IndexEntry& entry : index) files.insert(entry.file);
  std::vector<std::string> missing;
  for (const std::string& file : files) {
    std::error_code ignored;  // a shard that is a link to nothing is missing as well
    if (!std::filesystem::exists(InFolder(folder, file), ignored)) missing.push_back(file);
  }
  if (!missing.empty()) {
    return NotFound(fmt::format("{}: {} of its {} shards are missing: {}", index_path, missing.size(), files.size(),
                                List(missing)));
  }
  for (const std::string& file : files) QNEXT_RETURN_IF_ERROR(checkpoint.AddShard(InFolder(folder, file)));

  std::vector<std::string> misplaced;
  for (const IndexEntry& entry : index) {
    const Entry* found = checkpoint.Find(entry.tensor);
    if (found == nullptr) {
      misplaced.push_back(fmt::format("{} (in no shard)", entry.tensor));
    } else if (checkpoint.shards_[found->shard].path() != InFolder(folder, entry.file)) {
      misplaced.push_back(
          fmt::format("{} (in {}, not {})", entry.tensor, checkpoint.shards_[found->shard].path(), entry.file));
    }
  }
  if (!misplaced.empty()) {
    return Corrupt(fmt::format("{}: names {} tensors that are not where it says: {}", index_path, misplaced.size(),
                               List(misplaced)));
  }
  std::set<std::string_view> listed;
  for (const IndexEntry& entry : index) listed.insert(entry.tensor);
  for (const auto& [name, entry] : checkpoint.tensors_) {
    if (!listed.contains(name)) checkpoint.unlisted_.push_back(name);
  }
  return checkpoint;
}

Status Checkpoint::AddShard(const std::string& path) {
  QNEXT_ASSIGN_OR_RETURN(SafetensorsFile shard, SafetensorsFile::Open(path));
  for (const TensorInfo& tensor : shard.tensors()) {
    const auto [position, added] = tensors_.try_emplace(tensor.name, Entry{shards_.size(), tensor});
    if (!added) {
      return Corrupt(fmt::format("{}: {}: is also in {}", path, tensor.name, shards_[position->second.shard].path()));
    }
  }
  shards_.push_back(std::move(shard));
  return Status();
}

const Checkpoint::Entry* Checkpoint::Find(std::string_view name) const {
  const auto found = tensors_.find(name);
  return found == tensors_.end() ? nullptr : &found->second;
}

Status Checkpoint::Read(const Entry& entry, std::span<std::byte> out) const {
  QNEXT_CHECK(entry.shard < shards_.size(), "the entry is not of this checkpoint");
  return shards_[entry.shard].Read(entry.info, out);
}

int64_t Checkpoint::total_bytes() const {
  int64_t bytes = 0;
  for (const auto& [name, entry] : tensors_) bytes += entry.info.bytes;
  return bytes;
}

}  // namespace qnext
