#include "checkpoint/safetensors_header.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>

#include "base/clip.h"
#include "base/json_guard.h"

namespace qnext {
namespace {

constexpr int kMaxDepth = 3;  // the header, one tensor, its shape
constexpr int64_t kMaxOffset = int64_t{1} << 62;
constexpr size_t kMaxRank = 16;

// Receives the events of nlohmann's streaming parser, which neither recurses nor throws.
class HeaderReader {
 public:
  bool null() { return Unexpected("null"); }
  bool boolean(bool) { return Unexpected("a boolean"); }
  bool number_float(double, const std::string&) { return Unexpected("a fraction"); }
  bool binary(nlohmann::json::binary_t&) { return Unexpected("binary"); }
  bool number_integer(int64_t) { return Unexpected("a negative number"); }

  bool number_unsigned(uint64_t value) {
    if (place_ != Place::kNumbers) return Unexpected("a number");
    if (value > static_cast<uint64_t>(kMaxOffset)) return Fail(fmt::format("{}: {} is too large", field_, value));
    if (numbers_.size() >= kMaxRank) return Fail(fmt::format("{}: more than {} numbers", field_, kMaxRank));
    numbers_.push_back(static_cast<int64_t>(value));
    return true;
  }

  bool string(std::string& value) {
    if (place_ == Place::kMetadata) return true;
    if (place_ != Place::kTensor || field_ != "dtype") return Unexpected("a string");
    const std::optional<DType> dtype = ParseDType(value);
    if (!dtype.has_value()) return Fail(fmt::format("dtype: \"{}\" is not known", Clip(value)));
    tensor_.dtype = *dtype;
    return true;
  }

  bool start_object(size_t) {
    switch (place_) {
      case Place::kOutside:
        place_ = Place::kHeader;
        return true;
      case Place::kHeader:
        place_ = tensor_.name == "__metadata__" ? Place::kMetadata : Place::kTensor;
        if (place_ == Place::kMetadata && std::exchange(has_metadata_, true)) return Fail("occurs twice");
        seen_ = 0;
        return true;
      default:
        return Unexpected("an object");
    }
  }

  bool key(std::string& value) {
    if (place_ == Place::kHeader) {
      tensor_ = TensorInfo();
      if (value.size() > kMostNameBytes) {
        return Fail(fmt::format("\"{}…\": a tensor's name of {} bytes", value.substr(0, 64), value.size()));
      }
      tensor_.name = std::move(value);
      return true;
    }
    if (place_ == Place::kMetadata) return true;
    field_ = std::move(value);
    const unsigned bit = FieldBit(field_);
    if (bit == 0) return Fail(fmt::format("\"{}\" is not a field of a tensor", field_.substr(0, 64)));
    if ((seen_ & bit) != 0) return Fail(fmt::format("{}: occurs twice", field_));
    seen_ |= bit;
    return true;
  }

  bool end_object() {
    if (place_ == Place::kHeader) {
      place_ = Place::kOutside;
      return true;
    }
    if (place_ == Place::kTensor && !FinishTensor()) return false;
    place_ = Place::kHeader;
    return true;
  }

  bool start_array(size_t) {
    if (place_ != Place::kTensor || field_ == "dtype") return Unexpected("an array");
    place_ = Place::kNumbers;
    numbers_.clear();
    return true;
  }

  bool end_array() {
    place_ = Place::kTensor;
    if (field_ == "shape") {
      tensor_.shape = Shape(numbers_);
      return true;
    }
    if (numbers_.size() != 2) return Fail(fmt::format("data_offsets: {} numbers instead of 2", numbers_.size()));
    if (numbers_[1] < numbers_[0]) {
      return Fail(fmt::format("data_offsets: the end {} is before the begin {}", numbers_[1], numbers_[0]));
    }
    tensor_.offset = numbers_[0];
    tensor_.bytes = numbers_[1] - numbers_[0];
    return true;
  }

  bool parse_error(size_t position, const std::string&, const nlohmann::json::exception& error) {
    error_ = fmt::format("header is not valid JSON at byte {}: {}", position, Clip(error.what(), 200));
    return false;
  }

  const std::string& error() const { return error_; }
  std::vector<TensorInfo> TakeTensors() { return std::move(tensors_); }

 private:
  enum class Place { kOutside, kHeader, kMetadata, kTensor, kNumbers };
  static constexpr size_t kMostNameBytes = 1024;  // so that messages stay readable; real names have under 100
  static constexpr unsigned kDType = 1, kShape = 2, kOffsets = 4;

  static unsigned FieldBit(std::string_view field) {
    if (field == "dtype") return kDType;
    if (field == "shape") return kShape;
    return field == "data_offsets" ? kOffsets : 0;
  }

  bool Fail(std::string_view message) {
    error_ = tensor_.name.empty() ? fmt::format("header: {}", message) : fmt::format("{}: {}", tensor_.name, message);
    return false;
  }

  bool Unexpected(std::string_view what) {
    switch (place_) {
      case Place::kOutside:
      case Place::kHeader:
        return Fail(fmt::format("found {}, expected an object", what));
      case Place::kMetadata:
        return Fail(fmt::format("found {}, expected a string", what));
      default:
        return Fail(fmt::format("{}: unexpected {}", field_, what));
    }
  }

  bool FinishTensor() {
    if ((seen_ & kDType) == 0) return Fail("dtype: is missing");
    if ((seen_ & kShape) == 0) return Fail("shape: is missing");
    if ((seen_ & kOffsets) == 0) return Fail("data_offsets: is missing");
    const std::optional<int64_t> elements = tensor_.shape.Elements();
    int64_t bytes = 0;
    if (!elements.has_value() || __builtin_mul_overflow(*elements, DTypeSize(tensor_.dtype), &bytes)) {
      return Fail(fmt::format("shape: {} is too large", tensor_.shape.ToString()));
    }
    if (bytes != tensor_.bytes) {
      return Fail(fmt::format("data_offsets: span {} bytes, but {} {} has {}", tensor_.bytes, DTypeName(tensor_.dtype),
                              tensor_.shape.ToString(), bytes));
    }
    tensors_.push_back(std::move(tensor_));
    return true;
  }

  Place place_ = Place::kOutside;
  bool has_metadata_ = false;
  unsigned seen_ = 0;
  std::string field_;
  std::vector<int64_t> numbers_;
  TensorInfo tensor_;
  std::vector<TensorInfo> tensors_;
  std::string error_;
};

Status CheckNames(const std::vector<TensorInfo>& tensors) {
  std::vector<std::string_view> names;
  names.reserve(tensors.size());
  for (const TensorInfo& tensor : tensors) names.push_back(tensor.name);
  std::sort(names.begin(), names.end());
  const auto twice = std::adjacent_find(names.begin(), names.end());
  if (twice != names.end()) return Corrupt(fmt::format("{}: occurs twice in the header", *twice));
  if (!names.empty() && names.front().empty()) return Corrupt("header: a tensor has an empty name");
  return Status();
}

// The tensors are sorted by offset, still relative to the data.
Status CheckCoverage(const std::vector<TensorInfo>& tensors, int64_t data_bytes) {
  int64_t covered = 0;
  const TensorInfo* previous = nullptr;
  for (const TensorInfo& tensor : tensors) {
    if (tensor.offset < covered) {
      return Corrupt(fmt::format("{}: begins at data byte {}, inside {}, which ends at {}", tensor.name, tensor.offset,
                                 previous->name, covered));
    }
    if (tensor.offset > covered) {
      return Corrupt(
          fmt::format("{}: begins at data byte {}, leaving a gap after byte {}", tensor.name, tensor.offset, covered));
    }
    covered = tensor.offset + tensor.bytes;
    if (covered > data_bytes) {
      return Corrupt(fmt::format("{}: ends at data byte {}, but the file holds {} (is it incomplete?)", tensor.name,
                                 covered, data_bytes));
    }
    previous = &tensor;
  }
  if (covered != data_bytes) {
    return Corrupt(fmt::format("the tensors end at data byte {}, but the file holds {}", covered, data_bytes));
  }
  return Status();
}

}  // namespace

Result<std::vector<TensorInfo>> ParseSafetensorsHeader(std::string_view header, int64_t data_start,
                                                       int64_t data_bytes) {
  const Status limits = CheckJsonLimits(header, {.max_bytes = kMaxSafetensorsHeaderBytes, .max_depth = kMaxDepth});
  if (!limits.ok()) return Corrupt(fmt::format("header: {}", limits.message()));
  if (!header.starts_with('{')) return Corrupt("header: does not begin with '{'");
  HeaderReader reader;
  if (!nlohmann::json::sax_parse(header.begin(), header.end(), &reader)) return Corrupt(reader.error());
  if (const char last = header[header.find_last_not_of(' ')]; last != '}') {
    return Corrupt(fmt::format("header: byte 0x{:02x} after its JSON, which only spaces (0x20) may follow", last));
  }
  std::vector<TensorInfo> tensors = reader.TakeTensors();
  QNEXT_RETURN_IF_ERROR(CheckNames(tensors));
  std::sort(tensors.begin(), tensors.end(), [](const TensorInfo& a, const TensorInfo& b) {
    return std::pair(a.offset, a.bytes) < std::pair(b.offset, b.bytes);
  });
  QNEXT_RETURN_IF_ERROR(CheckCoverage(tensors, data_bytes));
  for (TensorInfo& tensor : tensors) tensor.offset += data_start;
  return tensors;
}

}  // namespace qnext
