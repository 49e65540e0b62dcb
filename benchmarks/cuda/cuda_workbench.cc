// Times the GPU kernels: see workbench.h. Prints a line for each; --json FILE keeps the samples.
#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "entries.h"

int main(int argc, char** argv) {
  using namespace qnext;
  std::string filter, json;
  CLI::App app{"Times the CUDA kernels at the model's shapes"};
  app.add_option("--filter", filter, "Only entries whose names contain this");
  app.add_option("--json", json, "Write the samples to this file");
  CLI11_PARSE(app, argc, argv);

  Result<std::unique_ptr<workbench::Workbench>> bench = workbench::Workbench::Create(filter);
  if (!bench.ok()) {
    fmt::print(stderr, "cuda_workbench: {}\n", bench.status().message());
    return 1;
  }
  workbench::MeasureReadRate(**bench);
  workbench::MeasureAttention(**bench);
  workbench::MeasureDelta(**bench);
  workbench::MeasureProducts(**bench);
  workbench::MeasureStep(**bench);
  const Status status = (*bench)->Finish(json);
  if (!status.ok()) fmt::print(stderr, "cuda_workbench: {}\n", status.message());
  return status.ok() && !(*bench)->failed() ? 0 : 1;
}
