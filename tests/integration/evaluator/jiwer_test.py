#!/usr/bin/env python3
"""`strata-evaluator wer --tsv` beside jiwer, on random pairs: no difference in any column.

  jiwer_test.py STRATA_EVALUATOR [--short N] [--long N] [--seed SEED]

Short pairs are what people score, with odd white space, composed and decomposed letters, emoji and
words of all lengths; long ones have so many words or characters that RapidFuzz, jiwer's core, cuts
them in two (docs/evaluation.md, "Which alignment"). Without --seed every run draws others, and prints
by which seed they are drawn again.
"""
import argparse
import importlib.metadata
import os
import random
import subprocess
import tempfile

import peers

peers.need("jiwer", "rapidfuzz")
import jiwer  # noqa: E402

COLUMNS = ["substitutions", "deletions", "insertions", "hits", "wer", "mer", "wil", "wip", "cer"]
TOLERANCE = 1e-12
VOCABULARIES = [
    list("abc"),
    list("abcdefgh"),
    ["the", "cat", "sat", "on", "mat", "été", "e\u0301te\u0301", "x\u00a0y", "İ", "😀",
     "\U0001F468\u200d\U0001F469", "a\x1cb", "l\x85m", "don't", "exactly8", "ninechars", "", "日本語",
     "seventeenletters1", "seventeenletters2", "sixteenletters_1", "한국어", "\x7f"],
]
SEPARATORS = [" "] * 4 + ["  ", "   ", "\u00a0 ", " \u3000", "\x1c\x1c", " \u2028", "\x0b\x0c", "\u2003", "\u205f"]


class Pairs:
    def __init__(self, seed):
        self.random = random.Random(seed)

    def sentence(self):
        r = self.random
        words = r.choice(VOCABULARIES)
        odd = r.random() < 0.5
        count = r.randint(0, r.choice([0, 1, 2, 3, 5, 8, 12, 20, 40, 63, 64, 65, 80]))
        text = "".join(r.choice(words) + (r.choice(SEPARATORS) if odd and r.random() < 0.2 else " ")
                       for _ in range(count))
        return r.choice(SEPARATORS) + text if r.random() < 0.1 else text

    def changed(self, symbols, fresh, edits):
        r = self.random
        symbols = list(symbols)
        for _ in range(edits):
            if not symbols:
                break
            place, kind = r.randrange(len(symbols)), r.random()
            if kind < 0.33:
                del symbols[place]
            elif kind < 0.66:
                symbols.insert(place, fresh())
            else:
                symbols[place] = fresh()
        return symbols

    def short(self):
        r = self.random
        reference = self.sentence()
        if r.random() < 0.5:
            return reference, self.sentence()
        words = reference.split(" ")
        return reference, " ".join(self.changed(words, lambda: r.choice(words), r.randint(0, 6)))

    def long(self):
        r = self.random
        kinds = r.choice([2, 3, 5, 26, 200])
        fresh = lambda: r.randrange(kinds)  # noqa: E731
        one = [fresh() for _ in range(r.randint(1200, 5000))]
        shape = r.randrange(4)
        if shape == 0:
            other = self.changed(one, fresh, r.randint(1, 60))
        elif shape == 1:
            other = self.changed(one, fresh, r.randint(60, len(one)))
        elif shape == 2:
            other = [fresh() for _ in range(r.randint(1200, 7000))]
        else:  # a long filler on one side, so that the cut falls at an end of the other
            filler = [kinds + r.randrange(20) for _ in range(r.randint(len(one), 2 * len(one)))]
            other = self.changed(one, fresh, 100)
            other, one = (filler + other, one + [kinds + 50]) if r.random() < 0.5 else (other + filler, [kinds + 50] + one)
        if r.random() < 0.5:
            one, other = other, one
        if r.random() < 0.15:  # characters of a single word
            letters = lambda symbols: "".join(chr(0x61 + s if s < 26 else 0x4E00 + s) for s in symbols)  # noqa: E731
            return letters(one), letters(other)
        return tuple(" ".join(f"w{s}" for s in side) for side in (one, other))


def ours(program, pairs):
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", newline="", suffix=".tsv") as file:
        file.write("reference\thypothesis\n")
        file.writelines(f"{reference}\t{hypothesis}\n" for reference, hypothesis in pairs)
        file.flush()
        done = subprocess.run([program, "wer", "--tsv", file.name, "--format", "tsv"],
                              stdout=subprocess.PIPE, text=True, check=True)
    header, *lines = done.stdout.rstrip("\n").split("\n")
    assert header.split("\t") == COLUMNS and len(lines) == len(pairs), header
    return [[float(cell) for cell in line.split("\t")] for line in lines]


def theirs(reference, hypothesis):
    words = jiwer.process_words(reference, hypothesis)
    characters = jiwer.process_characters(reference, hypothesis)
    return [words.substitutions, words.deletions, words.insertions, words.hits, words.wer, words.mer,
            words.wil, words.wip, characters.cer]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program")
    parser.add_argument("--short", type=int, default=100_000)
    parser.add_argument("--long", type=int, default=200)
    parser.add_argument("--seed", default=str(int.from_bytes(os.urandom(4), "little")))
    options = parser.parse_args()
    print(f"jiwer {importlib.metadata.version('jiwer')}, --seed {options.seed}", flush=True)
    differences = 0
    for kind, count in (("short", options.short), ("long", options.long)):
        drawn = Pairs(f"{kind} {options.seed}")
        pairs = [getattr(drawn, kind)() for _ in range(count)]
        for pair, row in zip(pairs, ours(options.program, pairs)):
            expected = theirs(*pair)
            if not all(abs(a - b) <= TOLERANCE for a, b in zip(row, expected)):
                differences += 1
                if differences <= 5:
                    print(f"{ascii(pair[0][:200])} | {ascii(pair[1][:200])}\n  jiwer {expected}\n  ours  {row}")
        print(f"{count} {kind} pairs, {differences} differences so far", flush=True)
    return 1 if differences else 0


if __name__ == "__main__":
    raise SystemExit(main())
