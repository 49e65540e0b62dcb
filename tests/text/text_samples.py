"""The strings compare_tokenizer.py compares on: one generator per kind, all from one fixed seed."""

import random
import unicodedata

SCALARS = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]

PROSE = [
    "The quick brown fox doesn't jump over the lazy dog's 12,345 bones; it's 3.14159 o'clock, they'll say, I'd've!",
    "def f(x: int) -> str:\n    return f\"{x!r:>10}\"  # ключ\n\n\nclass A:\n\tpass\n",
    "Съешь же ещё этих мягких французских булок, да выпей чаю. 2024-й год.",
    "天地玄黄，宇宙洪荒。今天天气很好，我们去公园玩吧！１２３ＡＢＣ",
    "いろはにほへと ちりぬるを カタカナ ﾊﾝｶｸ がぎぐげご が",
    "다람쥐 헌 쳇바퀴에 타고파 각 각",
    "نص حكيم له سر قاطع وذو شأن عظيم مكتوب على ثوب أخضر ١٢٣٤",
    "דג סקרן שט בים מאוכזב ולפתע מצא לו חברה שָׁלוֹם",
    "ऋषियों को सताने वाले दुष्ट राक्षसों के राजा रावण का सर्वनाश करने वाले १२३",
    "เป็นมนุษย์สุดประเสริฐเลิศคุณค่า ๑๒๓",
    "Ξεσκεπάζω την ψυχοφθόρα βδελυγμία. Ὀδυσσεύς",
    "Zażółć gęślą jaźń; Příliš žluťoučký kůň; Å Å Å ﬁ ﬀ ß ẞ ŉ ǰ İ ı ſ K Ω",
    "∀x∈ℝ: ⌈x⌉ = −⌊−x⌋, α ∧ ¬β = ¬(¬α ∨ β), ½ ⅔ ² ³ Ⅷ ① ㊿",
    '{"a": [1, 2.5e-10, null, true], "b": {"c": "\\u00e9\\n"}}\r\n',
    "<html><body>&nbsp;</body></html> https://example.org/?q=1&r=%20#x user@example.org",
]
EMOJI = ["😀", "👍🏽", "👨‍👩‍👧‍👦", "🏳️‍🌈", "🇩🇪🇫🇷", "❤️", "1️⃣", "🧑🏿‍🚀", "☎︎", "🫨", "\U0001fae9"]
WHITE = [" ", "\t", "\n", "\r", "\r\n", "\v", "\f", "\x85", "\xa0", "\u1680", "\u180e", "\u2003", "\u200b", "\u2028",
         "\u2029", "\u202f", "\u205f", "\u3000", "\ufeff", "\x1c", "\x1f"]
ODD = ["\x00", "\x01", "\x7f", "\x80", "\x9f", "\xad", "\u200d", "\u200c", "\u034f", "\ufe0f", "\u202e", "\u2066",
       "\ufffd", "\ufffe", "\uffff", "\U0010ffff", "\ue000", "\U000f0000", "\U000e0041"]
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<tool_call>", "</tool_call>", "<think>", "</think>",
           "<tool_response>", "<|fim_prefix|>", "<|vision_pad|>", "<|repo_name|>"]
# Composites that Unicode 16 brought, as sequences: neither Python nor the package's normalizer knows them.
UNICODE_16 = ["\U000105d2\u0307", "\U000105da\u0307", "\U00016d67\U00016d67", "\U00016d63\U00016d67",
              "\U00016d69\U00016d67", "\U00011382\U000113c9", "\U00011384\U000113bb", "\U0001138b\U000113c2",
              "\U00011390\U000113c9", "\U000113c2\U000113c2", "\U000113c2\U000113b8", "\U000113c2\U000113c9",
              "\U0001611e\U0001611e", "\U0001611e\U00016129", "\U0001611e\U0001611f", "\U00016129\U0001611f",
              "\U00016121\U0001611f", "\U00011935\U00011930", "\U00011099\U000110ba", "\U00011131\U00011127"]


def code_points(template, per_string=64, rest="a@ @1"):
    """Every scalar value, put into `template`; into `rest` where Unicode has not assigned anything yet or ever will."""
    used = [c for c in SCALARS if c < 0x33480 or 0xE0000 <= c < 0xE0200]
    unused = [c for c in SCALARS if not (c < 0x33480 or 0xE0000 <= c < 0xE0200)]
    for codes, text in ((used, template), (unused, rest)):
        for i in range(0, len(codes), per_string):
            yield "".join(text.replace("@", chr(c)) for c in codes[i : i + per_string])


def normalization_pool():
    pool = set()
    for c in SCALARS:
        decomposed = unicodedata.normalize("NFD", chr(c))
        if decomposed != chr(c) and not 0xAC00 <= c < 0xD7A4:
            pool.add(chr(c))
            pool.update(decomposed)
        elif unicodedata.combining(chr(c)):
            pool.add(chr(c))
    return sorted(pool)


def decompositions(rng):
    """Every canonical decomposition, alone, with a mark put in between, and with something after it."""
    pool = [c for c in normalization_pool() if unicodedata.combining(c)]
    for c in SCALARS:
        parts = unicodedata.normalize("NFD", chr(c))
        if parts == chr(c):
            continue
        mark = rng.choice(pool)
        yield "%s%s%s%s%s%s %s" % (chr(c), mark, parts, mark, parts[0], mark, parts[1:])
    for parts in UNICODE_16:
        yield "a%sb%s\u0301 %s" % (parts, parts, parts[0] + "\u0334" + parts[1:] + "\u0307")


def marks(rng, count):
    pool = normalization_pool()
    jamo = [*range(0x10FE, 0x1115), *range(0x115F, 0x1178), *range(0x11A6, 0x11C4), 0xAC00, 0xAC01, 0xD7A3]
    jamo = [chr(c) for c in jamo]
    for _ in range(count):
        source = rng.choice((pool, pool, jamo, "aeouAEOUn\u0301\u0323\u0308\u0345\u0334", jamo + pool[:500]))
        yield "".join(rng.choice(source) for _ in range(rng.randint(1, 12)))


def contractions(rng, count):
    tails = "s t re ve m ll d S T RE Ve M lL D \u017f K k st ss".split() + ["", " ", "\n", "1", "é"]
    for _ in range(count):
        yield "".join(
            rng.choice(("it", "I", " ", "", "1", "é", "'")) + rng.choice(("'", "’", "`", "''")) + rng.choice(tails)
            for _ in range(rng.randint(1, 6)))


def runs(rng, count, longest):
    for _ in range(count):
        out = []
        for _ in range(rng.randint(1, 5)):
            unit = rng.choice((" ", " ", "\n", "\t", "\r\n", " \n", "0", "7", "a", "ab", "é", "e\u0301", "中", "😀", "-",
                               "=", "<", "'", "'s", ".", "\u0301", "\u0345\u0334", rng.choice(WHITE), rng.choice(ODD)))
            out.append(unit * rng.choice((1, 2, 3, rng.randint(1, 70), rng.randint(1, longest))))
            out.append(rng.choice(("", "x", "1", " ", "\n", ".")))
        yield "".join(out)


def specials(rng, count):
    for _ in range(count):
        out = []
        for _ in range(rng.randint(1, 6)):
            token = rng.choice(SPECIAL)
            cut = rng.randint(0, len(token))
            out.append(rng.choice((token, token, token[:cut], token[cut:], token.upper(), "<" + token,
                                   token[:-1] + " >", rng.choice(PROSE)[: rng.randint(0, 12)],
                                   "<|", "|>", "\n", " ", "e", "\u0301")))
        yield "".join(out)


def mixtures(rng, count):
    assigned = [c for c in SCALARS if unicodedata.category(chr(c)) not in ("Cn", "Co")]
    for _ in range(count):
        out = []
        for _ in range(rng.randint(1, 10)):
            kind = rng.randrange(9)
            if kind <= 2:
                prose = rng.choice(PROSE)
                begin = rng.randrange(len(prose))
                out.append(prose[begin : begin + rng.randint(1, 40)])
            elif kind == 3:
                out.append(rng.choice(EMOJI) * rng.randint(1, 3))
            elif kind == 4:
                out.append("".join(rng.choice(WHITE) for _ in range(rng.randint(1, 6))))
            elif kind == 5:
                out.append(rng.choice(ODD))
            elif kind == 6:
                start = rng.choice(assigned)  # neighbours are mostly of one script
                out.append("".join(chr(c) for c in range(start, start + rng.randint(1, 8)) if c in SCALAR_SET))
            elif kind == 7:
                out.append("".join(chr(rng.choice(assigned)) for _ in range(rng.randint(1, 6))))
            else:
                out.append(str(rng.randrange(10 ** rng.randint(1, 12))))
        yield "".join(out)


SCALAR_SET = frozenset(SCALARS)


def broken_bytes(rng, count):
    """Byte strings that are mostly not UTF-8."""
    for _ in range(count):
        if rng.random() < 0.5:
            yield bytes(rng.choice((0x20, 0x61, 0x80, 0xBF, 0xC0, 0xC2, 0xE0, 0xA0, 0x9F, 0xED, 0xEF, 0xF0, 0x90, 0x8F,
                                    0xF4, 0xF5, 0xFF, rng.randrange(256))) for _ in range(rng.randint(1, 16)))
        else:
            data = bytearray(rng.choice(PROSE + EMOJI).encode())
            for _ in range(rng.randint(1, 4)):
                at = rng.randrange(len(data))
                data[at : at + rng.randint(0, 2)] = bytes(rng.randrange(256) for _ in range(rng.randint(0, 2)))
                data = data or bytearray(b"\xff")
            yield bytes(data)


def texts(seed, scale):
    """`scale` strings of each random kind, and the ones that are made once."""
    rng = random.Random(seed)
    yield from ["", " ", "\n", "a", *PROSE, *EMOJI, *WHITE, *ODD, *SPECIAL]
    yield from decompositions(rng)
    yield from marks(rng, scale)
    yield from contractions(rng, scale)
    yield from runs(rng, scale // 2, 300)
    yield from runs(rng, 20, 20000)
    yield from specials(rng, scale)
    yield from mixtures(rng, 2 * scale)
    for unit in (" ", "\n", "7", "a", "中", "'", "\u0301"):
        yield unit * (1_000_000 // len(unit.encode()))
        yield unit * 100_001 + "x"
