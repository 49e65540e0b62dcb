#include "server/bounded_json.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

#include "server/json_text.h"

namespace qnext::server {
namespace {

using Json = nlohmann::ordered_json;

// Builds the value from the parser's events, so that a limit stops the parse where it is broken.
class Builder final : public nlohmann::json_sax<Json> {
 public:
  explicit Builder(const JsonLimits& limits) : limits_(limits) {}

  Json&& TakeRoot() { return std::move(root_); }
  ApiError TakeError() { return std::move(error_); }

  bool null() override { return Add(nullptr) != nullptr; }
  bool boolean(bool value) override { return Add(value) != nullptr; }
  bool number_integer(number_integer_t value) override { return Add(value) != nullptr; }
  bool number_unsigned(number_unsigned_t value) override { return Add(value) != nullptr; }
  bool number_float(number_float_t value, const string_t& /*text*/) override { return Add(value) != nullptr; }
  bool string(string_t& value) override { return Add(std::move(value)) != nullptr; }
  bool binary(binary_t& /*value*/) override { return Fail("binary values are not JSON"); }
  bool start_object(std::size_t /*size*/) override { return Open(Json::object()); }
  bool start_array(std::size_t /*size*/) override { return Open(Json::array()); }
  bool end_object() override { return Close(); }
  bool end_array() override { return Close(); }

  bool key(string_t& name) override {
    Frame& frame = open_.back();
    frame.key = std::move(name);
    if (!frame.keys.insert(frame.key).second) return Fail("given twice");
    return true;
  }

  bool parse_error(std::size_t position, const std::string& last_token,
                   const nlohmann::detail::exception& exception) override {
    const std::string_view what = exception.what();
    if (what.find("UTF-8") != std::string_view::npos) return Fail(fmt::format("invalid UTF-8 at byte {}", position));
    if (what.find("out_of_range") != std::string_view::npos) return Fail("the number is too large");
    return Fail(fmt::format("not valid JSON at byte {}, near '{}'", position, last_token.substr(0, 40)));
  }

 private:
  struct Frame {
    Json* value;
    std::string key;  // of an object: the member being read
    std::unordered_set<std::string> keys;
  };

  // The value in its place, or null after a failure. The place stays valid while the value is open, because its parent
  // does not change until then.
  Json* Add(Json value) {
    if (++values_ > limits_.max_values) {
      Fail(fmt::format("more than {} JSON values", limits_.max_values));
      return nullptr;
    }
    if (open_.empty()) {
      root_ = std::move(value);
      return &root_;
    }
    Frame& parent = open_.back();
    if (parent.value->is_array()) return &parent.value->emplace_back(std::move(value));
    // emplace_back of the vector below: the map's own insertion looks through all keys, which `keys` has done already.
    auto* members = parent.value->get_ptr<Json::object_t*>();
    return &static_cast<Json::object_t::Container*>(members)->emplace_back(parent.key, std::move(value)).second;
  }

  bool Open(Json value) {
    if (static_cast<int64_t>(open_.size()) >= limits_.max_depth) {
      return Fail(fmt::format("nested deeper than {} levels", limits_.max_depth));
    }
    Json* place = Add(std::move(value));
    if (place == nullptr) return false;
    open_.push_back({place, {}, {}});
    return true;
  }

  bool Close() {
    open_.pop_back();
    return true;
  }

  bool Fail(const std::string& problem) {
    std::string path;
    for (size_t i = 0; i < open_.size() && i < 8; ++i) {
      const Frame& frame = open_[i];
      if (frame.value->is_array()) {
        const bool inside = i + 1 < open_.size();  // of an element that is there already
        path += fmt::format("[{}]", frame.value->size() - (inside ? 1 : 0));
      } else if (!frame.key.empty()) {
        if (!path.empty()) path += '.';
        path.append(frame.key, 0, 100);
      }
    }
    error_ = InvalidField(path, problem);
    return false;
  }

  JsonLimits limits_;
  Json root_;
  std::vector<Frame> open_;
  int64_t values_ = 0;
  ApiError error_;
};

}  // namespace

ApiResult<Json> ParseJsonObject(std::string_view text, const JsonLimits& limits) {
  Builder builder(limits);
  if (!Json::sax_parse(text.begin(), text.end(), &builder)) return builder.TakeError();
  Json root = builder.TakeRoot();
  if (!root.is_object()) return InvalidField("", "the body must be a JSON object");
  return root;
}

std::string ToText(const Json& value) { return value.dump(-1, ' ', false, Json::error_handler_t::replace); }

}  // namespace qnext::server
