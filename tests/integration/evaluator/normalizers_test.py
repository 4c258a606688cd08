#!/usr/bin/env python3
"""`strata-evaluator normalize` beside the Python code of each protocol, on random texts: no
difference in any character.

  normalizers_test.py STRATA_EVALUATOR [--texts N] [--seed SEED]

F5-TTS and seed-tts-eval are a loop over zhon's and Python's punctuation, written here as it stands
there; Whisper's two are the package's own. Texts are salads of number words, money, contractions,
titles, brackets, odd letters and any character that Unicode 14.0 (this Python's) has.
"""
import argparse
import os
import random
import string
import subprocess
import unicodedata

import peers

peers.need("zhon", "more_itertools", "regex", "openai_whisper-20250625")
from zhon.hanzi import punctuation  # noqa: E402

WHISPER = peers.whisper_normalizers()
ENGLISH = WHISPER.EnglishTextNormalizer()
PIECES = [
    sorted(ENGLISH.standardize_numbers.words),
    sorted(ENGLISH.standardize_spellings.mapping),
    "0 1 00 007 5 12 99 100 1,000 1,2,3 3.14 .5 5. 1.5.2 12.50 1s 1960s 10th 3rd 20mm b747 ½ ² ١٢ １２ 𝟝 Ⅷ 1/2 0.10".split(),
    "$ € £ ¢ $5 €5 £5 ¢5 $5.00 $0.07 €0.5 $0 07 ¢7 and¢7 $2 5% % %% $$ $.5 $1 +5 -5 - +".split(),
    "won't can't let's ain't y'all wanna gotta gonna i'ma ma'am don't it's he'd they'd we'd I'll 't n't 's's can'ts".split(),
    "mr mrs st dr prof capt gov gen sen rep rev hon lt col jr sr esq hmm mm uh um Mr. Dr. St.".split(),
    ["and a half", "and", "a", "half", "point", "o", "oh", "double oh", "triple", "[x]", "<y]", "(z)", "()", "(", "]",
     ">", "((a))", "...", ".", "a.b", "U.S.A.", "—", "“q”", "don’t", "café", "œuvre", "straße", "ŁÓDŹ", "İ", "ΑΣ", "ſt",
     "ﬁve", "한국", "中文", "e\u0301", "\u0345", "\u20e3", "\u200b", "\u00ad", "_", "a_b", "\x1c", "\x85", "\u2028",
     "\u3000", "😀", "\U0001e94a", "zero", "ones", "second", "nineth", "hundredths", "archaeology"],
]
LETTERS = "abcdehmnorstu0123456789 .,'’-$%¢€£()[]<>\t½²٣ﬁ"
BETWEEN = [" "] * 30 + ["", "", "-", "'", ", ", ". ", ".", "  ", "\t", "\u00a0", "%", "$", "’", "(", ")", "_", "\u0301"]
ASSIGNED = [c for c in range(0x110000) if unicodedata.category(chr(c)) not in ("Cn", "Cs")]


def published(keep):
    """F5-TTS's and seed-tts-eval's loop: what is not kept of the punctuation is deleted."""
    marks = [mark for mark in punctuation + string.punctuation if mark not in keep]

    def normalize(text):
        for mark in marks:
            text = text.replace(mark, "")
        return text.replace("  ", " ").lower()

    return normalize


PROTOCOLS = {
    "f5": published(""),
    "seed-tts": published("'"),
    "whisper-basic": WHISPER.BasicTextNormalizer(),
    "whisper-en": ENGLISH,
}


class Texts:
    def __init__(self, seed):
        self.random = random.Random(seed)

    def letter(self):
        r = self.random
        kind = r.random()
        if kind < 0.5:
            return r.choice(LETTERS)
        if kind < 0.9:
            return chr(r.choice(ASSIGNED))
        return chr(r.choice([r.randrange(0xD800), r.randrange(0xE000, 0x110000)]))

    def word(self):
        r = self.random
        if r.random() < 0.06:
            return "".join(self.letter() for _ in range(r.randint(1, 5)))
        word = r.choice(r.choice(PIECES))
        kind = r.random()
        return word if kind < 0.8 else word.capitalize() if kind < 0.93 else word.upper()

    def text(self):
        r = self.random
        kind = r.random()
        if kind < 0.25:
            text = "".join(self.letter() for _ in range(r.randint(0, 30)))
        elif kind < 0.55:
            text = " ".join(r.choice(PIECES[0]) for _ in range(r.randint(1, 12)))
        else:
            text = "".join(self.word() + r.choice(BETWEEN) for _ in range(r.randint(1, 10)))
        # A line of a file: without what ends one.
        return text.replace("\n", " ").replace("\r", " ")


def ours(program, protocol, texts):
    given = "".join(f"{text}\n" for text in ["first line", *texts])  # which may be a byte order mark's
    done = subprocess.run([program, "normalize", "--protocol", protocol], input=given.encode(),
                          stdout=subprocess.PIPE, check=True)
    lines = done.stdout.decode().split("\n")
    assert len(lines) == len(texts) + 2, (len(lines), len(texts))
    return lines[1:-1]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program")
    parser.add_argument("--texts", type=int, default=60_000)
    parser.add_argument("--seed", default=str(int.from_bytes(os.urandom(4), "little")))
    options = parser.parse_args()
    print(f"Unicode {unicodedata.unidata_version}, --seed {options.seed}", flush=True)
    if unicodedata.unidata_version != "14.0.0":
        print("the protocols are pinned to Unicode 14.0, which Python 3.11 has: this one cannot judge them")
        return peers.SKIPPED
    drawn = Texts(options.seed)
    texts = [drawn.text() for _ in range(options.texts)]
    differences = 0
    for protocol, original in PROTOCOLS.items():
        for text, line in zip(texts, ours(options.program, protocol, texts)):
            expected = original(text)
            if line != expected:
                differences += 1
                if differences <= 5:
                    print(f"{protocol}: {ascii(text)}\n  original {ascii(expected)}\n  ours     {ascii(line)}")
        print(f"{protocol}: {len(texts)} texts, {differences} differences so far", flush=True)
    return 1 if differences else 0


if __name__ == "__main__":
    raise SystemExit(main())
