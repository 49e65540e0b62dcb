// qnext synth: writes synthetic weights as a checkpoint folder of real shards.
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <system_error>

#include "base/bytes.h"
#include "checkpoint/synthetic.h"
#include "cli/command.h"
#include "cli/load_progress.h"
#include "cli/model_options.h"
#include "cli/output.h"
#include "hw/topology.h"

namespace qnext {
namespace {

class SynthCommand : public Command {
 public:
  const char* name() const override { return "synth"; }
  const char* summary() const override { return "Write a synthetic checkpoint: real shards, made-up weights."; }

  void AddOptions(CLI::App& app) override {
    app.add_option("--kind", kind_, fmt::format("{}, or the path of a config.json (required)", kSyntheticKinds))
        ->type_name("KIND");
    app.add_option("--out", out_, "the folder to write, empty or new (required)")->type_name("DIR");
    app.add_option("--shard-size", shard_size_, "the most tensor bytes in one file")
        ->type_name("SIZE")
        ->capture_default_str();
    app.add_option("--seed", seed_, "the same seed gives the same bytes; that of --synthetic is the default")
        ->type_name("N")
        ->capture_default_str();
    app.add_option("--threads", threads_, "threads that generate and write; default: physical cores")->type_name("N");
  }

  Status Check() override {
    if (kind_.empty()) return InvalidArgument(fmt::format("--kind: {} or a config.json is needed", kSyntheticKinds));
    if (out_.empty()) return InvalidArgument("--out: a folder to write is needed");
    QNEXT_RETURN_IF_ERROR(CheckThreads(threads_));
    const Result<int64_t> bytes = ParseByteSize(shard_size_);
    if (!bytes.ok()) return bytes.status().WithContext("--shard-size");
    if (*bytes < 1) return InvalidArgument("--shard-size: must be at least 1 byte");
    return {};
  }

  Status Run() override {
    QNEXT_ASSIGN_OR_RETURN(const SyntheticKind kind, FindSyntheticKind(kind_));
    QNEXT_ASSIGN_OR_RETURN(const CpuTopology topology, DetectCpuTopology());
    QNEXT_ASSIGN_OR_RETURN(const int64_t shard_bytes, ParseByteSize(shard_size_));
    try {
      ThreadPool pool(threads_ > 0 ? threads_ : static_cast<int>(topology.cores.size()));
      return Write(kind, shard_bytes, pool);
    } catch (const std::system_error& error) {
      return ResourceExhausted(fmt::format("--threads: {}", error.what()));
    }
  }

 private:
  Status Write(const SyntheticKind& kind, int64_t shard_bytes, ThreadPool& pool) {
    const auto start = std::chrono::steady_clock::now();
    int64_t bytes = 0;
    {
      LoadProgressPrinter progress(stderr, "writing");
      QNEXT_RETURN_IF_ERROR(WriteSynthetic(kind, out_, {.seed = seed_, .shard_bytes = shard_bytes}, pool,
                                           [&](int64_t done, int64_t total) {
                                             bytes = total;
                                             progress.Update({.bytes_done = done, .bytes_total = total});
                                           }));
    }
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    Remark(fmt::format("qnext: {}: {} in {:.1f} s, {}/s", out_, FormatBytes(bytes), seconds,
                       FormatBytes(std::llround(static_cast<double>(bytes) / seconds))));
    return {};
  }

  std::string kind_;
  std::string out_;
  std::string shard_size_ = "4GiB";
  uint64_t seed_ = kSyntheticSeed;
  int threads_ = 0;
};

}  // namespace

std::unique_ptr<Command> MakeSynthCommand() { return std::make_unique<SynthCommand>(); }

}  // namespace qnext
