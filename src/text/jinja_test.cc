// The template language, construct by construct, with outputs known from Python's jinja2. tests/text/compare_jinja.py
// compares far more against jinja2 itself.
#include <gtest/gtest.h>

#include <ctime>
#include <nlohmann/json.hpp>
#include <string>

#include "text/chat_template.h"

namespace qnext {
namespace {

using Json = nlohmann::ordered_json;

// The text, or "ERROR: message".
std::string Render(const std::string& source, const Json& variables = Json::object()) {
  const Result<ChatTemplate> compiled = ChatTemplate::Compile(source);
  if (!compiled.ok()) return "ERROR: " + compiled.status().message();
  const Result<std::string> text = compiled->Render(variables);
  return text.ok() ? *text : "ERROR: " + text.status().message();
}

TEST(Jinja, PrintsValuesAsPython) {
  EXPECT_EQ(Render("{{ 1 }} {{ 1.0 }} {{ 1e16 }} {{ 1e-5 }} {{ 0.1 + 0.2 }} {{ true }} {{ none }} {{ nothing }}|"),
            "1 1.0 1e+16 1e-05 0.30000000000000004 True None |");
  EXPECT_EQ(Render("{{ ['it\\'s', 'a\"b', '\\n', {'k': (1,)}, none] }}"),
            R"(["it's", 'a"b', '\n', {'k': (1,)}, None])");
  EXPECT_EQ(Render("{{ {1: 'a', 1.0: 'b', true: 'c'} }}"), "{1: 'c'}");
  EXPECT_EQ(Render("{{ x }}", {{"x", {{"b", 1}, {"a", {1, 2.5, nullptr, true, "s"}}}}}),
            "{'b': 1, 'a': [1, 2.5, None, True, 's']}");
}

TEST(Jinja, ComputesAsPython) {
  EXPECT_EQ(Render("{{ 7 / 2 }} {{ 6 / 2 }} {{ -7 // 2 }} {{ -7 % 3 }} {{ 7 % -3 }} {{ -7.5 % 2 }} {{ 2 ** -1 }}"),
            "3.5 3.0 -4 2 -2 0.5 0.5");
  EXPECT_EQ(
      Render("{{ -2 ** 2 }} {{ 2 ** 3 ** 2 }} {{ 'ab' * 2 }} {{ [1] + [2] }} {{ 'a' ~ 1 * 2 }} {{ true + true }}"),
      "4 64 abab [1, 2] a2 2");
  EXPECT_EQ(
      Render("{{ 1 < 2 < 3 }} {{ 1 < 3 < 2 }} {{ 1 == 1.0 }} {{ 'b' in 'abc' }} {{ 2 not in [2] }} {{ '' or 'x' }} "
             "{{ 0 and y }}"),
      "True False True True False x 0");
  EXPECT_EQ(Render("{{ 'y' if true }}{{ 'y' if false }}{{ 1 if false else 2 }}"), "y2");
}

TEST(Jinja, IntegersReach128Bits) {
  EXPECT_EQ(Render("{{ u }} {{ i }} {{ u + 1 }} {{ u * 4611686018427387904 }} {{ [u] | tojson }}",
                   {{"u", uint64_t{18446744073709551615U}}, {"i", INT64_MIN}}),
            "18446744073709551615 -9223372036854775808 18446744073709551616 85070591730234615861231965839514664960 "
            "[18446744073709551615]");
  EXPECT_EQ(Render("{{ u * u }}", {{"u", uint64_t{18446744073709551615U}}}),
            "ERROR: line 1: an integer exceeds 128 bits");
}

TEST(Jinja, LooksUpAttributesAndItems) {
  const Json variables = {{"d", {{"k", 1}, {"items", 2}}}, {"l", {1, 2, 3}}, {"s", "Grüße"}};
  EXPECT_EQ(Render("{{ d.k }}{{ d['k'] }}{{ d.nope }}{{ d['items'] }}{{ d.items is callable }}", variables), "112True");
  EXPECT_EQ(
      Render("{{ l[0] }}{{ l[-1] }}{{ l[9] }}{{ l.1 }} {{ l[::-1] }} {{ l[1:] }} {{ s[2] }} {{ s[::-1] }} {{ s[:3] }}",
             variables),
      "132 [3, 2, 1] [2, 3] ü eßürG Grü");
}

TEST(Jinja, LoopsKnowWhereTheyAre) {
  EXPECT_EQ(
      Render("{% for x in 'abc' %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.first }}{{ loop.last }}"
             "{{ loop.length }}{{ loop.previtem }}{{ loop.nextitem }};{% endfor %}"),
      "103TrueFalse3b;212FalseFalse3ac;321FalseTrue3b;");
  EXPECT_EQ(Render("{% for k, v in {'a': 1, 'b': 2}.items() if v > 1 %}{{ k }}{% else %}none{% endfor %}"), "b");
  EXPECT_EQ(
      Render(
          "{% for x in [1, [2, [3]]] recursive %}{{ '[' ~ loop(x) ~ ']' if x is iterable else x ~ '@' ~ loop.depth }}"
          "{% endfor %}"),
      "1@1[2@2[3@3]]");
  EXPECT_EQ(Render("{% for x in [1,2,3,4] %}{% if x == 2 %}{% continue %}{% elif x == 4 %}{% break %}{% endif %}{{ x }}"
                   "{% endfor %}"),
            "13");
  EXPECT_EQ(Render("{% for x in [1,1,2] %}{{ loop.changed(x) }}{{ loop.cycle('a','b') }}{% endfor %}"),
            "TrueaFalsebTruea");
  // `else` runs when no turn reaches the end of the body, even though there were turns.
  EXPECT_EQ(Render("{% for x in [1] %}{% continue %}{% else %}else{% endfor %}"), "else");
}

TEST(Jinja, ScopesAreThoseOfJinja) {
  EXPECT_EQ(Render("{% set x = 1 %}{% for i in [1, 2] %}{{ x }}{% set x = 9 %}{{ x }}{% endfor %}{{ x }}"), "19191");
  EXPECT_EQ(Render("{% if true %}{% set x = 1 %}{% endif %}{{ x }}"), "1");
  EXPECT_EQ(Render("{% set ns = namespace(n=0) %}{% for i in [1, 2] %}{% set ns.n = ns.n + i %}{% endfor %}{{ ns.n }}"),
            "3");
  EXPECT_EQ(Render("{% with a = 1, b = a %}{{ a }}{{ b }}{% endwith %}{{ a }}", {{"a", 5}}), "155");
  // Assigned later in the same scope: undefined in a loop before, though the context has it.
  EXPECT_EQ(Render("{% for i in [1] %}{{ s }}{% endfor %}{% set s = 'later' %}{{ s }}", {{"s", "context"}}), "later");
}

TEST(Jinja, MacrosAndCallBlocks) {
  EXPECT_EQ(Render("{% macro m(a, b='B', c=a) %}{{ a }}{{ b }}{{ c }}{{ varargs }}{{ kwargs }}{% endmacro %}"
                   "{{ m(1) }} {{ m(1, 2, 3, 4) }} {{ m(b=2, a=1, z=0) }}"),
            "1B1(){} 123(4,){} 121(){'z': 0}");
  EXPECT_EQ(Render("{% macro m(t) %}<{{ t }}>{{ caller(t ~ '!') }}</{{ t }}>{% endmacro %}"
                   "{% call(x) m('b') %}in {{ x }}{% endcall %}"),
            "<b>in b!</b>");
  EXPECT_EQ(Render("{% macro f(n) %}{{ n }}{{ f(n - 1) if n > 0 }}{% endmacro %}{{ f(3) }}"), "3210");
}

TEST(Jinja, BlocksCaptureText) {
  EXPECT_EQ(
      Render("{% set x | upper %}a{{ 1 + 1 }}{% endset %}{{ x }}{% filter replace('a', 'b') %}aha{% endfilter %}"),
      "A2bhb");
  EXPECT_EQ(Render("{% generation %}{% set y = 1 %}{{ y }}{% endgeneration %}{{ y is defined }}"), "1False");
  EXPECT_EQ(Render("{% raw %}{{ x }}{% if %}{# no #}{% endraw %}{# a comment #}"), "{{ x }}{% if %}{# no #}");
}

TEST(Jinja, TrimsAsHuggingFaceSetsItUp) {
  EXPECT_EQ(Render("a\n  {% if true %}\n  b\n  {% endif %}\nc\n"), "a\n  b\nc");
  EXPECT_EQ(Render("a  {%- if true -%}  b  {%- endif -%}  c"), "abc");
  EXPECT_EQ(Render("  {%+ if true +%}\nb{% endif %}"), "  \nb");
  EXPECT_EQ(Render("a\r\n{{- 1 -}}\r\nb\r\n\r\n"), "a1b\n");
  EXPECT_EQ(Render("x {# c #}\ny"), "x y");
}

TEST(Jinja, Filters) {
  EXPECT_EQ(
      Render("{{ [3,1,2]|sort }} {{ ['b','A']|sort|join(',') }} {{ [1,1,2]|unique|list }} {{ [1,2]|reverse|list }}"),
      "[1, 2, 3] A,b [1, 2] [2, 1]");
  EXPECT_EQ(Render("{{ p|map(attribute='n')|join('-') }} {{ p|selectattr('a', 'gt', 1)|map(attribute='n')|list }} "
                   "{{ p|groupby('a')|list|length }} {{ p|sum('a') }} {{ p|map(attribute='z', default='?')|first }}",
                   {{"p", {{{"n", "x"}, {"a", 1}}, {{"n", "y"}, {"a", 2}}}}}),
            "x-y ['y'] 2 3 ?");
  EXPECT_EQ(Render("{{ 'a\nb'|indent(2) }} {{ ' x '|trim }} {{ 'hello world'|title }} {{ 'foo bar baz'|truncate(8, "
                   "leeway=0) }}"),
            "a\n  b x Hello World foo...");
  EXPECT_EQ(Render("{{ '42.9'|int }} {{ 'x'|int(7) }} {{ '1.5'|float }} {{ 2.675|round(2) }} {{ 2.5|round }} {{ "
                   "u|default('d') }} "
                   "{{ ''|default('d', true) }}"),
            "42 7 1.5 2.67 2.0 d d");
  EXPECT_EQ(
      Render(
          "{{ '<a&b>'|e }} {{ ('<'|safe) + '<' }} {{ '%s:%03d'|format('a', 7) }} {{ '{:>4}|{x!r}'.format(1, x='q') }}"),
      "&lt;a&amp;b&gt; <&lt; a:007    1|'q'");
}

TEST(Jinja, ToJson) {
  const Json value = {{"b", {1, 2.0, true, nullptr}}, {"a", "é<\"\n\u2028"}};
  EXPECT_EQ(Render("{{ v|tojson }}", {{"v", value}}), "{\"b\": [1, 2.0, true, null], \"a\": \"é<\\\"\\n\u2028\"}");
  EXPECT_EQ(Render("{{ v|tojson(sort_keys=true, ensure_ascii=true, separators=(',', ':')) }}", {{"v", value}}),
            "{\"a\":\"\\u00e9<\\\"\\n\\u2028\",\"b\":[1,2.0,true,null]}");
  EXPECT_EQ(Render("{{ {'x': [1, {}], 'y': []}|tojson(indent=2) }}"),
            "{\n  \"x\": [\n    1,\n    {}\n  ],\n  \"y\": []\n}");
  EXPECT_EQ(Render("{{ [1e308 * 10, -1e308 * 10]|tojson }}"), "[Infinity, -Infinity]");
}

TEST(Jinja, Tests) {
  EXPECT_EQ(Render("{{ u is defined }}{{ none is none }}{{ 1 is integer }}{{ true is integer }}{{ 'a' is string }}"
                   "{{ {} is mapping }}{{ 'a' is sequence }}{{ 1 is iterable }}{{ 3 is odd }}{{ 6 is divisibleby 3 }}"
                   "{{ 1 is in [1] }}{{ 1 is not eq 1 }}"),
            "FalseTrueTrueFalseTrueTrueTrueFalseTrueTrueTrueFalse");
}

TEST(Jinja, StringMethodsCountCodePoints) {
  EXPECT_EQ(Render("{{ 'Straße'.upper() }} {{ 'ΟΔΟΣ'.lower() }} {{ 'été'|length }} {{ 'été'.find('é', 1) }} {{ "
                   "'é'.center(3, '*') }}"),
            "STRASSE οδος 3 2 *é*");
  EXPECT_EQ(Render("{{ 'a</think>b'.split('</think>')[-1] }} {{ '\\n\\nx\\n'.strip('\\n') }} {{ ' a b '.split() }} "
                   "{{ 'a,b,c'.rsplit(',', 1) }} {{ 'abc'.startswith(('x', 'a')) }}"),
            "b x ['a', 'b'] ['a,b', 'c'] True");
}

TEST(Jinja, StrftimeNowReadsTheGivenClock) {
  const Result<ChatTemplate> compiled = ChatTemplate::Compile("{{ strftime_now('%d %b %Y %H:%M') }}");
  ASSERT_TRUE(compiled.ok()) << compiled.status().message();
  RenderOptions options;
  options.local_time = [] {
    std::tm time = {};
    time.tm_year = 124;
    time.tm_mon = 6;
    time.tm_mday = 26;
    time.tm_hour = 9;
    time.tm_min = 5;
    return time;
  };
  EXPECT_EQ(compiled->Render(Json::object(), options).value(), "26 Jul 2024 09:05");
  EXPECT_EQ(compiled->Render(Json::object()).value().size(), 17U);  // the system's
}

}  // namespace
}  // namespace qnext
