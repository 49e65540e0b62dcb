// Templates that would loop, recurse or grow without end, in their source or while rendering: an error, in bounded
// time, memory and stack. Meant to run under the address sanitizer too, whose stack frames are the largest.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "text/chat_template.h"

namespace qnext {
namespace {

using Json = nlohmann::ordered_json;

std::string Repeat(const std::string& text, int count) {
  std::string out;
  for (int i = 0; i < count; ++i) out += text;
  return out;
}

// Limits that a test reaches quickly; the defaults differ in size only.
RenderOptions SmallLimits() {
  RenderOptions options;
  options.max_steps = 2'000'000;
  options.max_output_bytes = 4 << 20;
  options.max_built_bytes = 128 << 20;
  return options;
}

TEST(JinjaBounds, DeeplyNestedSourceIsRefused) {
  const int kDeep = 20'000;
  const std::vector<std::string> sources = {
      "{{ " + Repeat("(", kDeep) + "1" + Repeat(")", kDeep) + " }}",
      "{{ " + Repeat("[", kDeep) + Repeat("]", kDeep) + " }}",
      "{{ " + Repeat("{1:", kDeep) + "1" + Repeat("}", kDeep) + " }}",
      "{{ " + Repeat("-", kDeep) + "1 }}",
      "{{ " + Repeat("not ", kDeep) + "1 }}",
      "{{ 1" + Repeat(" + 1", kDeep) + " }}",
      "{{ x" + Repeat(".a", kDeep) + " }}",
      "{{ x" + Repeat("[0]", kDeep) + " }}",
      "{{ x" + Repeat("|e", kDeep) + " }}",
      "{{ x" + Repeat("()", kDeep) + " }}",
      "{{ 1" + Repeat(" if 1 else 1", kDeep) + " }}",
      "{{ 1" + Repeat(" and 1", kDeep) + " }}",
      "{% set " + Repeat("(", kDeep) + "a" + Repeat(",)", kDeep) + " = 1 %}",
      Repeat("{% if 1 %}", kDeep) + Repeat("{% endif %}", kDeep),
      Repeat("{% for x in y %}", kDeep) + Repeat("{% endfor %}", kDeep),
      Repeat("{% macro m() %}", kDeep) + Repeat("{% endmacro %}", kDeep),
      Repeat("{% filter upper %}", kDeep),
  };
  for (const std::string& source : sources) {
    const Status status = ChatTemplate::Compile(source).status();
    EXPECT_EQ(status.code(), StatusCode::kUnsupported) << source.substr(0, 40);
    EXPECT_NE(status.message().find("nested more than"), std::string::npos) << status.message();
  }
}

TEST(JinjaBounds, LongSourceIsNotDeepSource) {
  const int kLong = 2'000;
  const std::vector<std::string> sources = {
      "{{ 'a'" + Repeat(" ~ 'a'", kLong) + " }}",
      "{{ [1" + Repeat(", 1", kLong) + "]|length }}",
      "{{ 1" + Repeat(" < 2", 1) + Repeat(" != 3 ", kLong) + " }}",
      "{% if 0 %}" + Repeat("{% elif 0 %}", kLong) + "{% endif %}",
      Repeat("{% set a = 1 %}{{ a }}", kLong),
  };
  for (const std::string& source : sources) {
    const Result<ChatTemplate> compiled = ChatTemplate::Compile(source);
    ASSERT_TRUE(compiled.ok()) << compiled.status().message();
    EXPECT_TRUE(compiled->Render(Json::object()).ok()) << source.substr(0, 40);
  }
}

TEST(JinjaBounds, NestingThatTemplatesNeedIsAllowed) {
  const auto render = [](const std::string& source) {
    const Result<ChatTemplate> compiled = ChatTemplate::Compile(source);
    return compiled.ok() ? compiled->Render(Json::object()).value() : compiled.status().message();
  };
  EXPECT_EQ(render("{{ " + Repeat("(", 70) + "1" + Repeat(")", 70) + " }}"), "1");
  EXPECT_EQ(render("{{ 0" + Repeat(" + 1", 150) + " }}"), "150");
  EXPECT_EQ(render(Repeat("{% if 1 %}", 90) + "x" + Repeat("{% endif %}", 90)), "x");
  // Python's own recursion limit ends this macro at about 200 calls.
  EXPECT_EQ(render("{% macro m(n) %}{% if n > 0 %}{% for x in [1] %}{{ m(n - 1) }}{% endfor %}{% else %}end{% endif %}"
                   "{% endmacro %}{{ m(200) }}"),
            "end");
}

TEST(JinjaBounds, EndlessRenderingEndsInAnError) {
  const std::vector<std::string> sources = {
      "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}",
      "{% for a in range(100000) %}{% for b in range(100000) %}{{ a }}{% endfor %}{% endfor %}",
      "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
      std::string("{% macro m() %}{{ [n()|upper ~ 'a'] }}{% endmacro %}{% macro n() %}{% if 1 %}{{ m() }}{% endif %}{% "
                  "endmacro ") +
          "%}{{ m() }}",
      // Filters and iterators in long chains, each ending where the macro is called again.
      "{% macro m() %}{{ m()" + Repeat("|e", 190) + " }}{% endmacro %}{{ m() }}",
      "{% macro m() %}{% for x in [1] if m() %}{% endfor %}{% endmacro %}{{ m() }}",
      "{% macro m() %}{% for x in [1, 2] if loop is undefined or m() %}{% for y in loop" +
          Repeat("|map('default')", 150) +
          " %}{{ m() }}{% endfor %}{% endfor %}{% endmacro %}{% for q in [1] %}{{ m() }}{{ loop.index }}{% endfor %}",
      "{% macro m() %}{% call m() %}{{ caller() }}{% endcall %}{% endmacro %}{{ m() }}",
      "{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}",
      "{% set ns = namespace(x='ab') %}{% for a in range(100) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
      "{% set ns = namespace(x=[1]) %}{% for a in range(100) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
      "{% set ns = namespace(x=[1]) %}{% for a in range(1000) %}{% set ns.x = [ns.x] %}{% endfor %}",
      "{% set ns = namespace(x=[1]) %}{% for a in range(1000) %}{% set ns.x = ns.x|map('string') %}{% endfor %}",
      "{% set ns = namespace(x=1) %}{% for a in range(1000) %}{% set ns.x = [1]|map('default', ns.x) %}{% endfor %}",
      "{% set ns = namespace(x=1) %}{% for a in range(1000) %}{% set ns.x = namespace(x=ns.x) %}{% endfor %}{{ ns }}",
      std::string("{% macro m() %}{% macro n() %}{% endmacro %}{% endmacro %}{% for a in range(100000) %}{% for b in "
                  "range(100) %}") +
          "{{ m() }}{% endfor %}{% endfor %}",
      "{% set big = 'ab' * 1000000 %}{% for a in range(100000) %}{{ 'c' in big }}{% endfor %}",
      "{% set big = 'ab' * 1000000 %}{% for a in range(100000) %}{% set x = big.rfind('bb') %}{% endfor %}",
      "{% set l = range(80000)|list %}{% for a in range(100000) %}{% set x = l[1:] %}{% endfor %}",
      "{{ '%1000000000d' % 1 }}",
      "{{ '%.1000000000d' % 1 }}",
      "{{ '{:1000000000}'.format(1) }}",
      "{{ 'a'.center(10 ** 10) }}",
      "{{ '7'.zfill(10 ** 13) }}",
      "{{ 'a' * 10 ** 20 }}",
      "{{ [0] * 10 ** 20 }}",
      "{{ [1]|tojson(indent=10 ** 12) }}",
      "{{ 'a\nb'|indent(10 ** 12) }}",
      "{{ [1]|batch(10 ** 12, 'x')|list }}",
      "{{ [1]|slice(10 ** 12)|list }}",
      "{{ ('a' * 100000).replace('', 'b' * 100000) }}",
      "{{ (['x' * 100000] * 10000)|join }}",
      "{{ 'a\t'.expandtabs(10 ** 12) }}",
      "{{ (',' * 2000000).split(',')|length }}",
      "{{ (',' * 2000000).rsplit(',')|length }}",
      "{{ (', ' * 1000000).split()|length }}",
      "{{ ('\n' * 2000000).splitlines()|length }}",
      "{{ ('\n' * 2000000)|indent }}",
      "{{ ('a' * 2000000)|list|length }}",
      "{{ 10 ** 10 ** 10 }}",
  };
  for (const std::string& source : sources) {
    const Result<ChatTemplate> compiled = ChatTemplate::Compile(source);
    ASSERT_TRUE(compiled.ok()) << compiled.status().message();
    const Result<std::string> text = compiled->Render(Json::object(), SmallLimits());
    ASSERT_FALSE(text.ok()) << source;
    EXPECT_EQ(text.status().code(), StatusCode::kResourceExhausted) << source << ": " << text.status().message();
  }
}

// What holds itself must still be let go: the leak checker of the address sanitizer watches.
TEST(JinjaBounds, CyclesAreFreed) {
  const std::vector<std::string> sources = {
      "{% set ns = namespace() %}{% set ns.me = ns %}{% set ns.l = [ns, namespace(up=ns)] %}{{ ns }}",
      "{% for x in [1, 2] %}{{ loop.changed(loop) }}{% set l = loop %}{% endfor %}",
      "{% macro m() %}{{ m is callable }}{% endmacro %}{% set ns = namespace(m=m) %}{{ ns.m() }}",
      std::string("{% set ns = namespace() %}{% for x in [1, 2] if x %}{% set ns.loop = loop %}{% set y = loop %}{% "
                  "endfor %}{{ ") +
          "ns.loop.x }}",
      std::string("{% set ns = namespace() %}{% for x in [[1]] recursive %}{% set ns.l = loop %}{% set me = loop %}{{ "
                  "x if x == 1 ") +
          std::string("else loop(x) }}") + "{% endfor %}",
      std::string("{% set ns = namespace() %}{% for x in [1] %}{% set ns.i = [ns]|map('default') %}{{ "
                  "raise_exception('out') }}{% ") +
          "endfor %}",
  };
  for (const std::string& source : sources) {
    const Result<ChatTemplate> compiled = ChatTemplate::Compile(source);
    ASSERT_TRUE(compiled.ok()) << compiled.status().message();
    const Result<std::string> text = compiled->Render(Json::object());
    EXPECT_EQ(text.ok(), source.find("raise_exception") == std::string::npos) << text.status().message();
  }
}

TEST(JinjaBounds, DeepVariablesAreRefused) {
  const Result<ChatTemplate> compiled = ChatTemplate::Compile("{{ x|tojson|length }}");
  ASSERT_TRUE(compiled.ok());
  Json nested = 1;
  for (int i = 0; i < 390; ++i) nested = Json::array({std::move(nested)});
  EXPECT_EQ(compiled->Render({{"x", nested}}).value(), "781");
  for (int i = 0; i < 200; ++i) nested = Json::array({std::move(nested)});
  EXPECT_EQ(compiled->Render({{"x", nested}}).status().code(), StatusCode::kResourceExhausted);
}

}  // namespace
}  // namespace qnext
