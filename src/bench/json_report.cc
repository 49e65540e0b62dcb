#include <nlohmann/json.hpp>
#include <string_view>

#include "bench/report.h"

namespace qnext {
namespace {

using Json = nlohmann::ordered_json;

Json ToJson(const Spread& spread) {
  return {{"samples", spread.samples},
          {"median", spread.median},
          {"min", spread.min},
          {"max", spread.max},
          {"mean", spread.mean}};
}

Json ToJson(const std::optional<double>& value) { return value ? Json(*value) : Json(); }

Json ToJson(const RunSample& sample) {
  return {{"prompt_tokens", sample.summary.prompt_tokens},
          {"completion_tokens", sample.summary.completion_tokens},
          {"first_token_seconds", ToJson(sample.summary.first_token_seconds)},
          {"prefill_tokens_per_second", ToJson(sample.summary.prefill_tokens_per_second)},
          {"decode_tokens_per_second", ToJson(sample.summary.decode_tokens_per_second)},
          {"total_seconds", sample.summary.total_seconds},
          {"inter_token_seconds", sample.inter_token_seconds}};
}

Json ToJson(const CaseResult& result) {
  const CaseFigures figures = FiguresOf(result);
  Json samples = Json::array();
  for (const RunSample& sample : result.samples) samples.push_back(ToJson(sample));
  return {{"prompt_tokens", result.work.prompt_tokens},
          {"output_tokens", result.work.output_tokens},
          {"decode_tokens_per_second", ToJson(figures.decode_tokens_per_second)},
          {"prefill_tokens_per_second", ToJson(figures.prefill_tokens_per_second)},
          {"first_token_seconds", ToJson(figures.first_token_seconds)},
          {"inter_token_seconds",
           {{"median", figures.inter_token_median_seconds},
            {"p95", figures.inter_token_p95_seconds},
            {"p99", figures.inter_token_p99_seconds}}},
          {"samples", std::move(samples)}};
}

}  // namespace

std::string FormatReportJson(const Report& report) {
  Json facts = Json::object();
  for (const FactGroup& group : report.facts) {
    Json& object = facts[group.title] = Json::object();
    for (const Fact& fact : group.facts) object[fact.name] = fact.value;
  }
  Json memory = Json::object();  // empty for a target that is not this process
  for (const MemoryFigure& figure : report.memory) memory[figure.name] = figure.bytes;
  Json cases = Json::array();
  for (const CaseResult& result : report.result.cases) cases.push_back(ToJson(result));
  const double worst = WorstDecodeSpeed(report);
  // Only the 80B reaches or misses the target.
  const Json reached =
      report.subject == Subject::kThe80B ? Json(worst >= report.target_tokens_per_second) : Json(nullptr);
  const Json json = {{"format", "qnext-report"},
                     {"format_version", 1},
                     {"benchmark", report.workload.name},
                     {"date", report.date},
                     {"verdict",
                      {{"target_tokens_per_second", report.target_tokens_per_second},
                       {"decode_tokens_per_second", worst},
                       {"reached", reached},
                       {"model", SubjectName(report.subject)}}},
                     {"warmups", report.workload.warmups},
                     {"repetitions", report.workload.repetitions},
                     {"cut_short", report.result.cut_short},
                     {"notes", report.notes},
                     {"cases", std::move(cases)},
                     {"memory_bytes", std::move(memory)},
                     {"facts", std::move(facts)}};
  // Facts come from the system; a byte that is no UTF-8 must not lose the report.
  return json.dump(2, ' ', /*ensure_ascii=*/false, Json::error_handler_t::replace) + "\n";
}

}  // namespace qnext
