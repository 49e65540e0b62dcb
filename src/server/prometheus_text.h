// The text that Prometheus scrapes (exposition format 0.0.4).
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "server/backend.h"
#include "server/histogram.h"

namespace qnext::server {

inline constexpr std::string_view kPrometheusContentType = "text/plain; version=0.0.4; charset=utf-8";

// Appends metrics to a text. One thread at a time.
class PrometheusText {
 public:
  using Label = BackendMetric::Label;

  void Counter(std::string_view name, std::string_view help, double value);
  void Gauge(std::string_view name, std::string_view help, double value);
  void Add(std::string_view name, std::string_view help, const Histogram& histogram);
  // Figures of one name must follow each other: HELP and TYPE are written when the name changes.
  void Add(const BackendMetric& metric);

  const std::string& text() const { return text_; }

 private:
  void Head(std::string_view name, std::string_view help, std::string_view type);
  void Sample(std::string_view name, std::span<const Label> labels, double value);

  std::string text_;
  std::string last_name_;
};

}  // namespace qnext::server
