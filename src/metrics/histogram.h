// Histogram: counts of positive measurements in buckets whose width grows with the value.
#pragma once

#include <array>
#include <cstdint>
#include <string>

namespace qnext {

// Fixed size, no allocation after construction, so it can count for the life of a server. Buckets are ten per power of
// ten (each 26% wider than the one before) from 1e-6 to 1e6; percentiles are therefore within 13% or so, minimum,
// maximum, sum and mean are exact. Values below the first bucket count in it, values above the last in the last. One
// thread at a time.
class Histogram {
 public:
  static constexpr int kBucketsPerDecade = 10;
  static constexpr int kDecades = 12;
  static constexpr int kBuckets = kBucketsPerDecade * kDecades + 1;

  void Clear() { *this = Histogram(); }
  // NaN is not counted.
  void Add(double value);
  void Merge(const Histogram& other);

  int64_t count() const { return count_; }
  double sum() const { return sum_; }
  double min() const { return count_ > 0 ? min_ : 0; }
  double max() const { return count_ > 0 ? max_ : 0; }
  double Mean() const { return count_ > 0 ? sum_ / static_cast<double>(count_) : 0; }
  double StandardDeviation() const;
  // The value below which `fraction` of the measurements lie, assuming that they are spread evenly in their bucket;
  // 0 when there are none.
  double Percentile(double fraction) const;

  // For exporters that want cumulative buckets: bucket i holds values in (UpperBound(i - 1), UpperBound(i)].
  static double UpperBound(int bucket);
  int64_t bucket_count(int bucket) const { return buckets_[static_cast<size_t>(bucket)]; }

  std::string ToString() const;  // "count 12, mean 3.1, median 2.9, p95 5.1, p99 5.2, min 1.2, max 5.2"

 private:
  static int BucketOf(double value);

  std::array<int64_t, kBuckets> buckets_{};
  int64_t count_ = 0;
  double sum_ = 0;
  double sum_of_squares_ = 0;
  double min_ = 0;
  double max_ = 0;
};

}  // namespace qnext
