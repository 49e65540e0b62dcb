// Answers requests on standard input with tokens or text, for compare_tokenizer.py.
//
//   qnext_tokenize_lines <tokenizer.json> [--time]
//
// A request is a line "<what> <n>" and n bytes; the reply is a line "<m>" and m bytes. `what` is
//   E  text to ids, decimal with spaces between   P  the same, added tokens being plain text
//   D  ids to text                                S  the same, special tokens left out
//   T  ids to text, token by token, special tokens left out
// --time prints on standard error how long loading took and how fast E and P were.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <iostream>
#include <string>
#include <vector>

#include "text/detokenizer.h"
#include "text/tokenizer.h"

namespace qnext {
namespace {

using Clock = std::chrono::steady_clock;

double SecondsSince(Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); }

std::vector<int32_t> ParseIds(const std::string& text) {
  std::vector<int32_t> ids;
  for (const char* at = text.data(); at < text.data() + text.size(); ++at) {
    int32_t id = 0;
    at = std::from_chars(at, text.data() + text.size(), id).ptr;
    ids.push_back(id);
  }
  return ids;
}

std::string DecodeByToken(const Tokenizer& tokenizer, const std::vector<int32_t>& ids) {
  Detokenizer detokenizer(tokenizer, /*skip_special=*/true);
  std::string text;
  for (const int32_t id : ids) text += detokenizer.Push(id);
  return text += detokenizer.Finish();
}

int Run(const std::string& path, bool time) {
  const Clock::time_point load_begin = Clock::now();
  const Result<Tokenizer> tokenizer = Tokenizer::Load(path);
  if (!tokenizer.ok()) {
    std::cerr << tokenizer.status().message() << "\n";
    return 1;
  }
  if (time) std::cerr << fmt::format("loaded in {:.3f} s\n", SecondsSince(load_begin));
  double encode_seconds = 0;
  size_t encoded_bytes = 0;
  size_t tokens = 0;
  char what = 0;
  size_t size = 0;
  while (std::cin >> what >> size) {
    std::cin.get();
    std::string body(size, '\0');
    if (!std::cin.read(body.data(), static_cast<std::streamsize>(size))) return 2;
    std::string reply;
    if (what == 'E' || what == 'P') {
      const Clock::time_point begin = Clock::now();
      const std::vector<int32_t> ids = what == 'E' ? tokenizer->Encode(body) : tokenizer->EncodePlain(body);
      encode_seconds += SecondsSince(begin);
      encoded_bytes += body.size();
      tokens += ids.size();
      reply = fmt::format("{}", fmt::join(ids, " "));
    } else if (what == 'T') {
      reply = DecodeByToken(*tokenizer, ParseIds(body));
    } else if (what == 'D' || what == 'S') {
      reply = tokenizer->Decode(ParseIds(body), /*skip_special=*/what == 'S');
    } else {
      return 2;
    }
    std::cout << reply.size() << "\n" << reply << std::flush;
  }
  if (time && encode_seconds > 0) {
    std::cerr << fmt::format("{} bytes to {} tokens in {:.4f} s: {:.1f} MB/s\n", encoded_bytes, tokens, encode_seconds,
                             static_cast<double>(encoded_bytes) / encode_seconds / 1e6);
  }
  return 0;
}

}  // namespace
}  // namespace qnext

int main(int argc, char** argv) {
  const bool time = argc == 3 && std::strcmp(argv[2], "--time") == 0;
  if (argc != 2 && !time) {
    std::cerr << "usage: qnext_tokenize_lines <tokenizer.json> [--time]\n";
    return 2;
  }
  std::ios::sync_with_stdio(false);
  return qnext::Run(argv[1], time);
}
