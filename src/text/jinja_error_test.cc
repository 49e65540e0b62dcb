// What is refused, when, and with which code, construct and line.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "text/chat_template.h"

namespace qnext {
namespace {

using Json = nlohmann::ordered_json;

Status CompileError(const std::string& source) {
  const Result<ChatTemplate> compiled = ChatTemplate::Compile(source);
  return compiled.ok() ? Status() : compiled.status();
}

Status RenderError(const std::string& source, const Json& variables = Json::object()) {
  const Result<ChatTemplate> compiled = ChatTemplate::Compile(source);
  if (!compiled.ok()) return compiled.status().WithContext("compiling");
  const Result<std::string> text = compiled->Render(variables);
  return text.ok() ? Status() : text.status();
}

TEST(JinjaErrors, WhatIsNotSupportedIsNamedAtLoadWithItsLine) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"\n{% include 'x' %}", "tag 'include'"},
      {"\n{% frobnicate %}", "unknown tag 'frobnicate'"},
      {"\n{{ x|frob }}", "filter 'frob'"},
      {"\n{{ x|random }}", "filter 'random'"},
      {"\n{{ x is frob }}", "test 'frob'"},
      {"\n{{ x|map('frob')|list }}", "filter 'frob'"},
      {"\n{{ x|selectattr('a', 'frob')|list }}", "test 'frob'"},
      {"\n{{ frob(1) }}", "function 'frob'"},
      {"\n{% if false %}{{ x.frob() }}{% endif %}", "method 'frob'"},
      {"\n{{ x.encode() }}", "method 'encode'"},
      {"\n{{ lipsum }}", "name 'lipsum'"},
      {"\n{{ '\\N{BULLET}' }}", "\\N{...} in a string literal"},
      {"\n{{ '\\ud800' }}", "a lone surrogate in a string literal"},
  };
  for (const auto& [source, construct] : cases) {
    const Status status = CompileError(source);
    EXPECT_EQ(status.code(), StatusCode::kUnsupported) << source;
    EXPECT_EQ(status.message(), "line 2: not supported: " + construct) << source;
  }
}

TEST(JinjaErrors, WhatTheTemplateItselfProvidesIsNotUnknown) {
  EXPECT_TRUE(CompileError("{% macro f() %}{% endmacro %}{{ f() }}").ok());
  EXPECT_TRUE(CompileError("{% if f is defined %}{{ f() }}{% endif %}").ok());
  EXPECT_TRUE(CompileError("{% macro f() %}x{% endmacro %}{% set ns = namespace(g=f) %}{{ ns.g() }}").ok());
  EXPECT_TRUE(CompileError("{% for f in x %}{{ f() }}{% endfor %}").ok());
}

TEST(JinjaErrors, SyntaxErrorsHaveTheirLine) {
  const std::vector<std::string> sources = {
      "\n{{ }}",       "\n{{ 1 + }}",       "\n{{ 'a }}",          "\n{% if %}{% endif %}",     "\n{% endif %}",
      "\n{% for x %}", "\n{{ [1, 2 }}",     "\n{# open",           "\n{% set 1 = 2 %}",         "\n{% break %}",
      "\n{{ a b }}",   "\n{{ f(a=1, 2) }}", "\n{{ f(a=1, a=2) }}", "\n{{ 1 is none is none }}", "\n{{ x[1:2, 3] }}"};
  for (const std::string& source : sources) {
    const Status status = CompileError(source);
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument) << source;
    EXPECT_NE(status.message().find("line 2: "), std::string::npos) << source << ": " << status.message();
  }
  EXPECT_EQ(CompileError("{% if true %}\n\n").code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(CompileError("{% for loop in x %}{% endfor %}").code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(CompileError("\xff").code(), StatusCode::kInvalidArgument);
}

TEST(JinjaErrors, RaiseExceptionIsTheMessage) {
  const Status status = RenderError("\n\n{{ raise_exception('Roles must alternate: ' ~ r) }}", {{"r", "user"}});
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(status.message(), "line 3: Roles must alternate: user");
}

TEST(JinjaErrors, RenderingFailsWherePythonWould) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"{{ x.y }}", "'x' is undefined"},
      {"{{ d.x.y }}", "'dict object' has no attribute 'x'"},
      {"{{ 1 + 'a' }}", "unsupported operand types for +: 'int' and 'str'"},
      {"{{ 1 / 0 }}", "division by zero"},
      {"{{ 1 < 'a' }}", "'<' not supported between instances of 'int' and 'str'"},
      {"{{ l.append(1) }}", "access to attribute 'append' of 'list' object is unsafe."},
      {"{{ d.update({}) }}", "access to attribute 'update' of 'dict' object is unsafe."},
      {"{{ ''.__class__.mro }}", "access to attribute '__class__' of 'str' object is unsafe."},
      {"{{ u() }}{{ u is defined }}", "'u' is undefined"},
      {"{{ d() }}{{ d is defined }}", "'dict' object is not callable"},
      {"{% for a, b in [[1]] %}{% endfor %}", "not enough values to unpack (expected 2, got 1)"},
      {"{% for a in 5 %}{% endfor %}", "'int' object is not iterable"},
      {"{{ [u]|tojson }}", "Object of type Undefined is not JSON serializable"},
      {"{{ range(100001) }}", "Range too big. The sandbox blocks ranges larger than MAX_RANGE (100000)."},
      {"{% set d.x = 1 %}", "cannot assign attribute on non-namespace object"},
      {"{{ s.split(bad=1) }}", "split() got an unexpected keyword argument 'bad'"},
  };
  for (const auto& [source, message] : cases) {
    const Status status = RenderError(source, {{"d", Json::object()}, {"l", Json::array()}, {"s", "text"}});
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument) << source;
    EXPECT_EQ(status.message(), "line 1: " + message) << source;
  }
}

TEST(JinjaErrors, WhatPythonPrintsWithAnAddressIsRefused) {
  const Status status = RenderError("{{ [1]|map('string') }}");
  EXPECT_EQ(status.code(), StatusCode::kUnsupported);
  EXPECT_NE(status.message().find("memory address"), std::string::npos) << status.message();
}

TEST(JinjaErrors, VariablesMustBeAnObjectOfUtf8) {
  const Result<ChatTemplate> compiled = ChatTemplate::Compile("{{ x }}");
  ASSERT_TRUE(compiled.ok());
  EXPECT_EQ(compiled->Render(Json::array()).status().code(), StatusCode::kInvalidArgument);
  const Status status = compiled->Render({{"x", {"ok", "\xC3("}}}).status();
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(status.message(), "variable 'x': a string is not valid UTF-8");
}

}  // namespace
}  // namespace qnext
