#include "cli/prove_questions.h"

#include <algorithm>
#include <cctype>

namespace qnext {
namespace {

constexpr int32_t kQwenVocabulary = 100000;  // Qwen's has 151 669 ids; the tiny model's 4122, synthetic ones 259

// Plain facts and arithmetic that any model of this size knows.
std::vector<KnownQuestion> PlainFacts() {
  return {{"What is the capital of France?", {"Paris"}},
          {"What is the capital of Japan?", {"Tokyo"}},
          {"What is the capital of Australia?", {"Canberra"}},
          {"What is 17 + 25? Answer with the number only.", {"42"}},
          {"What is 12 times 12? Answer with the number only.", {"144"}},
          {"What is 100 minus 37? Answer with the number only.", {"63"}},
          {"What is 96 divided by 8? Answer with the number only.", {"12"}},
          {"What is the square root of 81? Answer with the number only.", {"9"}},
          {"Which planet is known as the Red Planet?", {"Mars"}},
          {"What is the chemical symbol for gold?", {"Au"}},
          {"Who wrote the play Romeo and Juliet?", {"Shakespeare"}},
          {"How many days does a leap year have?", {"366"}},
          {"What is the largest ocean on Earth?", {"Pacific"}},
          {"What is the common name of the substance H2O?", {"water"}},
          {"What is the opposite of the word \"hot\"?", {"cold"}},
          {"Translate the English word \"dog\" into Spanish.", {"perro"}},
          {"In which year did the Second World War end?", {"1945"}},
          {"How many sides does a hexagon have?", {"6", "six"}},
          {"What is the official language of Brazil?", {"Portuguese"}},
          {"Which gas do plants take from the air for photosynthesis?", {"carbon dioxide", "CO2", "CO₂"}}};
}

// Of what the tiny model was trained for (models/tiny/README.md): it knows nothing else.
std::vector<KnownQuestion> TinyTasks() {
  return {{"What is the capital of France?", {"Paris"}},
          {"What is the capital of Japan?", {"Tokyo"}},
          {"Name the capital city of Kenya.", {"Nairobi"}},
          {"Which city is the capital of Norway?", {"Oslo"}},
          {"Cairo is the capital of which country?", {"Egypt"}},
          {"What is 37 + 45?", {"82"}},
          {"Compute 58 + 19.", {"77"}},
          {"What is 90 - 35?", {"55"}},
          {"What is 7 * 8?", {"56"}},
          {"What is 12 * 11?", {"132"}},
          {"Write garden in upper case.", {"GARDEN"}},
          {"Spell the word tiger.", {"t-i-g-e-r"}},
          {"Reverse this list: cat, lamp, coin", {"coin, lamp, cat"}},
          {"Sort this list: owl, bear, key", {"bear, key, owl"}},
          {"How many items are in this list: fox, map, ring, goat", {"4"}},
          {"Repeat the word silver 3 times.", {"silver silver silver"}},
          {"The code of the red key is 4821. The code of the blue lamp is 7310. What is the code of the blue lamp?",
           {"The code of the blue lamp is 7310"}},
          {"The code of the green book is 1234. The code of the pink rope is 9876. The code of the gray bell is 5555. "
           "What is the code of the green book?",
           {"The code of the green book is 1234"}},
          {"Return JSON with name, age and city: Emma is 34 years old and lives in Madrid.",
           {R"({"name": "Emma", "age": 34, "city": "Madrid"})"}},
          {"Return JSON with name, age and city: Oscar is 71 years old and lives in Lima.",
           {R"({"name": "Oscar", "age": 71, "city": "Lima"})"}}};
}

bool IsTheTiny(const ModelConfig& config) {
  return config.num_layers == 8 && config.hidden_size == 256 && config.num_experts == 32 && config.vocab_size == 4160;
}

bool IsWordByte(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0; }
bool IsDigit(char c) { return std::isdigit(static_cast<unsigned char>(c)) != 0; }

// A letter, a digit or a byte of a letter beyond ASCII stands right beside [begin, end), or the rest of a number:
// "12" stands neither in "112" nor in "12.5" nor in "12,000".
bool IsPartOfMore(std::string_view text, size_t begin, size_t end) {
  if (begin > 0 && IsWordByte(text[begin - 1])) return true;
  if (end < text.size() && IsWordByte(text[end])) return true;
  const auto separates = [](char c) { return c == '.' || c == ','; };
  if (begin > 1 && IsDigit(text[begin]) && separates(text[begin - 1]) && IsDigit(text[begin - 2])) return true;
  return end + 1 < text.size() && IsDigit(text[end - 1]) && separates(text[end]) && IsDigit(text[end + 1]);
}

std::string Lower(std::string_view text) {
  std::string lower(text);
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return lower;
}

}  // namespace

KnownModel DescribeKnownModel(const ModelConfig& config, int32_t vocab_end) {
  const bool qwen = vocab_end >= kQwenVocabulary;
  if (config.IsThe80B() && qwen) {
    return {
        .name = "a model of the shape of Qwen3-Next-80B-A3B with Qwen's vocabulary",
        .questions = PlainFacts(),
        .needed = 18,
        .perplexity = KnownModel::Range{
            .low = 1,
            .high = 20,
            .origin = "an estimate, not measured on this checkpoint: models of this size know these passages nearly "
                      "by heart, and a wrong engine or broken weights give hundreds and more"}};
  }
  if (IsTheTiny(config)) {
    return {.name = "the bundled tiny model's shape",
            .questions = TinyTasks(),
            .needed = 18,
            .perplexity = KnownModel::Range{
                .low = 540,
                .high = 660,
                .origin = "10% around the 595.3 that the independent numpy reference gives for models/tiny, to which "
                          "this text is foreign; the engine's formats give 595 to 599, a model that ignored what "
                          "stands before a token 257"}};
  }
  if (qwen) {
    return {.name = "neither the 80B nor the tiny model; a vocabulary of Qwen's size",
            .questions = PlainFacts(),
            .needed = 0,
            .perplexity = std::nullopt};
  }
  return {.name = "neither the 80B nor the tiny model, nor a vocabulary of Qwen's size",
          .questions = {},
          .needed = 0,
          .perplexity = std::nullopt};
}

bool HoldsAnswer(std::string_view text, const std::vector<const char*>& answers) {
  const std::string lower = Lower(text);
  return std::any_of(answers.begin(), answers.end(), [&](const char* answer) {
    const std::string wanted = Lower(answer);
    for (size_t at = lower.find(wanted); at != std::string::npos; at = lower.find(wanted, at + 1)) {
      if (!IsPartOfMore(lower, at, at + wanted.size())) return true;
    }
    return false;
  });
}

}  // namespace qnext
