// What each cache policy would hit, against capacity: on simulated routing of the 80B model's shape or on a recorded
// trace. docs/expert-cache.md has the tables that this printed.
//
//   expert_cache_sim uniform|recency|TRACE [--promotions N] [--least N] [--fetch N] [--half-life N] [--ghost X]
//   [--upload-steps N]
//                    [--layers N] [--positions N] [--expert-bytes N]
#include <fmt/core.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cmath>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "experts/cache_simulator.h"
#include "model/forced_routing.h"

namespace qnext {
namespace {

struct Options {
  std::string trace;
  double promotions = 96, least = 4, fetch = 0, half_life = 64, ghost = 1, upload_steps = 1, layers = 48,
         positions = 2048;
  double expert_bytes = 1622016;
};

Status ParseOptions(std::span<const char* const> arguments, Options& options) {
  const struct {
    std::string_view name;
    double* value;
  } known[] = {{"--promotions", &options.promotions},
               {"--least", &options.least},
               {"--fetch", &options.fetch},
               {"--half-life", &options.half_life},
               {"--ghost", &options.ghost},
               {"--upload-steps", &options.upload_steps},
               {"--layers", &options.layers},
               {"--positions", &options.positions},
               {"--expert-bytes", &options.expert_bytes}};
  if (arguments.empty()) return InvalidArgument("uniform, recency or the path of a trace is needed");
  options.trace = arguments[0];
  for (size_t i = 1; i < arguments.size(); i += 2) {
    const std::string_view name = arguments[i];
    const auto* found = std::find_if(std::begin(known), std::end(known), [&](const auto& k) { return k.name == name; });
    if (found == std::end(known) || i + 1 == arguments.size())
      return InvalidArgument(fmt::format("{}: unknown, or without a value", name));
    const std::string_view text = arguments[i + 1];
    const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), *found->value);
    if (error != std::errc() || rest != text.data() + text.size() || !(*found->value >= 0)) {
      return InvalidArgument(fmt::format("{}: \"{}\" is no number", name, text));
    }
  }
  return Status();
}

RoutingTrace MakeTrace(Routing kind, int64_t layers, int64_t positions) {
  ModelConfig config;
  config.num_layers = layers;
  config.layer_is_moe.assign(static_cast<size_t>(layers), true);
  config.num_experts = 512;
  config.num_experts_per_token = 10;
  const ForcedRouting routing(kind, config, 1, positions);
  RoutingTrace trace{.layers = layers, .experts = 512, .top = 10, .choices = {}};
  for (int64_t position = 0; position < positions; ++position) {
    for (int64_t layer = 0; layer < layers; ++layer) {
      for (int64_t i = 0; i < trace.top; ++i) {
        trace.choices.push_back(static_cast<uint16_t>(routing.At(layer, position)[i]));
      }
    }
  }
  return trace;
}

Result<RoutingTrace> LoadTrace(const Options& options) {
  if (const std::optional<Routing> kind = ParseRouting(options.trace); kind && *kind != Routing::kReal) {
    return MakeTrace(*kind, static_cast<int64_t>(options.layers), static_cast<int64_t>(options.positions));
  }
  QNEXT_ASSIGN_OR_RETURN(const std::string file, ReadFileToString(options.trace, int64_t{8} << 30));
  Result<RoutingTrace> trace = ParseRoutingTrace(std::as_bytes(std::span(file)));
  if (!trace.ok()) return trace.status().WithContext(options.trace);
  return trace;
}

void Run(const RoutingTrace& trace, const Options& options) {
  constexpr double kShares[] = {0.05, 0.10, 0.125, 0.15, 0.20, 0.23, 0.25, 0.32, 0.40, 0.50};
  fmt::print(
      "{} layers, {} of {} experts, {} positions; {} promotions a step, {} fetched a layer, uploads {} steps late\n\n",
      trace.layers, trace.top, trace.experts, trace.positions(), options.promotions, options.fetch,
      options.upload_steps);
  fmt::print("{:14} {:>8} {:>7} {:>9} {:>9} {:>9} {:>9} {:>10} {:>10}\n", "policy", "capacity", "hits", "misses",
             "fetched", "kept", "promoted", "MB to GPU", "us/step");
  for (const CachePolicyKind kind :
       {CachePolicyKind::kStatic, CachePolicyKind::kLru, CachePolicyKind::kDecayedLfu, CachePolicyKind::kSecondTouch}) {
    for (const double share : kShares) {
      const CacheSimulation simulation = {
          .slots = std::llround(share * static_cast<double>(trace.layers * trace.experts)),
          .policy = {.kind = kind, .half_life = options.half_life, .ghost_factor = options.ghost},
          .promotions = {.most = static_cast<int64_t>(options.promotions),
                         .least = static_cast<int64_t>(std::min(options.least, options.promotions))},
          .fetch_per_layer = static_cast<int64_t>(options.fetch),
          .upload_steps = static_cast<int64_t>(options.upload_steps),
          .warm_up = trace.positions() / 4};
      const auto start = std::chrono::steady_clock::now();
      const CacheSimulationResult r = SimulateCache(trace, simulation);
      const std::chrono::duration<double, std::micro> took = std::chrono::steady_clock::now() - start;
      fmt::print("{:14} {:7.1f}% {:6.1f}% {:9.1f} {:9.1f} {:9.1f} {:9.1f} {:10.1f} {:10.1f}\n", CachePolicyName(kind),
                 100 * share, 100 * r.hit_share, r.misses_per_step, r.fetched_per_step, r.adopted_per_step,
                 r.uploads_per_step, (r.fetched_per_step + r.uploads_per_step) * options.expert_bytes / 1e6,
                 took.count() / static_cast<double>(trace.positions()));
    }
    fmt::print("\n");
  }
}

Status Main(std::span<const char* const> arguments) {
  Options options;
  QNEXT_RETURN_IF_ERROR(ParseOptions(arguments, options));
  QNEXT_ASSIGN_OR_RETURN(const RoutingTrace trace, LoadTrace(options));
  Run(trace, options);
  return Status();
}

}  // namespace
}  // namespace qnext

int main(int count, char** arguments) {
  const qnext::Status status =
      qnext::Main(std::span(const_cast<const char* const*>(arguments), static_cast<size_t>(count)).subspan(1));
  if (!status.ok()) fmt::print(stderr, "expert_cache_sim: {}\n", status.message());
  return status.ok() ? 0 : 1;
}
