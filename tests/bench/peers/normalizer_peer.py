#!/usr/bin/env python3
"""openai-whisper's own text normalizers beside strata-bench-normalizer: the same lines, CPU time of
the quickest of several passes.

  tests/bench/peers/normalizer_peer.py --install VENV
  tests/bench/peers/normalizer_peer.py --in VENV --write plain|spoken --lines FILE
  tests/bench/peers/normalizer_peer.py --in VENV --protocol whisper-en --lines FILE

--install unpacks the source package into VENV/openai_whisper-20250625; of it only
whisper/normalizers is run, so no torch is needed. --write makes the lines that both read: 20 words
each; `plain` has nothing to convert, in `spoken` every third word or so is a number, a contraction, a
title, a British spelling or has punctuation.
"""
import argparse
import hashlib
import importlib.util
import os
import pathlib
import random
import subprocess
import sys
import tarfile
import time
import venv

PACKAGE = "openai_whisper-20250625"
LINES = 2_000
PLAIN = """the of to and in that he was it his is with as had you not be her on at by which have or from
this him but all she they were my are me one their so an said them we who would been will no when
there if more out up into do any your what has man could other than our some very time upon about may
its only now like little then can made should did us such great before must two these see know over
much down after first good men own never most old shall day where those came come himself way work
life without go make well through being long say might how am too even back many here house water
hand part place still light country nothing night river garden morning winter letter window""".split()
CONVERTED = """Mr. Mrs. St. Dr. don't can't won't it's he's they'd I'll we've twenty-one nineteen
ninety two hundred thousand $5 $20 million dollars cents percent 3.14 1,000,000 10th third 20mm
colour, grey, organised favourite theatre. U.S.A. [noise] (coughs) um, first; o'clock: half-past
five; six, seven. eight? nine! forty double point""".split()


def install(folder):
    venv.create(folder, with_pip=True)
    pip = [os.path.join(folder, "bin", "pip")]
    subprocess.run([*pip, "install", "--quiet", "regex", "more-itertools", "setuptools<81", "wheel"],
                   check=True)
    subprocess.run([*pip, "download", "--quiet", "--no-deps", "--no-build-isolation", "--no-binary",
                    ":all:", "--dest", folder, "openai-whisper==20250625"], check=True)
    with tarfile.open(os.path.join(folder, PACKAGE + ".tar.gz")) as archive:
        archive.extractall(folder)


def write(kind, path):
    draw = random.Random(kind)
    words = PLAIN if kind == "plain" else None
    with open(path, "w", encoding="ascii") as out:
        for _ in range(LINES):
            line = [draw.choice(words or (CONVERTED if draw.random() < 0.35 else PLAIN))
                    for _ in range(20)]
            line[0] = line[0].capitalize()
            out.write(" ".join(line) + "\n")


def normalizers(folder):
    folder = pathlib.Path(folder) / PACKAGE / "whisper" / "normalizers"
    spec = importlib.util.spec_from_file_location(
        "whisper_normalizers", folder / "__init__.py", submodule_search_locations=[str(folder)])
    module = importlib.util.module_from_spec(spec)
    sys.modules["whisper_normalizers"] = module
    spec.loader.exec_module(module)
    return module


def measure(folder, protocol, path):
    module = normalizers(folder)
    kind = {"whisper-en": "EnglishTextNormalizer", "whisper-basic": "BasicTextNormalizer"}[protocol]
    normalize = getattr(module, kind)()
    with open(path, encoding="utf8") as lines:
        texts = lines.read().split("\n")[:-1]
    least = float("inf")
    for _ in range(3):
        start = time.process_time()
        results = [normalize(text) for text in texts]
        least = min(least, time.process_time() - start)
    digest = hashlib.sha256("".join(text + "\n" for text in results).encode()).hexdigest()
    print(f"us a line          {1e6 * least / len(texts):.3f}")
    print(f"sha256 of results  {digest}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--install", metavar="VENV")
    parser.add_argument("--in", dest="folder", metavar="VENV")
    parser.add_argument("--write", choices=["plain", "spoken"])
    parser.add_argument("--lines", metavar="FILE")
    parser.add_argument("--protocol", choices=["whisper-en", "whisper-basic"], default="whisper-en")
    options = parser.parse_args()
    if options.install:
        return install(options.install)
    if options.write:
        return write(options.write, options.lines)
    if not options.folder or not options.lines:
        parser.error("say --install VENV, or --in VENV and --lines FILE")
    python = os.path.join(os.path.abspath(options.folder), "bin", "python")
    if os.path.abspath(sys.prefix) != os.path.abspath(options.folder):
        os.execv(python, [python, *sys.argv])
    return measure(options.folder, options.protocol, options.lines)


if __name__ == "__main__":
    sys.exit(main())
