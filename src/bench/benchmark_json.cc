#include "bench/benchmark_json.h"

#include <fmt/format.h>

#include <concepts>
#include <nlohmann/json.hpp>
#include <type_traits>

#include "base/json_guard.h"

namespace qnext {
namespace {

using Json = nlohmann::ordered_json;

constexpr char kFormat[] = "qnext-report";
constexpr int64_t kMostBytes = int64_t{1} << 30;  // of a file with the times of some 10 million tokens

template <typename T, typename U>
concept Is = std::same_as<std::remove_const_t<T>, U>;

// One list of fields for both ways: V is a Writer (of a const T) or a Reader.
template <typename V>
void Fields(V& v, Is<TimelineSummary> auto& x) {
  v("prompt_tokens", x.prompt_tokens);
  v("completion_tokens", x.completion_tokens);
  v("queue_seconds", x.queue_seconds);
  v("first_token_seconds", x.first_token_seconds);
  v("prefill_tokens_per_second", x.prefill_tokens_per_second);
  v("decode_tokens_per_second", x.decode_tokens_per_second);
  v("inter_token_median_seconds", x.inter_token_median_seconds);
  v("inter_token_p95_seconds", x.inter_token_p95_seconds);
  v("total_seconds", x.total_seconds);
}

template <typename V>
void Fields(V& v, Is<PlaceTelemetry> auto& x) {
  v("steps", x.steps);
  v("choices", x.choices);
  v("hits", x.hits);
  v("cpu", x.cpu);
  v("fetched", x.fetched);
  v("promoted", x.promoted);
  v("expert_bytes", x.expert_bytes);
  v("cached_experts", x.cached_experts);
  v("experts", x.experts);
  v("cpu_seconds", x.cpu_seconds);
  v("gpu_seconds", x.gpu_seconds);
  v("wait_seconds", x.wait_seconds);
  v("step_seconds", x.step_seconds);
  v("between_seconds", x.between_seconds);
}

template <typename V>
void Fields(V& v, Is<MemoryReading> auto& x) {
  v("ram_bytes", x.ram_bytes);
  v("ram_peak_bytes", x.ram_peak_bytes);
  v("vram_bytes", x.vram_bytes);
}

template <typename V>
void Fields(V& v, Is<BenchmarkSample> auto& x) {
  v("phase", x.phase);
  v("run", x.run);
  v("session", x.session);
  v("start_seconds", x.start_seconds);
  Fields(v, x.measured.summary);
  v("cached_prompt_tokens", x.measured.cached_prompt_tokens);
  v("places", x.measured.places);
  v("memory", x.measured.memory);
  v("inter_token_seconds", x.measured.inter_token_seconds);
}

template <typename V>
void Fields(V& v, Is<LoggedSample> auto& x) {
  v("cell", x.kind);
  v("asked_prompt_tokens", x.work.prompt_tokens);
  v("asked_output_tokens", x.work.output_tokens);
  Fields(v, x.sample);
}

template <typename V>
void Fields(V& v, Is<WorkloadCase> auto& x) {
  v("prompt_tokens", x.prompt_tokens);
  v("output_tokens", x.output_tokens);
}

template <typename V>
void Fields(V& v, Is<Spread> auto& x) {
  v("samples", x.samples);
  v("median", x.median);
  v("min", x.min);
  v("max", x.max);
  v("mean", x.mean);
}

template <typename V>
void Fields(V& v, Is<Percentiles> auto& x) {
  v("p50", x.p50);
  v("p95", x.p95);
  v("p99", x.p99);
}

template <typename V>
void Fields(V& v, Is<CellFigures> auto& x) {
  v("decode_tokens_per_second", x.decode_tokens_per_second);
  v("prefill_tokens_per_second", x.prefill_tokens_per_second);
  v("first_token_seconds", x.first_token_seconds);
  v("first_token_percentiles", x.first_token_percentiles);
  v("inter_token_seconds", x.inter_token_seconds);
  v("slowest_window_tokens_per_second", x.slowest_window_tokens_per_second);
  v("slowest_window_seconds", x.slowest_window_seconds);
  v("places", x.places);
}

template <typename V>
void Fields(V& v, Is<BenchmarkCell> auto& x) {
  v("kind", x.kind);
  Fields(v, x.work);
  v("wanted_runs", x.wanted_runs);
  v.Derived("figures", [&] { return FiguresOf(x.samples); });
  v("samples", x.samples);
}

template <typename V>
void Fields(V& v, Is<LeftOut> auto& x) {
  v("kind", x.kind);
  Fields(v, x.work);
  v("runs", x.runs);
  v("wanted_runs", x.wanted_runs);
  v("why", x.why);
}

template <typename V>
void Fields(V& v, Is<MemoryComponent> auto& x) {
  v("name", x.name);
  v("place", x.place);
  v("planned_bytes", x.planned_bytes);
  v("measured_bytes", x.measured_bytes);
}

template <typename V>
void Fields(V& v, Is<MemoryBudgets> auto& x) {
  v("vram_bytes", x.vram_bytes);
  v("ram_bytes", x.ram_bytes);
}

template <typename V>
void Fields(V& v, Is<ConfigurationPoint> auto& x) {
  v("options", x.options);
  v("this_run", x.this_run);
  v("fits", x.fits);
  v("why_not", x.why_not);
  v("vram_bytes", x.vram_bytes);
  v("ram_bytes", x.ram_bytes);
  v("cached_experts", x.cached_experts);
  v("experts", x.experts);
  v("decode_tokens_per_second", x.decode_tokens_per_second);
  v("uniform_tokens_per_second", x.uniform_tokens_per_second);
  v("hit_share", x.hit_share);
  v("uniform_hit_share", x.uniform_hit_share);
  v("miss_seconds", x.miss_seconds);
  v("gpu_seconds", x.gpu_seconds);
  v("overhead_seconds", x.overhead_seconds);
  v("prefill_tokens_per_second", x.prefill_tokens_per_second);
  v("fastest", x.fastest);
}

template <typename V>
void Fields(V& v, Is<Sweep> auto& x) {
  v("rates", x.rates);
  v("points", x.points);
}

template <typename V>
void Fields(V& v, Is<BenchmarkVerdict> auto& x) {
  v("median_tokens_per_second", x.median_tokens_per_second);
  v("slowest_window_tokens_per_second", x.slowest_window_tokens_per_second);
  v("slowest_window_seconds", x.slowest_window_seconds);
  v("reached", x.reached);
}

template <typename V>
void Fields(V& v, Is<Drift> auto& x) {
  v("requests", x.requests);
  v("seconds", x.seconds);
  v("decode_change", x.decode_change);
  v("first_token_change", x.first_token_change);
  v("decode_change_per_hour", x.decode_change_per_hour);
  v("ram_change_bytes", x.ram_change_bytes);
  v("vram_change_bytes", x.vram_change_bytes);
  v("ram_bytes_per_hour", x.ram_bytes_per_hour);
}

template <typename V>
void Fields(V& v, Is<BenchmarkReport> auto& x) {
  v("benchmark", x.benchmark);
  v("date", x.date);
  v.Derived("verdict", [&] { return VerdictOf(x); });
  v("target_tokens_per_second", x.target_tokens_per_second);
  v("model", x.subject);
  v("over_http", x.over_http);
  v("simulated_routing", x.simulated_routing);
  v("caveats", x.caveats);
  v("seconds", x.seconds);
  v("time_limit", x.time_limit);
  v("left_out", x.left_out);
  v.Derived("drift", [&] { return DriftOf(x); });
  v("budgets", x.budgets);
  v("memory", x.memory);
  v("facts", x.facts);
  v("sweep", x.sweep);
  v("warm_ups", x.warm_ups);
  v("cells", x.cells);
}

// The names of an enum, in the order of its values.
template <typename E>
std::vector<std::string_view> Names();
template <>
std::vector<std::string_view> Names<Subject>() {
  return {SubjectName(Subject::kUnknown), SubjectName(Subject::kThe80B), SubjectName(Subject::kAnother)};
}
template <>
std::vector<std::string_view> Names<SamplePhase>() {
  return {PhaseName(SamplePhase::kCold), PhaseName(SamplePhase::kWarmUp), PhaseName(SamplePhase::kWarm)};
}
template <>
std::vector<std::string_view> Names<CellKind>() {
  return {CellKindName(CellKind::kGrid), CellKindName(CellKind::kContext), CellKindName(CellKind::kStress),
          CellKindName(CellKind::kMemory)};
}

using Pairs = std::vector<std::pair<std::string, std::string>>;

class Writer {
 public:
  template <typename T>
  void operator()(const char* key, const T& value) {
    json_[key] = ToJson(value);
  }
  // What follows from the rest.
  template <typename Make>
  void Derived(const char* key, const Make& make) {
    json_[key] = ToJson(make());
  }

  template <typename T>
  static Json ToJson(const T& value) {
    if constexpr (std::is_enum_v<T>) {
      return Names<T>()[static_cast<size_t>(value)];
    } else if constexpr (std::is_arithmetic_v<T> || Is<T, std::string>) {
      return value;
    } else {
      return Convert(value);
    }
  }

 private:
  template <typename T>
  static Json Convert(const T& value) {
    Writer writer;
    Fields(writer, value);
    return std::move(writer.json_);
  }
  template <typename T>
  static Json Convert(const std::optional<T>& value) {
    return value ? ToJson(*value) : Json();
  }
  template <typename T>
  static Json Convert(const std::vector<T>& values) {
    Json array = Json::array();
    for (const T& value : values) array.push_back(ToJson(value));
    return array;
  }
  // Names and values are an object.
  static Json Convert(const Pairs& pairs) {
    Json object = Json::object();
    for (const auto& [name, value] : pairs) object[name] = value;
    return object;
  }
  static Json Convert(const std::vector<FactGroup>& groups) {
    Json object = Json::object();
    for (const FactGroup& group : groups) {
      Json& facts = object[group.title] = Json::object();
      for (const Fact& fact : group.facts) facts[fact.name] = fact.value;
    }
    return object;
  }

  Json json_ = Json::object();
};

// Keeps the first error.
class Reader {
 public:
  Reader(const Json& json, std::string path, Status& status) : json_(json), path_(std::move(path)), status_(status) {
    if (!json.is_object()) Fail(path_, "must be an object");
  }

  template <typename T>
  void operator()(const char* key, T& value) {
    if (!status_.ok()) return;
    const std::string path = path_.ends_with(": ") ? path_ + key : path_ + "." + key;
    const auto it = json_.find(key);
    if (it == json_.end()) return Fail(path, "is missing");
    Read(*it, path, value);
  }
  template <typename Make>
  void Derived(const char* /*key*/, const Make& /*make*/) {}

 private:
  void Fail(const std::string& path, const std::string& what) {
    if (status_.ok()) status_ = Corrupt(path.ends_with(": ") ? path + what : path + ": " + what);
  }

  template <typename T>
  void Read(const Json& json, const std::string& path, T& value) {
    if constexpr (Is<T, bool>) {
      if (!json.is_boolean()) return Fail(path, "must be true or false");
      value = json.get<bool>();
    } else if constexpr (std::is_integral_v<T>) {
      if (!json.is_number_integer()) return Fail(path, "must be a whole number");
      value = json.get<T>();
    } else if constexpr (std::is_floating_point_v<T>) {
      if (!json.is_number()) return Fail(path, "must be a number");
      value = json.get<T>();
    } else if constexpr (Is<T, std::string>) {
      if (!json.is_string()) return Fail(path, "must be a string");
      value = json.get<std::string>();
    } else if constexpr (std::is_enum_v<T>) {
      const std::vector<std::string_view> names = Names<T>();
      for (size_t i = 0; i < names.size(); ++i) {
        if (json.is_string() && json.get_ref<const std::string&>() == names[i]) {
          value = static_cast<T>(i);
          return;
        }
      }
      Fail(path, fmt::format("must be one of {}", fmt::join(names, ", ")));
    } else {
      ReadMany(json, path, value);
    }
  }

  template <typename T>
  void ReadMany(const Json& json, const std::string& path, T& value) {
    Reader reader(json, path, status_);
    if (status_.ok()) Fields(reader, value);
  }
  template <typename T>
  void ReadMany(const Json& json, const std::string& path, std::optional<T>& value) {
    value.reset();
    if (!json.is_null()) Read(json, path, value.emplace());
  }
  template <typename T>
  void ReadMany(const Json& json, const std::string& path, std::vector<T>& values) {
    if (!json.is_array()) return Fail(path, "must be an array");
    values.resize(json.size());
    for (size_t i = 0; i < json.size() && status_.ok(); ++i) Read(json[i], fmt::format("{}[{}]", path, i), values[i]);
  }
  void ReadMany(const Json& json, const std::string& path, Pairs& pairs) {
    if (!json.is_object()) return Fail(path, "must be an object");
    pairs.clear();
    for (const auto& [name, value] : json.items()) {
      pairs.emplace_back(name, "");
      Read(value, path + "." + name, pairs.back().second);
    }
  }
  void ReadMany(const Json& json, const std::string& path, std::vector<FactGroup>& groups) {
    if (!json.is_object()) return Fail(path, "must be an object");
    groups.clear();
    for (const auto& [title, facts] : json.items()) {
      Pairs pairs;
      ReadMany(facts, path + "." + title, pairs);
      groups.push_back({.title = title, .facts = {}});
      for (auto& [name, value] : pairs) groups.back().facts.push_back({.name = name, .value = std::move(value)});
    }
  }

  const Json& json_;
  std::string path_;
  Status& status_;
};

Result<Json> ParseText(std::string_view text, const std::string& path) {
  if (const Status status = CheckJsonLimits(text, {.max_bytes = kMostBytes}); !status.ok()) {
    return status.WithContext(path);
  }
  Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (json.is_discarded()) return Corrupt(path + ": is not JSON");
  return json;
}

std::string Dump(const Json& json, int indent) {
  // Facts come from the system; a byte that is no UTF-8 must not lose the report.
  return json.dump(indent, ' ', /*ensure_ascii=*/false, Json::error_handler_t::replace);
}

}  // namespace

std::string FormatBenchmarkJson(const BenchmarkReport& report) {
  Json json = {{"format", kFormat}, {"format_version", kReportFormatVersion}};
  json.update(Writer::ToJson(report));
  return Dump(json, 1) + "\n";
}

Result<BenchmarkReport> ParseBenchmarkJson(std::string_view text, const std::string& path) {
  QNEXT_ASSIGN_OR_RETURN(const Json json, ParseText(text, path));
  if (!json.is_object() || json.value("format", Json()) != kFormat) {
    return Unsupported(fmt::format("{}: is no report of qnext bench (\"format\" is not \"{}\")", path, kFormat));
  }
  if (const Json version = json.value("format_version", Json()); version != kReportFormatVersion) {
    return Unsupported(fmt::format("{}: has format_version {}, and this program reads {}; run the benchmark again",
                                   path, Dump(version, -1), kReportFormatVersion));
  }
  BenchmarkReport report;
  Status status;
  Reader reader(json, path + ": ", status);
  Fields(reader, report);
  QNEXT_RETURN_IF_ERROR(status);
  return report;
}

std::string FormatSampleLine(const LoggedSample& sample) { return Dump(Writer::ToJson(sample), -1); }

Result<LoggedSample> ParseSampleLine(std::string_view line, const std::string& path) {
  QNEXT_ASSIGN_OR_RETURN(const Json json, ParseText(line, path));
  LoggedSample sample;
  Status status;
  Reader reader(json, path + ": ", status);
  if (status.ok()) Fields(reader, sample);
  QNEXT_RETURN_IF_ERROR(status);
  return sample;
}

}  // namespace qnext
