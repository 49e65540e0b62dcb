#!/usr/bin/env python3
"""Writes src/text/unicode_tables.inc from what the Python package `tokenizers` does.

    python3 tests/text/make_unicode_tables.py src/text/unicode_tables.inc

Ids agree with that package only if both sides put every code point into the same general category and normalize it
alike. Its regex engine and its normalizer carry tables of two different Unicode versions, and neither is the version of
the utf8proc that happens to be installed, so both are measured here, code point by code point, instead of assumed.
Needs `pip install tokenizers`; run it again when a new release of the package brings newer tables.
"""

import sys
import unicodedata

import tokenizers
from tokenizers import Regex, normalizers, pre_tokenizers

# The order is that of kCategoryNames in src/text/char_class.cc.
CATEGORIES = "Lu Ll Lt Lm Lo Mn Mc Me Nd Nl No Pc Pd Ps Pe Pi Pf Po Sm Sc Sk So Zs Zl Zp Cc Cf Cs Co Cn".split()
SCALARS = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]


def members(pattern):
    """The code points that the package's regex engine matches with `pattern`."""
    text = "".join(map(chr, SCALARS))
    matched = bytearray(b"\1") * len(text)
    for _, (begin, end) in pre_tokenizers.Split(Regex(pattern), "removed").pre_tokenize_str(text):
        matched[begin:end] = bytes(end - begin)
    return [c for c, hit in zip(SCALARS, matched) if hit]


def category_runs():
    category = {c: "Cs" for c in range(0xD800, 0xE000)}
    for name in CATEGORIES:
        if name == "Cs":
            continue
        for c in members(r"\p{%s}" % name):
            assert c not in category, hex(c)
            category[c] = name
    assert len(category) == 0x110000
    white = {c for c in category if 9 <= c <= 13 or c == 0x85 or category[c] in ("Zs", "Zl", "Zp")}
    assert set(members(r"\s")) == white, "char_class.cc states what \\s is; it no longer holds"
    assert {c for c in category if category[c] == "Nd"} == set(members(r"\d"))
    for letter in map(chr, range(ord("a"), ord("z") + 1)):
        folds = {ord(letter), ord(letter.upper())} | {"s": {0x17F}, "k": {0x212A}}.get(letter, set())
        assert set(members("(?i:%s)" % letter)) == folds, "split_pattern.cc states these folds; they no longer hold"
    runs, last = [], None
    for c in range(0x110000):
        if category[c] != last:
            last = category[c]
            runs.append(c << 5 | CATEGORIES.index(last))
    return runs


def participants(nfd, combining):
    """What takes part in normalization: it decomposes, is part of a decomposition, or has a combining class."""
    found = set()
    for c in SCALARS:
        decomposed = nfd(chr(c))
        if decomposed != chr(c):
            found.add(c)
            found.update(map(ord, decomposed))
        elif combining(chr(c)):
            found.add(c)
    return found


def nfc_ranges():
    nfd = normalizers.NFD().normalize_str

    def combining(char):  # the class itself cannot be asked for, but a class other than 0 moves past one of these two
        return nfd("q" + char + "\u0334") != "q" + char + "\u0334" or nfd("q\u0345" + char) != "q\u0345" + char

    known = participants(nfd, combining)
    # What is assigned and inert in a later Unicode version was never otherwise and will never be (the stability
    # policy), so such code points may fill gaps between ranges to make the table short.
    later = participants(lambda s: unicodedata.normalize("NFD", s), unicodedata.combining)
    assert known <= later, "Python's Unicode version is older than the package's"
    ranges = []
    for c in sorted(known):
        gap = range(ranges[-1][1] + 1, c) if ranges else [0]
        if len(gap) < 20000 and all(g not in later and unicodedata.category(chr(g)) not in ("Cn", "Cs") for g in gap):
            if ranges:
                ranges[-1][1] = c
                continue
        ranges.append([c, c])
    return ranges


def rows(items, per_row):
    return ["".join(items[i : i + per_row]) for i in range(0, len(items), per_row)]


def main():
    lines = [
        "// Made by tests/text/make_unicode_tables.py from what the Python package tokenizers %s does."
        % tokenizers.__version__,
        "",
        "// The general category of every code point in the package's regex engine: first code point << 5 | category.",
        "inline constexpr uint32_t kCategoryRuns[] = {",
        *rows(["0x%x," % r for r in category_runs()], 12),
        "};",
        "",
        "// Every code point that takes part in the package's normalization, in ranges whose other members are",
        "// assigned and inert in every Unicode version.",
        "inline constexpr CodePointRange kNfcRanges[] = {",
        *rows(["{0x%x,0x%x}," % tuple(r) for r in nfc_ranges()], 6),
        "};",
    ]
    with open(sys.argv[1], "w") as out:
        out.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
