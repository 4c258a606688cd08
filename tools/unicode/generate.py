#!/usr/bin/env python3
"""Writes the tables of the evaluator's text protocols, and the golden rows that guard them.

  tools/unicode/generate.py tables                 > evaluator/core/unicode_tables.inc
  tools/unicode/generate.py spelling WHISPER       > evaluator/core/english_spelling.inc
  tools/unicode/generate.py code-points WHISPER    > tests/golden/evaluator/code_points.jsonl
  tools/unicode/generate.py texts WHISPER < LINES  > tests/golden/evaluator/english_texts.jsonl

WHISPER is an unpacked source package of openai-whisper 20250625 (`pip download --no-deps
--no-binary :all: openai-whisper==20250625`); only whisper/normalizers is read, no torch is needed,
but the packages regex and more-itertools are. zhon 2.1.1 is needed for `code-points`. Python must
be one whose unicodedata is of Unicode 14.0 (3.11): the protocols are pinned to it.
"""
import hashlib
import importlib.util
import json
import pathlib
import string
import sys
import unicodedata

UNICODE = "14.0.0"
COLUMNS = 98


def every_character():
    return (chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000)


def packed(words, separator=" ", columns=COLUMNS):
    """Lines of words, as many as fit."""
    line = "   "
    for word in words:
        if len(line) + len(separator) + len(word) > columns:
            yield line
            line = "   "
        line += separator + word
    yield line


def assigned_ranges():
    """First and last of each run that Unicode 14.0 gives a category; surrogates are skipped over."""
    first = None
    for code in range(0x110001):
        known = code < 0x110000 and unicodedata.category(chr(code)) != "Cn"
        if known and first is None:
            first = code
        if not known and first is not None:
            yield first, code - 1
            first = None


def tables(_):
    zeros = [ord(c) for c in every_character() if unicodedata.decimal(c, None) == 0]
    for zero in zeros:
        assert all(unicodedata.decimal(chr(zero + i)) == i for i in range(10)), hex(zero)
    decimals = sum(unicodedata.category(c) == "Nd" for c in every_character())
    assert decimals == 10 * len(zeros)
    ranges = list(assigned_ranges())
    print(f"// Of Unicode {UNICODE}, by tools/unicode/generate.py tables. Not edited by hand.")
    print(f"constexpr std::array<Range, {len(ranges)}> kAssigned{{{{")
    print("\n".join(packed(f"{{{a:#x}, {b:#x}}}," for a, b in ranges)))
    print("}};")
    print("// The zero of each run of ten decimal digits (category Nd).")
    print(f"constexpr std::array<char32_t, {len(zeros)}> kDecimalZeros{{")
    print("\n".join(packed(f"{zero:#x}," for zero in zeros)))
    print("};")


def spelling(arguments):
    folder = pathlib.Path(arguments[0])
    pairs = json.loads((folder / "whisper/normalizers/english.json").read_text())
    # A key with a space ("flyer / flier") never equals a word, and words are what is looked up.
    pairs = sorted((k, v) for k, v in pairs.items() if " " not in k)
    assert all(" " not in v and '"' not in v and "\\" not in v for _, v in pairs)
    print("// British words and their American spelling, in pairs. From whisper/normalizers/english.json of")
    print("// openai-whisper 20250625, by tools/unicode/generate.py spelling; not edited by hand. Its licence:")
    print("//")
    for line in (folder / "LICENSE").read_text().strip().splitlines():
        print(f"// {line}".rstrip())
    print("// clang-format off")
    print(f"constexpr std::size_t kSpellingPairs = {len(pairs)};")
    print("constexpr std::string_view kSpelling =")
    for line in packed((f"{k} {v} " for k, v in pairs), separator="", columns=COLUMNS - 4):
        print(f'    "{line.strip()} "')
    print("    ;")
    print("// clang-format on")


def normalizers(folder):
    folder = pathlib.Path(folder) / "whisper/normalizers"
    spec = importlib.util.spec_from_file_location(
        "whisper_normalizers", folder / "__init__.py", submodule_search_locations=[str(folder)])
    module = importlib.util.module_from_spec(spec)
    sys.modules["whisper_normalizers"] = module
    spec.loader.exec_module(module)
    return module


def strip_punctuation(text, keep):
    """process() of F5-TTS's utils_eval.py and, with keep="'", of seed-tts-eval's run_wer.py."""
    from zhon.hanzi import punctuation
    for mark in punctuation + string.punctuation:
        if mark not in keep:
            text = text.replace(mark, "")
    return text.replace("  ", " ").lower()


# Around a character c: alone, between letters, digits, white space and symbols, so that the word
# boundaries, spaces and digits of the patterns meet it, too.
ENGLISH_FRAME = "{0}mr{0}. 1{0}st {0}'s 2,{0},3.{0} $0{0}7 a{0}{0} {0}5{0}% five {0} 1{0}"


def code_points(arguments):
    """For each block of 4,096 characters the start of a hash of all results, each followed by a
    line feed."""
    module = normalizers(arguments[0])
    english = module.EnglishTextNormalizer()
    basic = module.BasicTextNormalizer()
    properties = {
        "category": lambda c: unicodedata.category(c)[0] + "n" * (unicodedata.category(c) == "Mn"),
        "classes": lambda c: "w" * c.isalnum() + "d" * c.isdecimal() + "s" * c.isspace(),
        "lower": str.lower,
        "nfkd": lambda c: unicodedata.normalize("NFKD", c),
        "nfkc": lambda c: unicodedata.normalize("NFKC", c),
        "f5": lambda c: strip_punctuation(c, ""),
        "seed-tts": lambda c: strip_punctuation(c, "'"),
        "whisper-basic": basic,
        "whisper-en": english,
        "whisper-en, framed": lambda c: english(ENGLISH_FRAME.format(c)),
    }
    for name, function in properties.items():
        blocks = ""
        for start in range(0, 0x110000, 4096):
            digest = hashlib.sha256()
            for c in map(chr, range(start, start + 4096)):
                if not 0xD800 <= ord(c) < 0xE000:
                    digest.update(function(c).encode() + b"\n")
            blocks += digest.hexdigest()[:8]
        print(json.dumps({"what": name, "blocks": blocks}))


def texts(arguments):
    english = normalizers(arguments[0]).EnglishTextNormalizer()
    for line in sys.stdin:
        text = json.loads(line)["text"]
        print(json.dumps({"text": text, "whisper-en": english(text)}))


def main():
    assert unicodedata.unidata_version == UNICODE, f"this Python has {unicodedata.unidata_version}"
    commands = {"tables": tables, "spelling": spelling, "code-points": code_points, "texts": texts}
    if len(sys.argv) < 2 or sys.argv[1] not in commands:
        sys.exit(__doc__)
    commands[sys.argv[1]](sys.argv[2:])


if __name__ == "__main__":
    main()
