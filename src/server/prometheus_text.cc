#include "server/prometheus_text.h"

#include <fmt/format.h>

#include <cmath>

namespace qnext::server {
namespace {

std::string Escaped(std::string_view text, bool quotes) {
  std::string out;
  for (const char c : text) {
    if (c == '\\') {
      out += "\\\\";
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '"' && quotes) {
      out += "\\\"";
    } else {
      out += c;
    }
  }
  return out;
}

std::string Value(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "+Inf" : "-Inf";
  // Shortest text that reads back the same; whole numbers without an exponent, as people expect of counters.
  if (value == std::floor(value) && std::fabs(value) < 1e15) return fmt::format("{:.0f}", value);
  return fmt::format("{}", value);
}

}  // namespace

void PrometheusText::Head(std::string_view name, std::string_view help, std::string_view type) {
  if (name == last_name_) return;
  last_name_ = name;
  text_ += fmt::format("# HELP {} {}\n# TYPE {} {}\n", name, Escaped(help, /*quotes=*/false), name, type);
}

void PrometheusText::Sample(std::string_view name, std::span<const Label> labels, double value) {
  text_ += name;
  char separator = '{';
  for (const Label& label : labels) {
    text_ += fmt::format("{}{}=\"{}\"", separator, label.name, Escaped(label.value, /*quotes=*/true));
    separator = ',';
  }
  if (!labels.empty()) text_ += '}';
  text_ += fmt::format(" {}\n", Value(value));
}

void PrometheusText::Counter(std::string_view name, std::string_view help, double value) {
  Head(name, help, "counter");
  Sample(name, {}, value);
}

void PrometheusText::Gauge(std::string_view name, std::string_view help, double value) {
  Head(name, help, "gauge");
  Sample(name, {}, value);
}

void PrometheusText::Add(const BackendMetric& metric) {
  Head(metric.name, metric.help, metric.type == BackendMetric::Type::kCounter ? "counter" : "gauge");
  Sample(metric.name, metric.labels, metric.value);
}

void PrometheusText::Add(std::string_view name, std::string_view help, const Histogram& histogram) {
  Head(name, help, "histogram");
  int64_t cumulative = 0;
  const std::string bucket = fmt::format("{}_bucket", name);
  for (size_t i = 0; i < histogram.bounds().size(); ++i) {
    cumulative += histogram.counts()[i];
    const Label bound{"le", Value(histogram.bounds()[i])};
    Sample(bucket, {&bound, 1}, static_cast<double>(cumulative));
  }
  const Label infinite{"le", "+Inf"};
  Sample(bucket, {&infinite, 1}, static_cast<double>(histogram.count()));
  Sample(fmt::format("{}_sum", name), {}, histogram.sum());
  Sample(fmt::format("{}_count", name), {}, static_cast<double>(histogram.count()));
}

}  // namespace qnext::server
