#include "cli/sample_log.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <nlohmann/json.hpp>
#include <string_view>
#include <system_error>

#include "base/file.h"
#include "base/json_guard.h"
#include "bench/benchmark_json.h"

namespace qnext {
namespace {

using Json = nlohmann::ordered_json;

constexpr char kFormat[] = "qnext-samples";
constexpr int kFormatVersion = 1;

std::string Reason() { return std::generic_category().message(errno); }

std::string HeadLine(const BenchmarkSettings& settings) {
  Json values = Json::object();
  for (const auto& [name, value] : settings) values[name] = value;
  const Json head = {{"format", kFormat}, {"format_version", kFormatVersion}, {"settings", std::move(values)}};
  return head.dump(-1, ' ', /*ensure_ascii=*/false, Json::error_handler_t::replace);
}

// OK if `line` is the head of a log with these settings.
Status CheckHead(std::string_view line, const BenchmarkSettings& settings, const std::string& path) {
  const Json head = CheckJsonLimits(line).ok() ? Json::parse(line, nullptr, /*allow_exceptions=*/false) : Json();
  const Json known = Json::parse(HeadLine(settings));  // with the same mended text
  if (!head.is_object() || head.value("format", Json()) != kFormat || !head.value("settings", Json()).is_object()) {
    return Corrupt(path + ": is no log of samples of qnext bench; use another --out");
  }
  if (head.value("format_version", Json()) != kFormatVersion) {
    return Unsupported(path + ": is the log of another version of qnext bench; use another --out");
  }
  std::string differences;
  const auto differs = [&](const std::string& name, const Json& was, const Json& is) {
    const auto text = [](const Json& value) {
      return value.is_string() ? value.get<std::string>() : std::string("none");
    };
    differences += fmt::format("{}{} was {} and is {}", differences.empty() ? "" : "; ", name, text(was), text(is));
  };
  const Json& was = head["settings"];
  const Json& is = known["settings"];
  for (const auto& [name, value] : is.items()) {
    if (was.value(name, Json()) != value) differs(name, was.value(name, Json()), value);
  }
  for (const auto& [name, value] : was.items()) {
    if (!is.contains(name)) differs(name, value, Json());
  }
  if (differences.empty()) return {};
  return InvalidArgument(
      fmt::format("--out: {} was begun with other settings: {}; use another folder, or remove the file to begin anew",
                  path, differences));
}

}  // namespace

Result<SampleLog> SampleLog::Open(const std::string& folder, const BenchmarkSettings& settings) {
  const std::string path = folder + "/samples.jsonl";
  const int descriptor = ::open(path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  std::FILE* file = descriptor < 0 ? nullptr : ::fdopen(descriptor, "a");
  if (file == nullptr) {
    const std::string why = Reason();
    if (descriptor >= 0) ::close(descriptor);
    return Unavailable(path + ": " + why);
  }
  SampleLog log(path, file);
  if (::flock(descriptor, LOCK_EX | LOCK_NB) != 0) {
    return Unavailable(path + ": another benchmark is writing there; use another --out");
  }
  QNEXT_RETURN_IF_ERROR(log.ReadWhatIsThere(settings));
  return log;
}

SampleLog::SampleLog(SampleLog&& other) noexcept
    : path_(std::move(other.path_)), file_(std::exchange(other.file_, nullptr)), before_(std::move(other.before_)) {}

SampleLog::~SampleLog() {
  if (file_ != nullptr) static_cast<void>(std::fclose(file_));
}

Status SampleLog::ReadWhatIsThere(const BenchmarkSettings& settings) {
  QNEXT_ASSIGN_OR_RETURN(const std::string text, ReadFileToString(path_, int64_t{1} << 30));
  const size_t whole = text.rfind('\n') == std::string::npos ? 0 : text.rfind('\n') + 1;
  if (whole < text.size() && ::ftruncate(::fileno(file_), static_cast<off_t>(whole)) != 0) {
    return Unavailable(path_ + ": " + Reason());
  }
  if (whole == 0) return Write(HeadLine(settings));
  int64_t line = 0;
  for (size_t begin = 0; begin < whole;) {
    const size_t end = text.find('\n', begin);
    const std::string_view one = std::string_view(text).substr(begin, end - begin);
    begin = end + 1;
    if (line++ == 0) {
      QNEXT_RETURN_IF_ERROR(CheckHead(one, settings, path_));
      continue;
    }
    QNEXT_ASSIGN_OR_RETURN(LoggedSample sample, ParseSampleLine(one, fmt::format("{}: line {}", path_, line)));
    before_.push_back(std::move(sample));
  }
  return {};
}

Status SampleLog::Append(const LoggedSample& sample) { return Write(FormatSampleLine(sample)); }

Status SampleLog::Write(const std::string& line) {
  errno = 0;
  const std::string whole = line + "\n";
  if (std::fwrite(whole.data(), 1, whole.size(), file_) == whole.size() && std::fflush(file_) == 0) return {};
  return Unavailable(path_ + ": " + Reason());
}

}  // namespace qnext
