"""Random templates for compare_jinja.py: expressions over typed values, scoping, and whitespace control.

Everything is drawn from one random.Random, so a seed names a run. What is generated is meant to be mostly valid: both
engines shall have something to render, and the errors shall come from Python's semantics rather than from its grammar.
"""

CONTEXT = {
    "i": 7, "j": -3, "zero": 0, "big": 12345678901234567890, "f": 2.5, "g": -0.125, "huge": 1e300, "yes": True,
    "no": False, "nothing": None,
    "s": "Hello World", "e": "", "w": "  pad\tded \n", "x": "<a href='1'>&\"x\"</a>", "digits": "42", "dec": "3.75",
    "uni": "Grüße, Μάϊος ΟΔΟΣ Привет ß ﬁn 日本 \U0001f600", "lines": "one\ntwo\r\nthree\n\nfive", "csv": "a,b,,c",
    "l": [3, 1, 2], "ls": ["b", "A", "c", "a"], "lm": [1, 2.0, True, None, "x"], "le": [], "nested": [[1, 2], [3, [4]]],
    "d": {"k": 1, "items": "shadow", "z": [1], "A": None}, "de": {}, "dd": {"b": {"c": [1, {"d": "deep"}]}, "a": 0.5},
    "people": [{"name": "Bo", "age": 30, "tags": ["x"]}, {"name": "al", "age": 25}, {"name": "Cy", "age": 30, "tags": []}],
}

INTS = ["i", "j", "zero", "0", "1", "2", "-1", "3", "10", "yes", "l|length", "s|length", "1_000", "0x1f"]
FLOATS = ["f", "g", "1.0", "0.1", "2.675", "1e20", "1.5e-7", "huge", "-0.0", "100.0", "1e16", "123456.789"]
STRINGS = ["s", "e", "w", "x", "digits", "dec", "uni", "lines", "csv", "'a'", '"it\'s"', "'\\n\\t'", "'x' 'y'",
           "'\\u00e9'", "'<think>'", "x|safe", "'%s-%d'", "'{}'", "','", "' '", "'lo'", "''"]
LISTS = ["l", "ls", "lm", "le", "nested", "people", "[1, 'a', none]", "(1, 2)", "[]", "range(4)", "range(5, 0, -2)",
         "ls|map('upper')|list", "people|map(attribute='name')|list", "d.keys()|list", "(s,)", "s|list"]
DICTS = ["d", "de", "dd", "people[0]", "{'a': 1, 2: 'b'}", "{1: 1, 1.0: 2, true: 3}", "dict(q=1)", "dict(d, r=2)"]
OTHERS = ["nothing", "undef", "undef.x", "d.missing", "d.items", "yes", "no", "none", "namespace(a=1)", "d.values()",
          "d.items()", "range"]


def damage(rng, source):
    """The source with one to three small changes: characters dropped, doubled, swapped or put in."""
    text = list(source)
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(text)) if text else 0
        change = rng.choice(["drop", "double", "swap", "insert", "cut"])
        if not text or change == "insert":
            text.insert(at, rng.choice(list("{}%#-+()[]'\".,|:=~ \n0a_!*/<>") + [" if ", " not ", " is ", "**", "%}", "{{", "}}", "{%", " in "]))
        elif change == "drop":
            del text[at]
        elif change == "double":
            text.insert(at, text[at])
        elif change == "cut":
            del text[at:at + rng.randint(2, 6)]
        elif at + 1 < len(text):
            text[at], text[at + 1] = text[at + 1], text[at]
    return "".join(text)


class Expressions:
    def __init__(self, rng):
        self.rng = rng

    def any(self, depth):
        kind = self.rng.choice(["int", "float", "str", "str", "list", "list", "dict", "bool", "other"])
        return getattr(self, kind)(depth)

    def pick(self, pool):
        return self.rng.choice(pool)

    def leaf_or(self, pool, depth, options):
        if depth <= 0 or self.rng.random() < 0.25:
            return self.pick(pool)
        return self.rng.choice(options)()

    def int(self, depth):
        n = lambda: self.int(depth - 1)
        return self.leaf_or(INTS, depth, [
            lambda: f"({n()} {self.pick(['+', '-', '*', '//', '%'])} {n()})",
            lambda: f"({n()} ** {self.pick(['0', '1', '2', '3'])})",
            lambda: f"-{n()}" if self.rng.random() < 0.5 else f"(+{n()})",
            lambda: f"({self.any(depth - 1)})|length",
            lambda: f"({self.any(depth - 1)})|int({self.pick(['', '5', 'default=-1', '0, 16', 'base=2'])})",
            lambda: f"({self.list(depth - 1)})|{self.pick(['sum', 'max', 'min', 'first', 'last'])}",
            lambda: f"({self.str(depth - 1)}).{self.pick(['find', 'rfind', 'count', 'index'])}({self.str(0)})",
            lambda: f"({self.list(depth - 1)})[{n()}]",
            lambda: f"({n()})|abs",
            lambda: f"({self.str(depth - 1)})|wordcount",
            lambda: f"({n()} if {self.bool(depth - 1)} else {n()})",
        ])

    def float(self, depth):
        n = lambda: self.pick([self.int, self.float])(depth - 1)
        return self.leaf_or(FLOATS, depth, [
            lambda: f"({n()} {self.pick(['+', '-', '*', '/', '//', '%'])} {n()})",
            lambda: f"({n()} / {n()})",
            lambda: f"({n()})|round({self.pick(['', '1', '2', '-1', '3', '0'])})",
            lambda: f"({n()})|round({self.pick(['0', '1', '2'])}, '{self.pick(['ceil', 'floor', 'common'])}')",
            lambda: f"({self.any(depth - 1)})|float",
            lambda: f"({self.any(depth - 1)})|float({n()})",
            lambda: f"({n()} ** {self.pick(['2', '0.5', '-1', '-2'])})",
            lambda: f"({n()})|abs",
            lambda: f"[{n()}, {n()}, {n()}]|{self.pick(['sum', 'max', 'min'])}",
        ])

    def str(self, depth):
        t = lambda: self.str(depth - 1)
        a = lambda: self.any(depth - 1)
        i = lambda: self.int(0)
        return self.leaf_or(STRINGS, depth, [
            lambda: f"({t()} + {t()})",
            lambda: f"({a()} ~ {a()})",
            lambda: f"({t()} * {i()})",
            lambda: f"({t()})[{self.pick([i(), i() + ':', ':' + i(), '::-1', i() + ':' + i(), '::2', '-3:', '::-2', '5:1:-1'])}]",
            lambda: f"({a()})|string",
            lambda: f"({a()})|tojson",
            lambda: f"({a()})|tojson(indent={self.pick(['0', '2', '4', 'none', chr(39) + ' ' + chr(39)])}{self.pick(['', ', sort_keys=true', ', ensure_ascii=true'])})",
            lambda: f"({a()})|tojson(separators=(',', ':'){self.pick(['', ', ensure_ascii=true', ', indent=1'])})",
            lambda: f"({t()})|{self.pick(['upper', 'lower', 'title', 'capitalize', 'trim', 'string', 'e', 'safe', 'escape', 'forceescape', 'urlencode', 'reverse'])}",
            lambda: f"({t()}).{self.pick(['upper', 'lower', 'title', 'capitalize', 'swapcase', 'casefold', 'strip', 'lstrip', 'rstrip', 'expandtabs'])}()",
            lambda: f"({t()}).{self.pick(['strip', 'lstrip', 'rstrip', 'removeprefix', 'removesuffix'])}({self.str(0)})",
            lambda: f"({t()})|replace({self.str(0)}, {self.str(0)}{self.pick(['', ', 1', ', count=2', ', 0'])})",
            lambda: f"({t()}).replace({self.str(0)}, {self.str(0)}{self.pick(['', ', 1', ', -1', ', 0'])})",
            lambda: f"({self.list(depth - 1)})|join({self.pick(['', self.str(0), chr(39) + ', ' + chr(39)])})",
            lambda: f"({self.str(0)}).join({self.list(depth - 1)})",
            lambda: f"({t()})|indent({self.pick(['', '2', '3, true', '2, first=true', 'blank=true', '4, true, true', self.str(0)])})",
            lambda: f"({t()})|truncate({self.pick(['', '5', '8, true', '9, false, ' + chr(39) + '!' + chr(39), '6, true, ' + chr(39) * 2 + ', 0', '3'])})",
            lambda: f"({t()})|center({i()})",
            lambda: f"({t()}).{self.pick(['center', 'ljust', 'rjust'])}({i()} + 8{self.pick(['', ', ' + chr(39) + '*' + chr(39)])})",
            lambda: f"({t()}).zfill({i()} + 6)",
            lambda: f"({t()}).{self.pick(['split', 'rsplit', 'partition', 'rpartition'])}({self.str(0)})[{self.pick(['0', '-1', '1'])}]",
            lambda: f"{self.pick(PERCENTS)} % {self.pick([a(), '(' + a() + ',)', '(' + a() + ', ' + a() + ')'])}",
            lambda: f"{self.pick(PERCENTS)}|format({self.pick([a(), a() + ', ' + a(), 'k=' + a()])})",
            lambda: f"{self.pick(BRACES)}.format({self.pick([a(), a() + ', ' + a(), 'k=' + a(), a() + ', k=' + a()])})",
            lambda: f"({t()} if {self.bool(depth - 1)}{self.pick([' else ' + t(), ''])})",
            lambda: f"({a()})|default({a()}{self.pick(['', ', true'])})",
            lambda: f"({t()} {self.pick(['or', 'and'])} {t()})",
        ])

    def list(self, depth):
        l = lambda: self.list(depth - 1)
        a = lambda: self.any(depth - 1)
        i = lambda: self.int(0)
        return self.leaf_or(LISTS, depth, [
            lambda: f"[{a()}, {a()}]",
            lambda: f"({a()}, {a()})",
            lambda: f"({l()} + {l()})",
            lambda: f"({l()} * {i()})",
            lambda: f"({l()})[{self.pick([i() + ':', ':' + i(), '::-1', i() + ':' + i(), '::2', '-2:', '::-2', '4:0:-1'])}]",
            lambda: f"({l()})|{self.pick(['sort', 'sort(reverse=true)', 'sort(case_sensitive=true)', 'reverse|list', 'unique|list', 'list'])}",
            lambda: f"({l()})|map({self.pick([chr(39) + n + chr(39) for n in ['string', 'upper', 'length', 'int', 'tojson', 'first', 'float', 'e']])})|list",
            lambda: f"({l()})|{self.pick(['select', 'reject'])}({self.pick(['', *[chr(39) + n + chr(39) for n in ['string', 'number', 'odd', 'none', 'defined', 'mapping', 'sequence', 'iterable', 'integer', 'float', 'boolean']], chr(39) + 'gt' + chr(39) + ', 1', chr(39) + 'in' + chr(39) + ', l', chr(39) + 'equalto' + chr(39) + ', 2'])})|list",
            lambda: f"people|{self.pick(['selectattr', 'rejectattr'])}({self.pick([chr(39) + 'tags' + chr(39), chr(39) + 'age' + chr(39) + ', ' + chr(39) + 'eq' + chr(39) + ', 30', chr(39) + 'name' + chr(39) + ', ' + chr(39) + 'lower' + chr(39), chr(39) + 'tags' + chr(39) + ', ' + chr(39) + 'undefined' + chr(39)])})|map(attribute='name')|list",
            lambda: f"people|sort(attribute='{self.pick(['age', 'name', 'age,name', 'name,age', 'tags'])}'{self.pick(['', ', reverse=true'])})|map(attribute='name')|list",
            lambda: f"people|groupby('{self.pick(['age', 'name', 'tags'])}'{self.pick(['', ', default=0'])})|list",
            lambda: f"people|map(attribute='{self.pick(['tags', 'tags.0', 'name', 'age'])}'{self.pick(['', ', default=' + chr(39) + '-' + chr(39)])})|list",
            lambda: f"({self.dict(depth - 1)})|{self.pick(['dictsort', 'items|list', 'dictsort(reverse=true)', 'dictsort(by=' + chr(39) + 'value' + chr(39) + ')', 'list'])}",
            lambda: f"({self.dict(depth - 1)}).{self.pick(['keys', 'values', 'items'])}()|list",
            lambda: f"({self.str(depth - 1)}).{self.pick(['split', 'rsplit'])}({self.pick(['', self.str(0), 'none, 1', self.str(0) + ', 1', 'maxsplit=2', self.str(0) + ', 2'])})",
            lambda: f"({self.str(depth - 1)}).splitlines({self.pick(['', 'true', 'keepends=true'])})",
            lambda: f"({self.str(depth - 1)}).{self.pick(['partition', 'rpartition'])}({self.str(0)})",
            lambda: f"({l()})|batch({self.pick(['1', '2', '3', '2, none', '3, ' + chr(39) + '-' + chr(39)])})|list",
            lambda: f"({l()})|slice({self.pick(['1', '2', '3', '2, ' + chr(39) + '-' + chr(39)])})|list",
            lambda: f"({self.str(depth - 1)})|list",
            lambda: f"range({i()}, {i()} + 5)|list",
        ])

    def dict(self, depth):
        a = lambda: self.any(depth - 1)
        return self.leaf_or(DICTS, depth, [
            lambda: f"{{'p': {a()}, 'q': {a()}}}",
            lambda: f"{{{a()}: {a()}}}",
            lambda: f"dict({self.dict(depth - 1)}, z={a()})",
            lambda: f"dict({self.list(depth - 1)}|map('string')|map('list')|list)",
            lambda: f"({self.dict(depth - 1)}).copy()",
            lambda: f"dd.{self.pick(['b', 'a', 'zz'])}",
            lambda: f"people[{self.int(0)}]",
        ])

    def bool(self, depth):
        a = lambda: self.any(depth - 1)
        return self.leaf_or(["yes", "no", "true", "false", "i", "e", "le", "undef"], depth, [
            lambda: f"({a()} {self.pick(['==', '!=', '<', '<=', '>', '>='])} {a()})",
            lambda: f"({self.int(depth - 1)} {self.pick(['<', '<=', '==', '!='])} {self.float(depth - 1)} {self.pick(['<', '>=', '=='])} {self.int(depth - 1)})",
            lambda: f"({self.str(depth - 1)} {self.pick(['in', 'not in'])} {self.str(depth - 1)})",
            lambda: f"({a()} {self.pick(['in', 'not in'])} {self.pick([self.list, self.dict])(depth - 1)})",
            lambda: f"not {a()}",
            lambda: f"({a()} {self.pick(['and', 'or'])} {a()})",
            lambda: f"({a()} is {self.pick(['', 'not '])}{self.pick(TESTS)})",
            lambda: f"({a()} is {self.pick(['eq', 'ne', 'lt', 'ge', 'sameas', 'in'])}({self.pick([a(), 'none', 'true'])}))"
            .replace("sameas(" , "eq("),
            lambda: f"({self.int(depth - 1)} is divisibleby {self.pick(['2', '3', '(i)'])})",
            lambda: f"({self.str(depth - 1)}).{self.pick(PREDICATES)}()",
            lambda: f"({self.str(depth - 1)}).{self.pick(['startswith', 'endswith'])}({self.pick([self.str(0), '(' + self.str(0) + ', ' + self.str(0) + ')', self.str(0) + ', 1', self.str(0) + ', -3, -1'])})",
        ])

    def other(self, depth):
        return self.leaf_or(OTHERS, depth, [
            lambda: f"({self.any(depth - 1)}){self.pick(['.k', '.name', '[0]', '[' + chr(39) + 'k' + chr(39) + ']', '.items', '[' + self.any(0) + ']', '.upper', '.x', '.0'])}",
            lambda: f"({self.any(depth - 1)})|{self.pick(['first', 'last', 'default(1)', 'attr(' + chr(39) + 'k' + chr(39) + ')', 'd(2, true)', 'length', 'sum', 'min', 'max', 'count'])}",
            lambda: f"({self.dict(depth - 1)}).get({self.any(0)}{self.pick(['', ', ' + self.any(0)])})",
        ])


PERCENTS = ["'%s'", "'%d'", "'%s %s'", "'%5.2f|'", "'%r'", "'%-6s|'", "'%06d'", "'%x'", "'%%'", "'%e'", "'%g'", "'%+d'",
            "'%.3s'", "'%(k)s'", "'%c'", "'%o'", "'%#x'", "'% d'", "'%i%%'", "'%5d|%-5d'", "'plain'"]
BRACES = ["'{}'", "'{0}{0}'", "'{:>8}|'", "'{:.2f}'", "'{k}'", "'{!r}'", "'{:,}'", "'{:08.3f}'", "'{:x}'", "'{:^9}|'",
          "'{{}}'", "'{:e}'", "'{:%}'", "'{:+d}'", "'{0[0]}'", "'{0.k}'", "'{:*<7}'", "'{:_}'", "'{:g}'", "'{:#b}'", "'{:5}|'",
          "'{:010,}'", "'{:.3}'"]
TESTS = ["defined", "undefined", "none", "string", "mapping", "sequence", "iterable", "number", "integer", "float",
         "boolean", "true", "false", "odd", "even", "lower", "upper", "callable", "escaped", "divisibleby 2", "in l",
         "filter", "test", "eq 1", "ne 'a'", "gt 0", "le 2"]
PREDICATES = ["isdigit", "isalpha", "isalnum", "isspace", "isupper", "islower", "istitle", "isnumeric", "isdecimal",
              "isascii", "isidentifier", "isprintable"]


class Statements:
    """Scoping: assignments, loops, macros and blocks over few names, printing them everywhere."""

    NAMES = ["a", "b", "c", "i"]

    def __init__(self, rng):
        self.rng = rng
        self.macros = 0

    def name(self):
        return self.rng.choice(self.NAMES)

    def show(self):
        return "[" + "|".join(f"{{{{ {n}|default('?') }}}}" for n in self.NAMES) + "]"

    def value(self):
        return self.rng.choice(["1", "'x'", "a", "b", "c ~ '+'", "a|default(0)", "[1,2]", "loop.index|default(9)", "i", "ns.v"])

    def block(self, depth, in_loop, in_function=False):
        parts = []
        for _ in range(self.rng.randint(1, 3)):
            parts.append(self.statement(depth, in_loop, in_function))
        return "".join(parts)

    def statement(self, depth, in_loop, in_function):
        r = self.rng
        kinds = ["show", "show", "set", "set", "nsset"]
        if depth > 0:
            kinds += ["for", "for", "if", "if", "with", "macro", "call", "filter", "setblock", "recursive", "generation"]
        if in_loop:
            kinds += ["loopinfo", "jump"]
        kind = r.choice(kinds)
        inner = lambda loop=in_loop, function=in_function: self.block(depth - 1, loop, function)
        if kind == "show":
            return self.show()
        if kind == "set":
            if r.random() < 0.2:
                return f"{{% set {self.name()}, {self.name()} = {self.value()}, {self.value()} %}}"
            return f"{{% set {self.name()} = {self.value()} %}}"
        if kind == "nsset":
            return f"{{% set ns.v = {self.value()} %}}{{{{ ns.v }}}}"
        if kind == "for":
            test = r.choice(["", "", f" if {self.name()} != 2", " if loop is undefined"])
            target = r.choice(["i", "i", self.name(), "i, a"])
            items = r.choice(["[1,2,3]", "[]", "'xy'", "{'k': 1}", "[[1,2],[3,4]]", "a"]) if target != "i, a" else "[[1,2],[3,4]]"
            otherwise = f"{{% else %}}{inner()}" if r.random() < 0.4 else ""
            return f"{{% for {target} in {items}{test} %}}{inner(True)}{otherwise}{{% endfor %}}"
        if kind == "recursive":
            return ("{% for i in [[1,[2]],[3]] recursive %}" + inner(True) +
                    "{% if i is iterable and i is not string %}({{ loop(i) }}){% else %}{{ i }}@{{ loop.depth }}{% endif %}{% endfor %}")
        if kind == "if":
            test = r.choice(["a", "b == 1", "c is defined", "true", "false", "i is undefined", "loop is defined"])
            alternative = r.choice(["", f"{{% else %}}{inner()}", f"{{% elif b %}}{inner()}", f"{{% elif c %}}{inner()}{{% else %}}{inner()}"])
            return f"{{% if {test} %}}{inner()}{alternative}{{% endif %}}"
        if kind == "with":
            return f"{{% with {self.name()} = {self.value()}, {self.name()} = {self.value()} %}}{inner()}{{% endwith %}}"
        if kind == "macro":
            self.macros += 1
            name = f"m{self.macros}"
            signature = r.choice(["", "a", "a, b=c", "b='d', c=b", "i=i"])
            body = inner(False, True) + r.choice(["", "{{ varargs }}", "{{ kwargs }}", "{{ caller() if caller else 'nc' }}"])
            call = f"{{{{ {name}({r.choice(['', '1', '2, 3', 'b=4', 'a=5', '1, 2, 3', 'zz=1'])}) }}}}"
            return f"{{% macro {name}({signature}) %}}{body}{{% endmacro %}}{call}{self.show()}"
        if kind == "call":
            self.macros += 1
            name = f"m{self.macros}"
            arguments = r.choice(["", "1", "a, b"])
            parameters = {"": "", "1": "(a)", "a, b": "(a, i)"}[arguments]
            return (f"{{% macro {name}(c='mc') %}}<{{{{ caller({arguments}) }}}}{self.show()}>{{% endmacro %}}"
                    f"{{% call{parameters} {name}() %}}{inner(False, True)}{{% endcall %}}")
        if kind == "filter":
            return f"{{% filter {r.choice(['upper', 'replace(' + chr(39) + '|' + chr(39) + ', b|string)', 'trim|title'])} %}}{inner()}{{% endfilter %}}"
        if kind == "setblock":
            return f"{{% set {self.name()}{r.choice(['', ' | upper', ' | trim | length'])} %}}{inner()}{{% endset %}}"
        if kind == "generation":
            return f"{{% generation %}}{inner(False, True)}{{% endgeneration %}}"
        if kind == "loopinfo":
            return r.choice(["{{ loop.index }}/{{ loop.length }}", "{{ loop.first }}{{ loop.last }}", "{{ loop.previtem|default('P') }}",
                             "{{ loop.nextitem|default('N') }}", "{{ loop.cycle('x', 'y') }}", "{{ loop.changed(a) }}",
                             "{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.depth0 }}", "{{ loop }}"])
        if kind == "jump":
            return f"{{% if {r.choice(['loop.first', 'i == 2', 'a', 'loop.last'])} %}}{{% {r.choice(['break', 'continue'])} %}}{{% endif %}}"
        raise AssertionError(kind)

    def template(self):
        self.macros = 0
        return "{% set ns = namespace(v=0) %}" + self.block(3, False) + self.show()


class Whitespace:
    """Tags with all signs among blanks and line breaks."""

    def __init__(self, rng):
        self.rng = rng

    def gap(self):
        return "".join(self.rng.choice([" ", "  ", "\n", "\t", "x", "\r\n", "\u00a0", "", "-", "{", "%"])
                       for _ in range(self.rng.randint(0, 4)))

    def tag(self, kind, inside):
        left = self.rng.choice(["", "", "-", "+"])
        right = self.rng.choice(["", "", "-", "+"] if kind != "{" else ["", "-"])
        close = {"%": "%}", "{": "}}", "#": "#}"}[kind]
        space = self.rng.choice([" ", "", "\n"]) if kind != "{" else " "
        return "{" + kind + left + " " + inside + space + (right if space or right != "+" else "") + close

    def template(self):
        r = self.rng
        out = [self.gap()]
        for _ in range(r.randint(1, 5)):
            kind = r.choice(["print", "comment", "if", "for", "raw", "set"])
            if kind == "print":
                out.append(self.tag("{", r.choice(["'v'", "1", "'a\\nb'"])))
            elif kind == "comment":
                out.append(self.tag("#", r.choice(["note", "a\nb", "{{ x }}"])))
            elif kind == "if":
                out += [self.tag("%", "if true"), self.gap(), self.tag("%", "else"), self.gap(), self.tag("%", "endif")]
            elif kind == "for":
                out += [self.tag("%", "for q in [1, 2]"), self.gap(), self.tag("%", "endfor")]
            elif kind == "set":
                out.append(self.tag("%", "set z = 1"))
            else:
                out += [r.choice(["{% raw %}", "{%- raw -%}", "{% raw -%}", "{%+ raw %}"]), self.gap(), r.choice(["{{ x }}", "{% if %}", ""]),
                        self.gap(), r.choice(["{% endraw %}", "{%- endraw -%}", "{%+ endraw +%}", "{% endraw -%}"])]
            out.append(self.gap())
        return "".join(out)
