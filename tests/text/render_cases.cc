// Renders templates for compare_jinja.py: one JSON object per line of standard input, {"template": ..., "variables":
// {...}}, one per line of standard output, {"text": ...} or {"error": code, "message": ...}. Compiles each template
// once.
//
// strftime_now sees 2024-02-29 13:05:09, a Thursday.
#include <cstdio>
#include <ctime>
#include <exception>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "text/chat_template.h"

namespace qnext {
namespace {

using Json = nlohmann::ordered_json;

std::tm LeapDay() {
  std::tm time = {};
  time.tm_year = 2024 - 1900;
  time.tm_mon = 1;
  time.tm_mday = 29;
  time.tm_hour = 13;
  time.tm_min = 5;
  time.tm_sec = 9;
  time.tm_isdst = -1;
  time.tm_wday = 4;
  time.tm_yday = 59;
  return time;
}

Json ErrorOf(const Status& status) {
  return {{"error", std::string(StatusCodeName(status.code()))}, {"message", status.message()}};
}

Json Render(const Result<ChatTemplate>& compiled, const Json& variables) {
  if (!compiled.ok()) return ErrorOf(compiled.status());
  RenderOptions options;
  options.local_time = LeapDay;
  const Result<std::string> text = compiled->Render(variables, options);
  if (!text.ok()) return ErrorOf(text.status());
  return {{"text", *text}};
}

int Run() {
  std::map<std::string, Result<ChatTemplate>> templates;
  std::string line;
  while (std::getline(std::cin, line)) {
    const Json request = Json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (!request.is_object() || !request.contains("template") || !request.contains("variables")) {
      std::cerr << "render_cases: not a case: " << line << "\n";
      return 1;
    }
    const auto source = request["template"].get<std::string>();
    auto found = templates.find(source);
    if (found == templates.end()) found = templates.emplace(source, ChatTemplate::Compile(source)).first;
    std::cout << Render(found->second, request["variables"]).dump() << "\n";
  }
  return 0;
}

}  // namespace
}  // namespace qnext

int main() {
  try {
    return qnext::Run();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "render_cases: %s\n", error.what());
    return 1;
  }
}
