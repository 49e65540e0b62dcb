#include "cli/program.h"

#include <gtest/gtest.h>

#include <CLI/CLI.hpp>
#include <filesystem>
#include <fstream>

#include "cli/option_sources.h"
#include "engine/device.h"

namespace qnext {
namespace {

// A command with an option of each kind.
class PaperCommand : public Command {
 public:
  explicit PaperCommand(const char* name) : name_(name) {}

  const char* name() const override { return name_; }
  const char* summary() const override { return "Does nothing."; }
  void AddOptions(CLI::App& app) override {
    app.add_option("--text", text);
    app.add_option("--top-k", top_k);
    app.add_option("--stop", stops)->allow_extra_args(false);
    app.add_flag("--loud", loud);
    if (std::string(name_) == "other") app.add_option("--only-other", only_other)->required();
  }
  Status Check() override { return top_k == 13 ? InvalidArgument("--top-k: not 13") : Status(); }
  Status Run() override { return {}; }

  std::string text = "default";
  std::optional<int64_t> top_k;
  std::vector<std::string> stops;
  bool loud = false;
  int only_other = 0;

 private:
  const char* name_;
};

class CommandLineTest : public ::testing::Test {
 protected:
  CommandLineTest() {
    for (const char* name : {"paper", "other"}) {
      commands_.push_back(std::make_unique<PaperCommand>(name));
    }
  }
  ~CommandLineTest() override { std::filesystem::remove(file_); }

  CommandLine Parse(std::vector<std::string> arguments) { return ParseCommandLine(arguments, commands_, environment_); }
  std::string Error(std::vector<std::string> arguments) {
    const CommandLine line = Parse(std::move(arguments));
    EXPECT_EQ(line.command, nullptr);
    EXPECT_EQ(line.exit_code, kExitUsage);
    EXPECT_TRUE(line.out.empty());
    EXPECT_EQ(line.error.find('\n'), std::string::npos);
    return line.error;
  }
  const PaperCommand& paper() const { return static_cast<const PaperCommand&>(*commands_[0]); }
  void WriteFile(const std::string& text) { std::ofstream(file_) << text; }

  std::vector<std::unique_ptr<Command>> commands_;
  Environment environment_;
  std::string file_ = ::testing::TempDir() + "qnext_program_test.toml";
};

TEST_F(CommandLineTest, OptionsOfTheChosenCommand) {
  const CommandLine line = Parse({"paper", "--text", "a b", "--top-k=7", "--stop", "[x]", "--stop", "y,z", "--loud"});
  ASSERT_EQ(line.command, commands_[0].get()) << line.error;
  EXPECT_EQ(paper().text, "a b");
  EXPECT_EQ(paper().top_k, 7);
  EXPECT_EQ(paper().stops, (std::vector<std::string>{"[x]", "y,z"}));
  EXPECT_TRUE(paper().loud);
}

TEST_F(CommandLineTest, NegativeNumbersAreValues) {
  ASSERT_NE(Parse({"paper", "--top-k", "-1"}).command, nullptr);
  EXPECT_EQ(paper().top_k, -1);
}

TEST_F(CommandLineTest, BadUsageIsExitCode2AndOneLine) {
  EXPECT_NE(Error({}).find("--help"), std::string::npos);
  EXPECT_EQ(Error({"nothing"}), "\"nothing\" is no command; see qnext --help");
  const std::string help = "; see qnext paper --help";
  EXPECT_EQ(Error({"paper", "--no-such", "3"}), "--no-such: there is no such option" + help);
  EXPECT_EQ(Error({"paper", "--no-such=3"}), "--no-such: there is no such option" + help);
  EXPECT_EQ(Error({"paper", "--top-k", "many"}), "--top-k: cannot be read from \"many\"" + help);
  EXPECT_EQ(Error({"paper", "stray"}), "\"stray\": only options are expected here" + help);
  EXPECT_EQ(Error({"paper", "other"}), "\"other\": only options are expected here" + help);
  EXPECT_EQ(Error({"paper", "--text"}), "--text: a value is needed" + help);
  EXPECT_EQ(Error({"paper", "--text", "a", "--text", "b"}), "--text: may be given only once" + help);
  EXPECT_EQ(Error({"paper", "--loud=perhaps"}), "--loud: must be true or false, not \"perhaps\"" + help);
  EXPECT_EQ(Error({"other"}), "--only-other: is needed; see qnext other --help");
  EXPECT_EQ(Error({"--no-such"}), "--no-such: there is no such option; see qnext --help");
  EXPECT_EQ(Error({"paper", "--top-k", "13"}), "--top-k: not 13");
}

TEST_F(CommandLineTest, HelpAndVersionAreNoErrors) {
  for (const std::vector<std::string>& arguments :
       {std::vector<std::string>{"--help"}, {"paper", "--help"}, {"--version"}}) {
    const CommandLine line = Parse(arguments);
    EXPECT_EQ(line.command, nullptr);
    EXPECT_EQ(line.exit_code, kExitDone);
    EXPECT_FALSE(line.out.empty());
    EXPECT_TRUE(line.error.empty());
  }
  EXPECT_NE(Parse({"--help"}).out.find("paper"), std::string::npos);
  EXPECT_NE(Parse({"paper", "--help"}).out.find("--top-k"), std::string::npos);
  EXPECT_EQ(Parse({"--version"}).out.rfind("qnext ", 0), 0u);
}

TEST_F(CommandLineTest, TheEnvironmentFillsWhatTheCommandLineLeaves) {
  environment_ = {{"QNEXT_TEXT", "from environment"},
                  {"QNEXT_TOP_K", "5"},
                  {"QNEXT_STOP", "[end]"},
                  {"QNEXT_LOUD", "true"},
                  {"QNEXT_HELP", "1"}};
  ASSERT_NE(Parse({"paper", "--top-k", "9"}).command, nullptr);
  EXPECT_EQ(paper().text, "from environment");
  EXPECT_EQ(paper().top_k, 9);
  EXPECT_EQ(paper().stops, std::vector<std::string>{"[end]"});
  EXPECT_TRUE(paper().loud);
}

TEST_F(CommandLineTest, ABadVariableIsNamed) {
  environment_ = {{"QNEXT_TOP_K", "many"}};
  EXPECT_EQ(Error({"paper"}), "QNEXT_TOP_K: cannot be read from \"many\"");
  environment_ = {{"QNEXT_TOP_K", "13"}};
  EXPECT_EQ(Error({"paper"}), "--top-k: not 13");
  environment_ = {{"QNEXT_LOUD", "maybe"}};
  EXPECT_EQ(Error({"paper"}), "QNEXT_LOUD: must be true or false, not \"maybe\"");
}

TEST_F(CommandLineTest, AVariableThatSetsNothingIsWarnedOf) {
  environment_ = {{"QNEXT_BOGUS", "1"}, {"QNEXT_TOP_K", "5"}, {"QNEXT_ONLY_OTHER", "3"}, {"QNEXT_EMPTY", ""}};
  const std::vector<std::string> expected = {
      "QNEXT_BOGUS: no command has an option that this variable sets; it is ignored"};
  const CommandLine line = Parse({"paper"});
  EXPECT_EQ(line.command, commands_[0].get());
  EXPECT_EQ(line.warnings, expected);
  EXPECT_EQ(Parse({"paper", "--top-k", "13"}).warnings, expected);  // also beside errors
  EXPECT_EQ(Parse({"nothing"}).warnings, expected);
  EXPECT_TRUE(Parse({"--help"}).warnings.empty());
  EXPECT_TRUE(Parse({"--version"}).warnings.empty());
  environment_.erase("QNEXT_BOGUS");
  EXPECT_TRUE(Parse({"paper"}).warnings.empty());
}

TEST_F(CommandLineTest, TheFileComesLast) {
  WriteFile("text = \"from file\"\ntop_k = 5\nonly-other = 3\nloud = true\n[other]\ntext = \"for another\"\n");
  environment_ = {{"QNEXT_TOP_K", "6"}};
  ASSERT_NE(Parse({"paper", "--config-file", file_}).command, nullptr);
  EXPECT_EQ(paper().text, "from file");
  EXPECT_EQ(paper().top_k, 6);
  EXPECT_TRUE(paper().loud);
}

TEST_F(CommandLineTest, TheFileMayBeNamedByTheEnvironment) {
  WriteFile("[paper]\nstop = [\"a\", \"b\"]\n");
  environment_ = {{"QNEXT_CONFIG_FILE", file_}};
  ASSERT_NE(Parse({"paper"}).command, nullptr);
  EXPECT_EQ(paper().stops, (std::vector<std::string>{"a", "b"}));
}

TEST_F(CommandLineTest, AFileIsNotBelievedBlindly) {
  EXPECT_NE(Error({"paper", "--config-file", "/no/such/file"}).find("/no/such/file"), std::string::npos);
  WriteFile("tip-k = 5\n");
  EXPECT_EQ(Error({"paper", "--config-file", file_}), file_ + ": line 1: tip-k: no command has such an option");
  WriteFile("[paper]\nonly-other = 5\n");
  EXPECT_EQ(Error({"paper", "--config-file", file_}),
            file_ + ": line 2: paper.only-other: no command has such an option");
  WriteFile("[nonsense]\ntop-k = 5\n");
  EXPECT_EQ(Error({"paper", "--config-file", file_}),
            file_ + ": line 2: nonsense.top-k: no command has such an option");
  WriteFile("top-k = \"many\"\n");
  EXPECT_EQ(Error({"paper", "--config-file", file_}).rfind(file_ + ": line 1: top-k: cannot be read from \"many\"", 0),
            0u);
  WriteFile("\n\ntext = plain\n");
  EXPECT_EQ(Error({"paper", "--config-file", file_}),
            file_ + ": line 3: text: expected a text in quotes, a number, true, false or a list");
  EXPECT_NE(Error({"paper", "--config-file", "/tmp"}).find("/tmp"), std::string::npos);
}

TEST_F(CommandLineTest, TextsOfTheFileMayHoldAnything) {
  WriteFile("text = \"# a, b = [c]\\n\"\nstop = [\"x, y\", '#']\n");
  ASSERT_NE(Parse({"paper", "--config-file", file_}).command, nullptr);
  EXPECT_EQ(paper().text, "# a, b = [c]\n");
  EXPECT_EQ(paper().stops, (std::vector<std::string>{"x, y", "#"}));
}

TEST_F(CommandLineTest, ControlBytesAreEscapedInMessages) {
  WriteFile("top-k = \"\\u001b[31mred\\u0007\"\n");
  const std::string error = Error({"paper", "--config-file", file_});
  EXPECT_NE(error.find("\\x1b[31mred\\x07"), std::string::npos) << error;
  EXPECT_EQ(Error({"paper", "--text=a", "\x1b[2J"}).find('\x1b'), std::string::npos);
  EXPECT_EQ(Error({"\x1b[2J"}).find('\x1b'), std::string::npos);
}

TEST(EnvironmentNameTest, IsUpperCaseWithUnderscores) { EXPECT_EQ(EnvironmentName("top-k"), "QNEXT_TOP_K"); }

// The real commands, as far as they go without a checkpoint.
class RealCommandsTest : public ::testing::Test {
 protected:
  CommandLine Parse(std::vector<std::string> arguments) {
    commands_ = AllCommands();
    return ParseCommandLine(arguments, commands_, {});
  }
  std::vector<std::unique_ptr<Command>> commands_;
};

TEST_F(RealCommandsTest, EveryOptionOfEveryCommandIsExplained) {
  for (const auto& command : AllCommands()) {
    CLI::App app;
    command->AddOptions(app);
    for (const CLI::Option* option : app.get_options()) {
      EXPECT_FALSE(option->get_description().empty()) << command->name() << " " << option->get_name();
    }
    EXPECT_NE(Parse({command->name(), "--help"}).out.find("--config-file"), std::string::npos) << command->name();
  }
}

TEST_F(RealCommandsTest, HelpListsAllButTheDevelopersCommands) {
  const std::string help = Parse({"--help"}).out;
  for (const char* name : {"chat", "generate", "prove", "bench", "eval", "plan", "inspect"})
    EXPECT_NE(help.find(name), std::string::npos);
  EXPECT_EQ(help.find("logits"), std::string::npos);
}

TEST_F(RealCommandsTest, UsageErrorsAreFoundBeforeAnythingIsLoaded) {
  const std::vector<std::pair<std::vector<std::string>, std::string>> cases = {
      {{"chat"}, "--model or --synthetic: exactly one of them is needed"},
      {{"chat", "--model", "x", "--synthetic", "80b-a"}, "--model or --synthetic: exactly one of them is needed"},
      {{"chat", "--model", "x", "--routing", "recency"},
       "--routing: recency is for synthetic weights; with --model the checkpoint's own routers decide"},
      {{"chat", "--synthetic", "80b-a", "--routing", "random"}, "--routing: real, uniform or recency, not \"random\""},
      {{"synth", "--out", "y"}, "--kind: 80b-a, 80b-b, 80b-a-4layers, 80b-b-4layers or a config.json is needed"},
      {{"synth", "--kind", "80b-a"}, "--out: a folder to write is needed"},
      {{"synth", "--kind", "80b-a", "--out", "y", "--shard-size", "0"}, "--shard-size: must be at least 1 byte"},
      {{"synth", "--kind", "80b-a", "--out", "y", "--shard-size", "4 lumps"},
       "--shard-size: '4 lumps' has the unknown unit 'lumps': use KiB, MiB, GiB, kB, MB or GB"},
      {{"synth", "--kind", "80b-a", "--out", "y", "--threads", "-2"},
       "--threads: must be in [1, 1024], or 0 for the default, not -2"},
      {{"inspect"}, "--model: a checkpoint folder is needed"},
      {{"eval", "--model", "x"}, "--text: a file is needed"},
      {{"eval", "--text", "x"}, "--model or --synthetic: exactly one of them is needed"},
      {{"eval", "--model", "x", "--text", "y", "--stride", "2048"},
       "--stride: must be in [1, 2047], below --ctx, not 2048"},
      {{"eval", "--model", "x", "--text", "y", "--tokens", "1"}, "--tokens: must be at least 2, not 1"},
      {{"eval", "--model", "x", "--text", "y", "--temp", "z"}, "--temp: only with --against"},
      {{"eval", "--model", "x", "--text", "y", "--against", "--kv int2"},
       "--against: --kv: bf16, fp8, int8 or f32, not \"int2\""},
      {{"prove"}, "--model or --synthetic: exactly one of them is needed"},
      {{"prove", "--model", "x", "--seconds", "0"}, "--seconds: must be in (0, 1e6]"},
      {{"prove", "--model", "x", "--repetitions", "0"}, "--repetitions: must be at least 1"},
      {{"generate", "--model", "x"}, "--prompt or --prompt-file: exactly one of them is needed"},
      {{"generate", "--model", "x", "--prompt", "a", "--prompt-file", "b"},
       "--prompt or --prompt-file: exactly one of them is needed"},
      {{"generate", "--model", "x", "--prompt", "a", "--logprobs", "2"}, "--logprobs: needs --json"},
      {{"generate", "--model", "x", "--prompt", "a", "--json", "--logprobs", "21"},
       "--logprobs: must be in [0, 20], not 21"},
      {{"generate", "--model", "x", "--prompt", "a", "--temperature", "3"}, "--temperature: must be in [0, 2], not 3"},
      {{"generate", "--model", "x", "--prompt", "a", "--max-tokens", "0"}, "--max-tokens: must be at least 1, not 0"},
      {{"chat", "--model", "x", "--device", "cuda", "--activations", "float32"},
       HasCudaEngine() ? "--activations: the CUDA engine has int8 only"
                       : "--device: this build has no CUDA engine; use cpu"},
      {{"chat", "--model", "x", "--device", "tpu"}, "--device: cpu or cuda, not \"tpu\""},
      {{"chat", "--model", "x", "--threads", "-1"}, "--threads: must be in [1, 1024], or 0 for the default, not -1"},
      {{"chat", "--model", "x", "--kv", "int2"}, "--kv: bf16, fp8, int8 or f32, not \"int2\""},
      {{"chat", "--model", "x", "--dense-weights", "int4"}, "--dense-weights: stored, int8 or auto, not \"int4\""},
      {{"chat", "--model", "x", "--dense-weights", "int8", "--activations", "float32"},
       "--dense-weights: int8 multiplies int8 activations; not with --activations float32"},
      {{"chat", "--model", "x", "--activations", "int4"}, "--activations: int8 or float32, not \"int4\""},
      {{"chat", "--model", "x", "--cpu-isa", "sse"},
       "--cpu-isa: auto, generic, avx2, avx-vnni or avx512-vnni, not \"sse\""},
      {{"bench", "--model", "x"}, "bench: the kind must be quick, standard, stress, memory or machine, not \"\""},
      {{"bench", "quick"}, "--model or --synthetic: exactly one of them is needed"},
      {{"bench", "quick", "--url", "localhost"}, "--url: \"localhost\": must begin with http://"},
      {{"bench", "quick", "--url", "http://a", "--synthetic", "80b-a"},
       "--synthetic: not with --url, which loads nothing"},
      {{"bench", "quick", "--url", "http://a", "--prompt-ids", "9-3"},
       "--prompt-ids: two token ids, the smaller first, as 1000-5000, not \"9-3\""},
      {{"bench", "quick", "--url", "http://a", "--timeout", "0"}, "--timeout: must be in (0, 1e6]"},
      {{"bench", "quick", "--model", "x", "--api-key-file", "y"}, "--api-key-file: only with --url"},
      {{"bench", "quick", "--model", "x", "--standard-fields"}, "--standard-fields: only with --url"},
      {{"bench", "quick", "--model", "x", "--path", "y"}, "--path: only for bench machine"},
      {{"bench", "standard", "--model", "x", "--machine", "laptop"},
       "--machine: only for bench memory of a model; it predicts what other budgets would give"},
      {{"bench", "memory", "--url", "http://a", "--machine", "laptop"},
       "--machine: only for bench memory of a model; it predicts what other budgets would give"},
      {{"bench", "standard", "--url", "http://a", "--ctx", "1"}, "--ctx: must be at least 2"},
      {{"bench", "machine", "--url", "http://a"}, "--url: bench machine measures this machine"},
      {{"bench", "machine", "--repetitions", "0"}, "--repetitions: must be at least 1"},
      {{"bench", "quick", "--model", "x", "--repetitions", "0"}, "--repetitions: must be at least 1"},
      {{"profile", "--model", "x", "--context", "0"}, "--context: must be from 1 to 262000"},
      {{"profile", "--model", "x", "--device", "cpu"}, "--device: a profile is measured on a GPU"},
      {{"logits", "--model", "x", "--out", "y"}, "--ids or --ids-file: exactly one of them is needed"},
      {{"logits", "--model", "x", "--ids", "1"}, "--out: a file to write is needed"},
  };
  for (const auto& [arguments, error] : cases) {
    const CommandLine line = Parse(arguments);
    EXPECT_EQ(line.error, error);
    EXPECT_EQ(line.exit_code, kExitUsage) << error;
  }
}

TEST_F(RealCommandsTest, GoodUsageIsAccepted) {
  for (const std::vector<std::string>& arguments :
       {std::vector<std::string>{"chat", "--model", "x", "--system", "Be brief.", "--top-k", "20", "--ctx", "4096"},
        {"generate", "--model", "x", "--prompt", "", "--json", "--logprobs", "3", "--logit-bias", "5=-1.5"},
        {"generate", "--model", "x", "--prompt-file", "-", "--stop", "a", "--stop", "[b]", "--cpu-isa", "generic"},
        {"bench", "quick", "--model", "x", "--time-limit", "60"},
        {"bench", "quick", "--url", "http://a:1", "--model", "name", "--prompt-ids", "3-5", "--api-key-file", "f"},
        {"bench", "machine", "--out", "m.json", "--path", "/d"},
        {"bench", "machine", "--model", "x"},
        {"bench", "standard", "--url", "http://a:1", "--ctx", "4096"},
        {"bench", "stress", "--model", "x", "--time-limit", "60"},
        {"bench", "memory", "--model", "x", "--machine", "reference"},
        {"inspect", "--model", "x", "--json"},
        {"eval", "--model", "x", "--text", "y", "--against", "--kv fp8 --dense-weights int8", "--temp-limit", "1GB"},
        {"prove", "--model", "x", "--seconds", "12.5", "--skip-rates", "--ctx", "4096"},
        {"serve", "--synthetic", "80b-a"},
        {"generate", "--synthetic", "80b-b-4layers", "--routing", "recency", "--prompt", "a"},
        {"chat", "--model", "x", "--routing", "real"},
        {"synth", "--kind", "80b-a", "--out", "y", "--shard-size", "1.5GB", "--seed", "18446744073709551615"},
        {"logits", "--model", "x", "--ids", "1,2", "--out", "y", "--recurrent", "--cpu-isa", "reference"}}) {
    const CommandLine line = Parse(arguments);
    EXPECT_NE(line.command, nullptr) << line.error;
  }
}

}  // namespace
}  // namespace qnext
