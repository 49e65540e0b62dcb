// qnext serve: the OpenAI-compatible HTTP server (docs/http-api.md).
#include <fmt/core.h>
#include <pthread.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <csignal>
#include <cstdlib>

#include "cli/command.h"
#include "cli/engine_backend.h"
#include "cli/memory_table.h"
#include "cli/model_options.h"
#include "cli/output.h"
#include "cli/program.h"
#include "engine/model_files.h"
#include "server/auth.h"
#include "server/server.h"

namespace qnext {
namespace {

// The signals that end the server, blocked in this thread and in all that it starts, so that sigwait gets them.
sigset_t BlockEndingSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  return signals;
}

class ServeCommand : public Command {
 public:
  const char* name() const override { return "serve"; }
  const char* summary() const override { return "Serve the model over HTTP with OpenAI's API."; }

  void AddOptions(CLI::App& app) override {
    app.add_option("--host", options_.host, "the address to listen on; 0.0.0.0 lets other machines in")
        ->type_name("ADDRESS")
        ->capture_default_str();
    app.add_option("--port", options_.port, "0 takes any free one")->type_name("N")->capture_default_str();
    app.add_option("--queue", options_.queue, "requests that wait beside the one that runs; beyond: 429")
        ->type_name("N")
        ->capture_default_str();
    app.add_option("--api-key-file", key_file_, "a file with one key a line; without it everyone may ask")
        ->type_name("FILE");
    AddModelOptions(app, model_);
    AddContextOption(app, model_);
    AddChatTemplateOption(app, model_);
  }

  Status Check() override {
    if (options_.port < 0 || options_.port > 65535) {
      return InvalidArgument(fmt::format("--port: must be in [0, 65535], not {}", options_.port));
    }
    if (options_.queue < 0 || options_.queue > 100000) {
      return InvalidArgument(fmt::format("--queue: must be in [0, 100000], not {}", options_.queue));
    }
    return CheckModelFlags(model_);
  }

  Status Run() override {
    const sigset_t signals = BlockEndingSignals();
    if (!key_file_.empty()) {
      QNEXT_ASSIGN_OR_RETURN(options_.api_keys, server::ReadApiKeys(key_file_));
    }
    QNEXT_ASSIGN_OR_RETURN(const ModelLoadOptions load, ToLoadOptions(model_));
    QNEXT_ASSIGN_OR_RETURN(const ModelConfig config, LoadConfig(load));
    QNEXT_ASSIGN_OR_RETURN(const std::unique_ptr<server::Server> server, server::Server::Start(options_));
    Remark("listening on " + server->url());
    // Loading happens on the thread that will generate; until it is done /health answers 503. A model that cannot be
    // loaded ends the program: it would never answer anything else.
    Status failure;
    std::atomic<bool> loading{true};
    server->Load([&]() -> Result<std::shared_ptr<server::Backend>> {
      Result<std::unique_ptr<Engine>> engine = LoadEngine(model_, ChatUse::kServed);
      if (!engine.ok()) {
        failure = engine.status();
        loading = false;
        ::kill(::getpid(), SIGTERM);
        return failure;
      }
      for (const auto& [what, value] : DescribeFlags(model_, **engine)) Remark(fmt::format("{}: {}", what, value));
      const std::vector<PlanRow>& memory = (*engine)->info().memory;
      Show(stderr, FormatMemoryTable(memory, ReadMemoryUsed(memory)));
      Remark("ready");
      loading = false;
      return std::shared_ptr<server::Backend>(std::make_shared<EngineBackend>(std::move(*engine), config.vocab_size));
    });
    int signal = 0;
    sigwait(&signals, &signal);
    // Reading a large checkpoint cannot be interrupted, and nothing is lost by not waiting for it.
    if (loading) std::_Exit(kExitDone);
    server->Shutdown();
    return failure;
  }

 private:
  ModelFlags model_;
  server::ServerOptions options_;
  std::string key_file_;
};

}  // namespace

std::unique_ptr<Command> MakeServeCommand() { return std::make_unique<ServeCommand>(); }

}  // namespace qnext
