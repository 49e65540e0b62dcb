#include <fmt/core.h>

#include <algorithm>

#include "base/check.h"
#include "bench/benchmark_report.h"
#include "bench/number_text.h"
#include "bench/windows.h"

namespace qnext {
namespace {

constexpr size_t kLeastForDrift = 8;
constexpr double kLeastForSlopes = 600;  // seconds

void AppendIfThere(std::vector<double>& values, const std::optional<double>& value) {
  if (value) values.push_back(*value);
}

Percentiles PercentilesOf(const std::vector<double>& values) {
  if (values.empty()) return {};
  return {.p50 = Percentile(values, 0.5), .p95 = Percentile(values, 0.95), .p99 = Percentile(values, 0.99)};
}

void Add(std::optional<PlaceTelemetry>& sum, const std::optional<PlaceTelemetry>& one) {
  if (!one) return;
  PlaceTelemetry total = *one;
  if (sum) {
    total.steps += sum->steps;
    total.choices += sum->choices;
    total.hits += sum->hits;
    total.cpu += sum->cpu;
    total.fetched += sum->fetched;
    total.promoted += sum->promoted;
    total.cpu_seconds += sum->cpu_seconds;
    total.gpu_seconds += sum->gpu_seconds;
    total.wait_seconds += sum->wait_seconds;
    total.step_seconds += sum->step_seconds;
    total.between_seconds += sum->between_seconds;
  }
  sum = total;
}

// One request of a stress test. Speeds and times are relative to their cell's median.
struct Request {
  double start = 0, end = 0;
  std::optional<double> decode, first_token;
  std::optional<MemoryReading> memory;
};

std::vector<Request> RequestsOf(const BenchmarkReport& report) {
  std::vector<Request> requests;
  for (const BenchmarkCell& cell : report.cells) {
    const CellFigures figures = FiguresOf(cell.samples);
    const auto relative = [](const std::optional<double>& value, double median) {
      return value && median > 0 ? std::optional<double>(*value / median) : std::nullopt;
    };
    for (const BenchmarkSample& sample : cell.samples) {
      const TimelineSummary& summary = sample.measured.summary;
      requests.push_back({.start = sample.start_seconds,
                          .end = sample.start_seconds + summary.total_seconds,
                          .decode = relative(summary.decode_tokens_per_second, figures.decode_tokens_per_second.median),
                          .first_token = relative(summary.first_token_seconds, figures.first_token_seconds.median),
                          .memory = sample.measured.memory});
    }
  }
  std::ranges::sort(requests, {}, &Request::start);
  return requests;
}

// The median over the last quarter less that over the first; absent unless both have values.
template <typename Get>
std::optional<double> ChangeOfQuarters(const std::vector<Request>& requests, const Get& get) {
  const size_t quarter = requests.size() / 4;
  std::vector<double> first, last;
  for (size_t i = 0; i < quarter; ++i) AppendIfThere(first, get(requests[i]));
  for (size_t i = requests.size() - quarter; i < requests.size(); ++i) AppendIfThere(last, get(requests[i]));
  if (first.empty() || last.empty()) return std::nullopt;
  return Percentile(last, 0.5) - Percentile(first, 0.5);
}

// Least squares, per hour.
template <typename Get>
std::optional<double> SlopePerHour(const std::vector<Request>& requests, const Get& get) {
  std::vector<std::pair<double, double>> points;
  for (const Request& request : requests) {
    if (const std::optional<double> value = get(request)) points.emplace_back(request.start / 3600, *value);
  }
  double mean_x = 0, mean_y = 0;
  for (const auto& [x, y] : points) {
    mean_x += x / static_cast<double>(points.size());
    mean_y += y / static_cast<double>(points.size());
  }
  double xy = 0, xx = 0;
  for (const auto& [x, y] : points) {
    xy += (x - mean_x) * (y - mean_y);
    xx += (x - mean_x) * (x - mean_x);
  }
  if (points.size() < 2 || xx <= 0 || requests.back().end - requests.front().start < kLeastForSlopes)
    return std::nullopt;
  return xy / xx;
}

std::optional<double> Ram(const Request& request) {
  if (!request.memory) return std::nullopt;
  return static_cast<double>(request.memory->ram_bytes);
}
std::optional<double> Vram(const Request& request) {
  if (!request.memory || !request.memory->vram_bytes) return std::nullopt;
  return static_cast<double>(*request.memory->vram_bytes);
}
std::optional<int64_t> ToBytes(const std::optional<double>& value) {
  return value ? std::optional<int64_t>(static_cast<int64_t>(*value)) : std::nullopt;
}

}  // namespace

CellFigures FiguresOf(const std::vector<BenchmarkSample>& samples) {
  std::vector<double> decode, prefill, first, gaps;
  CellFigures figures;
  double slowest = 0;
  for (const BenchmarkSample& sample : samples) {
    const RunSample& run = sample.measured;
    AppendIfThere(decode, run.summary.decode_tokens_per_second);
    AppendIfThere(prefill, run.summary.prefill_tokens_per_second);
    AppendIfThere(first, run.summary.first_token_seconds);
    gaps.insert(gaps.end(), run.inter_token_seconds.begin(), run.inter_token_seconds.end());
    const SlowestWindow window = FindSlowestWindow(run.inter_token_seconds, BenchmarkVerdict::kWindow);
    if (window.tokens_per_second > 0 && (slowest == 0 || window.tokens_per_second < slowest)) {
      slowest = window.tokens_per_second;
      figures.slowest_window_seconds = window.seconds;
    }
    Add(figures.places, run.places);
  }
  figures.decode_tokens_per_second = SpreadOf(decode);
  figures.prefill_tokens_per_second = SpreadOf(prefill);
  figures.first_token_seconds = SpreadOf(first);
  figures.first_token_percentiles = PercentilesOf(first);
  figures.inter_token_seconds = PercentilesOf(gaps);
  figures.slowest_window_tokens_per_second = slowest;
  return figures;
}

BenchmarkVerdict VerdictOf(const BenchmarkReport& report) {
  BenchmarkVerdict verdict;
  double& median = verdict.median_tokens_per_second;
  double& window = verdict.slowest_window_tokens_per_second;
  for (const BenchmarkCell& cell : report.cells) {
    const CellFigures figures = FiguresOf(cell.samples);
    const Spread& speed = figures.decode_tokens_per_second;
    if (speed.samples > 0 && (median == 0 || speed.median < median)) median = speed.median;
    const double slowest = figures.slowest_window_tokens_per_second;
    if (slowest > 0 && (window == 0 || slowest < window)) {
      window = slowest;
      verdict.slowest_window_seconds = figures.slowest_window_seconds;
    }
  }
  const double target = report.target_tokens_per_second;
  if (report.subject == Subject::kThe80B) verdict.reached = median > 0 && median >= target && window >= target;
  return verdict;
}

std::optional<Drift> DriftOf(const BenchmarkReport& report) {
  if (report.benchmark != "stress") return std::nullopt;  // others do not repeat the same thing over time
  const std::vector<Request> requests = RequestsOf(report);
  if (requests.size() < kLeastForDrift) return std::nullopt;
  const auto decode = [](const Request& request) { return request.decode; };
  const auto first_token = [](const Request& request) { return request.first_token; };
  return Drift{.requests = static_cast<int64_t>(requests.size()),
               .seconds = requests.back().end - requests.front().start,
               .decode_change = ChangeOfQuarters(requests, decode).value_or(0),
               .first_token_change = ChangeOfQuarters(requests, first_token).value_or(0),
               .decode_change_per_hour = SlopePerHour(requests, decode),
               .ram_change_bytes = ToBytes(ChangeOfQuarters(requests, Ram)),
               .vram_change_bytes = ToBytes(ChangeOfQuarters(requests, Vram)),
               .ram_bytes_per_hour = SlopePerHour(requests, Ram)};
}

std::string BurstCaveat(const BenchmarkReport& report) {
  constexpr double kFarBelow = 0.25;  // of the mean; a stall of the server alone leaves the median where it was
  for (const BenchmarkCell& cell : report.cells) {
    std::vector<double> gaps;
    for (const BenchmarkSample& sample : cell.samples) {
      const std::vector<double>& more = sample.measured.inter_token_seconds;
      gaps.insert(gaps.end(), more.begin(), more.end());
    }
    const Spread spread = SpreadOf(gaps);
    if (spread.samples == 0 || spread.median >= kFarBelow * spread.mean) continue;
    return fmt::format(
        "Token times look like scheduling of the client or the network: half of them are below {} ms where the mean is "
        "{} ms ({} prompt tokens), so several tokens arrive at once; only their mean says something about the server.",
        NumberText(spread.median * 1000), NumberText(spread.mean * 1000), cell.work.prompt_tokens);
  }
  return "";
}

std::string_view SubjectName(Subject subject) {
  switch (subject) {
    case Subject::kUnknown:
      return "unknown";
    case Subject::kThe80B:
      return "80b";
    case Subject::kAnother:
      return "another";
  }
  QNEXT_CHECK(false, "a subject");
}

std::string_view PhaseName(SamplePhase phase) {
  switch (phase) {
    case SamplePhase::kCold:
      return "cold";
    case SamplePhase::kWarmUp:
      return "warm-up";
    case SamplePhase::kWarm:
      return "warm";
  }
  QNEXT_CHECK(false, "a phase");
}

}  // namespace qnext
