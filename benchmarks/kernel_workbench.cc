// The CPU matrix products at the model's shapes, as shares of what the machine reads from memory (small batches) and as
// GFLOP/s (large ones).
//
// Every benchmark walks over many matrices, 1 GB together and so far beyond any cache, as decoding walks over
// experts. One iteration is one walk; before each benchmark and between its walks the plain read rate of the same
// memory is measured, so that a share compares neighbours in time. Medians of the walks. Run with
// --benchmark_filter=...; names are product/path/shape/rows/threads.
#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "base/aligned_buffer.h"
#include "base/thread_pool.h"
#include "kernels/cpu/cpu_kernels.h"
#include "memory_peak.h"
#include "quant/random_gptq.h"

namespace qnext {
namespace {

constexpr int64_t kWorkingSet = int64_t{1} << 30;

// Random bytes whose every 16-bit pair is a small finite F16 and a finite BF16: codes, scales and dense weights alike.
HugeBuffer RandomWeights() {
  HugeBuffer buffer(kWorkingSet);
  auto* words = reinterpret_cast<uint64_t*>(buffer.data());
  uint64_t state = 88172645463325252u;
  for (int64_t i = 0; i < kWorkingSet / 8; ++i) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    words[i] = (state & 0x83ff83ff83ff83ffu) | 0x2c002c002c002c00u;
  }
  return buffer;
}

struct Shape {
  int64_t in, out;
  std::string ToString() const { return fmt::format("{}x{}", in, out); }
};

void FillRandom(AlignedBuffer<float>& x) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  for (float& v : x.span()) v = normal(random);
}

// Activations, and the same quantized.
class RandomRows {
 public:
  RandomRows(const Kernels& kernels, int64_t m, int64_t in, int64_t in_padded)
      : in_padded_(in_padded),
        x_(m * in),
        scales_(m * in_padded / kInt4BlockInputs),
        codes_(m * in_padded),
        sums_(m * in_padded / kInt4BlockInputs) {
    FillRandom(x_);
    kernels.quantize_rows(
        {.x = x_.data(), .permutation = nullptr, .out = quantized(), .m = m, .in = in, .x_stride = in}, {0, m});
  }

  const float* floats() const { return x_.data(); }
  Int8Rows quantized() {
    return {.codes = codes_.data(), .scales = scales_.data(), .sums = sums_.data(), .in_padded = in_padded_};
  }

 private:
  int64_t in_padded_;
  AlignedBuffer<float> x_, scales_;
  AlignedBuffer<int8_t> codes_;
  AlignedBuffer<int32_t> sums_;
};

class Workbench {
 public:
  explicit Workbench(const HugeBuffer& weights) : weights_(weights) {}

  void RegisterAll() {
    const int cores = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
    const std::vector<CpuIsa> isas = SupportedCpuIsas(DetectCpuFeatures());
    for (const CpuIsa isa : isas) {
      for (const int threads : cores > 1 ? std::vector<int>{1, cores} : std::vector<int>{1}) {
        for (const Shape shape : {Shape{2048, 512}, Shape{512, 2048}}) {
          for (const int64_t m : {1, 4, 8, 10, 64, 256}) {
            RegisterInt4(isa, shape, m, threads, /*int8_activations=*/true);
            RegisterInt4(isa, shape, m, threads, /*int8_activations=*/false);
          }
        }
        for (const Shape shape : {Shape{2048, 512}, Shape{2048, 8192}}) {
          for (const int64_t m : {1, 4, 8, 64, 256}) {
            RegisterDense(isa, shape, m, threads, DType::kBF16);
            RegisterInt8(isa, shape, m, threads);
          }
        }
        RegisterDense(isa, {2048, 8192}, 1, threads, DType::kF16);
        RegisterDense(isa, {2048, 2048}, 1, threads, DType::kF32);
      }
      RegisterQuantize(isa);
    }
    RegisterPack(/*act_order=*/false);
    RegisterPack(/*act_order=*/true);
  }

 private:
  // Multiplies by matrix `index` on the calling thread.
  using Multiply = std::function<void(int64_t index, int thread)>;

  static std::string Name(const char* product, CpuIsa isa, Shape shape, int64_t m, int threads) {
    return fmt::format("{}/{}/{}/m{}/t{}", product, CpuIsaName(isa), shape.ToString(), m, threads);
  }

  void RegisterInt4(CpuIsa isa, Shape shape, int64_t m, int threads, bool int8_activations) {
    const std::string name = Name(int8_activations ? "int4_i8" : "int4_f32", isa, shape, m, threads);
    benchmark::RegisterBenchmark(
        name.c_str(),
        [=, this](benchmark::State& state) {
          const Kernels& kernels = CpuKernels(isa);
          Int4Layout layout;
          layout.in = shape.in;
          layout.out = shape.out;
          layout.group_size = 128;
          RandomRows rows(kernels, m, shape.in, layout.in_padded());
          AlignedBuffer<float> y(threads * m * shape.out);
          Walk(state, layout.bytes(), MultiplyAdds(shape, m), m, threads, [&](int64_t index, int thread) {
            const Int4Matrix matrix = {layout, weights_.data() + index * layout.bytes()};
            float* out = y.data() + thread * m * shape.out;
            if (int8_activations) {
              kernels.int4_matmul_i8({.weight = matrix, .x = rows.quantized(), .y = out, .m = m, .y_stride = shape.out},
                                     {0, layout.tiles()});
            } else {
              kernels.int4_matmul_f32(
                  {.weight = matrix, .x = rows.floats(), .y = out, .m = m, .x_stride = shape.in, .y_stride = shape.out},
                  {0, layout.tiles()});
            }
          });
        })
        ->UseManualTime()
        ->Unit(benchmark::kMillisecond);
  }

  void RegisterDense(CpuIsa isa, Shape shape, int64_t m, int threads, DType dtype) {
    const std::string name = Name(fmt::format("dense_{}", DTypeName(dtype)).c_str(), isa, shape, m, threads);
    benchmark::RegisterBenchmark(name.c_str(),
                                 [=, this](benchmark::State& state) {
                                   AlignedBuffer<float> x(m * shape.in), y(threads * m * shape.out);
                                   FillRandom(x);
                                   const int64_t bytes = shape.in * shape.out * DTypeSize(dtype);
                                   Walk(state, bytes, MultiplyAdds(shape, m), m, threads,
                                        [&](int64_t index, int thread) {
                                          const DenseMatmulArgs args = {.x = x.data(),
                                                                        .weight = weights_.data() + index * bytes,
                                                                        .dtype = dtype,
                                                                        .y = y.data() + thread * m * shape.out,
                                                                        .m = m,
                                                                        .in = shape.in,
                                                                        .out = shape.out,
                                                                        .x_stride = shape.in,
                                                                        .y_stride = shape.out};
                                          CpuKernels(isa).dense_matmul(args, {0, args.items()});
                                        });
                                 })
        ->UseManualTime()
        ->Unit(benchmark::kMillisecond);
  }

  // int8 weights: what a dense matrix becomes with --dense-weights int8.
  void RegisterInt8(CpuIsa isa, Shape shape, int64_t m, int threads) {
    benchmark::RegisterBenchmark(
        Name("dense_int8", isa, shape, m, threads).c_str(),
        [=, this](benchmark::State& state) {
          const Kernels& kernels = CpuKernels(isa);
          const Int8Layout layout = {.out = shape.out, .in = shape.in};
          RandomRows rows(kernels, m, shape.in, layout.in_padded());
          AlignedBuffer<float> y(threads * m * shape.out);
          Walk(state, layout.bytes(), MultiplyAdds(shape, m), m, threads, [&](int64_t index, int thread) {
            kernels.int8_matmul({.weight = {layout, weights_.data() + index * layout.bytes()},
                                 .x = rows.quantized(),
                                 .y = y.data() + thread * m * shape.out,
                                 .m = m,
                                 .y_stride = shape.out},
                                {0, layout.tiles()});
          });
        })
        ->UseManualTime()
        ->Unit(benchmark::kMillisecond);
  }

  static void RegisterQuantize(CpuIsa isa) {
    benchmark::RegisterBenchmark(
        fmt::format("quantize/{}/2048", CpuIsaName(isa)).c_str(), [=](benchmark::State& state) {
          AlignedBuffer<float> x(2048), scales(64);
          AlignedBuffer<int8_t> codes(2048);
          AlignedBuffer<int32_t> sums(64);
          FillRandom(x);
          const QuantizeRowsArgs args = {
              .x = x.data(),
              .permutation = nullptr,
              .out = {.codes = codes.data(), .scales = scales.data(), .sums = sums.data(), .in_padded = 2048},
              .m = 1,
              .in = 2048,
              .x_stride = 2048};
          for (auto _ : state) {
            CpuKernels(isa).quantize_rows(args, {0, 1});
            benchmark::DoNotOptimize(codes.data());
            benchmark::ClobberMemory();
          }
        });
  }

  static void RegisterPack(bool act_order) {
    benchmark::RegisterBenchmark(act_order ? "pack/act-order" : "pack/in-order", [=](benchmark::State& state) {
      RandomGptqOptions options;
      options.in = 2048;
      options.out = 512;
      options.group_size = 128;
      options.act_order = act_order;
      std::vector<std::unique_ptr<RandomGptq>> layers;
      for (options.seed = 0; options.seed < 64; ++options.seed) layers.push_back(std::make_unique<RandomGptq>(options));
      const Int4Layout layout = Int4LayoutFor(layers[0]->tensors);
      HugeBuffer packed(layout.bytes() * 64);
      size_t next = 0;
      for (auto _ : state) {
        const GptqTensors& tensors = layers[next % 64]->tensors;
        const std::vector<int32_t> permutation = Int4InputPermutation(tensors);
        PackInt4(tensors, Int4LayoutFor(tensors), permutation, {},
                 packed.data() + static_cast<int64_t>(next % 64) * layout.bytes());
        ++next;
      }
      state.SetBytesProcessed(static_cast<int64_t>(state.iterations()) * layout.bytes());
    });
  }

  static double MultiplyAdds(Shape shape, int64_t m) { return static_cast<double>(shape.in * shape.out * m); }

  static double Median(std::vector<double> values) {
    const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
    std::nth_element(values.begin(), middle, values.end());
    return *middle;
  }

  // Large batches are bound by arithmetic and would take long: they walk over fewer matrices.
  void Walk(benchmark::State& state, int64_t bytes, double multiply_adds, int64_t m, int threads,
            const Multiply& multiply) {
    const int64_t all = kWorkingSet / bytes;
    const int64_t matrices = m <= 8 ? all : std::max<int64_t>(threads, all * 4 / m);
    ThreadPool pool(threads);
    std::vector<double> seconds, peaks;
    for (auto _ : state) {
      peaks.push_back(MeasureReadRate(weights_.span(), pool));
      const Stopwatch stopwatch(threads);
      pool.ParallelFor(matrices, 1, [&](Range range, int thread) {
        for (int64_t i = range.begin; i < range.end; ++i) multiply(i, thread);
      });
      seconds.push_back(stopwatch.Seconds());
      state.SetIterationTime(seconds.back());
    }
    const double walk = Median(seconds), peak = Median(peaks);
    const double rate = static_cast<double>(matrices * bytes) / walk;
    state.counters["GB/s"] = rate / 1e9;
    state.counters["peak_GB/s"] = peak / 1e9;
    state.counters["share_%"] = 100 * rate / peak;
    state.counters["GFLOP/s"] = 2e-9 * multiply_adds * static_cast<double>(matrices) / walk;
  }

  const HugeBuffer& weights_;
};

}  // namespace
}  // namespace qnext

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  const qnext::HugeBuffer weights = qnext::RandomWeights();
  qnext::Workbench workbench(weights);
  workbench.RegisterAll();
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
