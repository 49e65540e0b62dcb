#!/usr/bin/env python3
"""Compares ids and decoded text with the Python package `tokenizers`.

    python3 tests/text/compare_tokenizer.py --bin build/release/bin/qnext_tokenize_lines \\
        --tokenizer models/tiny/tokenizer.json --full tests/text/qwen3-tokenizer.json.xz

Needs `pip install tokenizers`. On each tokenizer: thousands of random and adversarial strings (text_samples.py), every
code point in context, invalid UTF-8, and decoding of what was encoded and of random ids, at once and token by token.
Besides the files given, tokenizers are made whose merges betray every border between pieces, one per split pattern in
use by byte-level checkpoints: a wrong character class shows there even where no real vocabulary would merge across it.
Ends with "N passed, N failed" and fails on any difference.
"""

import argparse
import json
import lzma
import random
import subprocess
import sys
import tempfile
import threading
import time

import text_samples
import tokenizers

PATTERNS = {
    "qwen3.5": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*"
               r"|\s*[\r\n]+|\s+(?!\S)|\s+",
    "cl100k": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
              r"|\s+(?!\S)|\s+",
    "possessive": r"'(?i:[sdmtk]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]"
                  r"|\s+(?!\S)|\s+",
    "o200k": r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
             r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
             r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
             r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
             r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    "gaps": r"\p{Nd}+|[\p{P}\p{S}][^\s\P{L}]*?|\d\D|\s{2,3}",
    "bytelevel": None,
}


class Engine:
    """The program under test, answering requests in order."""

    def __init__(self, program, path):
        self.process = subprocess.Popen([program, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=1 << 20)

    def ask(self, requests):
        def write():
            for what, body in requests:
                self.process.stdin.write(b"%s %d\n" % (what.encode(), len(body)) + body)
            self.process.stdin.flush()

        writer = threading.Thread(target=write)
        writer.start()
        replies = []
        for _ in requests:
            size = self.process.stdout.readline()
            if not size:
                raise SystemExit("the program ended: %s" % self.process.wait())
            replies.append(self.process.stdout.read(int(size)))
        writer.join()
        return replies

    def ids(self, what, bodies):
        return [[int(i) for i in reply.split()] for reply in self.ask([(what, body) for body in bodies])]

    def text(self, what, id_lists):
        return [r.decode() for r in self.ask([(what, " ".join(map(str, ids)).encode()) for ids in id_lists])]

    def close(self):
        self.process.stdin.close()
        return self.process.wait() == 0


class Tally:
    def __init__(self):
        self.passed = self.failed = 0

    def check(self, what, inputs, ours, theirs):
        assert len(inputs) == len(ours) == len(theirs)
        for given, mine, other in zip(inputs, ours, theirs):
            if mine == other:
                self.passed += 1
                continue
            self.failed += 1
            if self.failed <= 20:
                at = next((i for i, (a, b) in enumerate(zip(mine, other)) if a != b), min(len(mine), len(other)))
                print("MISMATCH %s: %s\n  from %d on ours   %s\n       theirs %s" %
                      (what, ascii(given)[:300], at, ascii(mine[at : at + 12]), ascii(other[at : at + 12])))


def encode_all(reference, texts):
    return [e.ids for e in reference.encode_batch_fast(texts, add_special_tokens=False)]


def without_added_tokens(json_text):
    spec = json.loads(json_text)
    spec["added_tokens"] = []
    return tokenizers.Tokenizer.from_str(json.dumps(spec))


def compare(tally, name, program, json_text, texts, broken, code_point_texts):
    begin = time.time()
    before = (tally.passed, tally.failed)
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        file.write(json_text.encode())
        file.flush()
        engine = Engine(program, file.name)
        reference = tokenizers.Tokenizer.from_str(json_text)
        plain = without_added_tokens(json_text)

        expected = encode_all(reference, texts)
        tally.check(name + " encode", texts, engine.ids("E", [t.encode() for t in texts]), expected)
        tally.check(name + " encode plain", texts, engine.ids("P", [t.encode() for t in texts]),
                    encode_all(plain, texts))
        for begin_at in range(0, len(code_point_texts), 4096):
            some = code_point_texts[begin_at : begin_at + 4096]
            tally.check(name + " code points", some, engine.ids("E", [t.encode() for t in some]),
                        encode_all(reference, some))
        tally.check(name + " invalid UTF-8", broken, engine.ids("E", broken),
                    encode_all(reference, [b.decode("utf-8", "replace") for b in broken]))

        rng = random.Random(7)
        end = reference.get_vocab_size()
        added = [t["id"] for t in json.loads(json_text)["added_tokens"]] or [0]

        def random_id():
            return rng.choice((rng.randrange(end), rng.randrange(min(end, 600)), rng.choice(added), end + 3))

        random_ids = [[random_id() for _ in range(rng.randint(1, 20))] for _ in range(len(texts) // 4)]
        lists = [ids for ids in expected if len(ids) < 50000] + random_ids
        all_text = reference.decode_batch(lists, skip_special_tokens=False)
        tally.check(name + " decode", lists, engine.text("D", lists), all_text)
        no_special = reference.decode_batch(lists, skip_special_tokens=True)
        tally.check(name + " decode without specials", lists, engine.text("S", lists), no_special)
        tally.check(name + " decode by token", lists, engine.text("T", lists), no_special)
        tally.check(name + " exit", [""], [engine.close()], [True])
    print("%-12s %8d passed %6d failed %6.1f s" %
          (name, tally.passed - before[0], tally.failed - before[1], time.time() - begin), flush=True)


def border_tokenizer(pattern):
    """A tokenizer whose ids tell where pieces end: every two bytes that may stand at a border merge, borders first."""
    spell = {}
    for byte in range(256):
        printable = 0x21 <= byte <= 0x7E or 0xA1 <= byte <= 0xAC or 0xAE <= byte
        spell[byte] = chr(byte) if printable else chr(0x100 + sum(1 for b in spell if ord(spell[b]) >= 0x100))
    ascii_bytes = [ord(c) for c in "aA1 \n\r'.s"]
    high = range(0x80, 0x100)
    pairs = [(a, b) for a in high for b in ascii_bytes] + [(a, b) for a in ascii_bytes for b in high]
    pairs += [(a, b) for a in high if a < 0xC0 for b in high if b >= 0xC0]
    pairs += [(a, b) for a in ascii_bytes for b in ascii_bytes]
    vocab = {spell[b]: b for b in range(256)}
    for a, b in pairs:
        vocab[spell[a] + spell[b]] = len(vocab)
    steps = [{"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": pattern is None}]
    if pattern is not None:
        steps.insert(0, {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False})
    return json.dumps({
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": steps}, "post_processor": None,
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
                  "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
                  "vocab": vocab, "merges": ["%s %s" % (spell[a], spell[b]) for a, b in pairs]}})


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", required=True, help="qnext_tokenize_lines")
    parser.add_argument("--tokenizer", required=True, help="a tokenizer.json")
    parser.add_argument("--full", help="another one, compressed with xz")
    parser.add_argument("--scale", type=int, default=3000, help="how many strings of each random kind")
    args = parser.parse_args()

    files = {}
    with open(args.tokenizer, encoding="utf-8") as file:
        files["tokenizer"] = file.read()
    if args.full:
        with lzma.open(args.full, "rt", encoding="utf-8") as file:
            files["full"] = file.read()

    print("tokenizers %s, seed 1" % tokenizers.__version__)
    texts = list(text_samples.texts(1, args.scale))
    broken = list(text_samples.broken_bytes(random.Random(2), args.scale))
    print("%d strings, %d of invalid UTF-8" % (len(texts), len(broken)), flush=True)
    in_words = list(text_samples.code_points("a@ @1"))
    at_borders = list(text_samples.code_points("a@a1@1 @ A@A.@.\n@\n@@'@'s"))
    tally = Tally()
    for name, json_text in files.items():
        compare(tally, name, args.bin, json_text, texts, broken, in_words)
    split = json.loads(files["tokenizer"])["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"]
    short = [t for t in texts if len(t) < 2000]
    for name, pattern in {"file's own": split, **PATTERNS}.items():
        # These two tell apart most categories, so they see every code point.
        every = name in ("file's own", "o200k")
        compare(tally, name, args.bin, border_tokenizer(pattern), short[:: 1 if every else 4], broken[:500],
                at_borders if every else at_borders[::16])
    print("%d passed, %d failed" % (tally.passed, tally.failed))
    return 1 if tally.failed else 0


if __name__ == "__main__":
    sys.exit(main())
