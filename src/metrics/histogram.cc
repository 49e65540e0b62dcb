#include "metrics/histogram.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>

namespace qnext {
namespace {

constexpr double kSmallestBound = 1e-6;

}  // namespace

double Histogram::UpperBound(int bucket) {
  return kSmallestBound * std::pow(10.0, static_cast<double>(bucket) / kBucketsPerDecade);
}

int Histogram::BucketOf(double value) {
  if (!(value > kSmallestBound)) return 0;
  const double position = std::ceil(std::log10(value / kSmallestBound) * kBucketsPerDecade);
  int bucket = static_cast<int>(std::min(position, static_cast<double>(kBuckets - 1)));
  // The logarithm may err by an ulp at a bound; the bounds themselves decide.
  if (bucket > 0 && value <= UpperBound(bucket - 1)) --bucket;
  if (bucket < kBuckets - 1 && value > UpperBound(bucket)) ++bucket;
  return bucket;
}

void Histogram::Add(double value) {
  if (std::isnan(value)) return;
  min_ = count_ > 0 ? std::min(min_, value) : value;
  max_ = count_ > 0 ? std::max(max_, value) : value;
  ++buckets_[static_cast<size_t>(BucketOf(value))];
  ++count_;
  sum_ += value;
  sum_of_squares_ += value * value;
}

void Histogram::Merge(const Histogram& other) {
  if (other.count_ == 0) return;
  min_ = count_ > 0 ? std::min(min_, other.min_) : other.min_;
  max_ = count_ > 0 ? std::max(max_, other.max_) : other.max_;
  for (size_t i = 0; i < buckets_.size(); ++i) buckets_[i] += other.buckets_[i];
  count_ += other.count_;
  sum_ += other.sum_;
  sum_of_squares_ += other.sum_of_squares_;
}

double Histogram::StandardDeviation() const {
  if (count_ == 0) return 0;
  const double n = static_cast<double>(count_);
  return std::sqrt(std::max(0.0, (sum_of_squares_ - sum_ * sum_ / n) / n));
}

double Histogram::Percentile(double fraction) const {
  if (count_ == 0) return 0;
  const double wanted = std::clamp(fraction, 0.0, 1.0) * static_cast<double>(count_);
  double below = 0;
  for (int i = 0; i < kBuckets; ++i) {
    const double here = static_cast<double>(buckets_[static_cast<size_t>(i)]);
    if (here > 0 && below + here >= wanted) {
      const double left = i == 0 ? 0 : UpperBound(i - 1);
      const double right = i == kBuckets - 1 ? max_ : UpperBound(i);
      return std::clamp(left + (right - left) * (wanted - below) / here, min_, max_);
    }
    below += here;
  }
  return max_;
}

std::string Histogram::ToString() const {
  return fmt::format("count {}, mean {:.4g}, median {:.4g}, p95 {:.4g}, p99 {:.4g}, min {:.4g}, max {:.4g}", count_,
                     Mean(), Percentile(0.5), Percentile(0.95), Percentile(0.99), min(), max());
}

}  // namespace qnext
