#!/usr/bin/env python3
"""jiwer beside strata-bench-wer: processor time of jiwer.process_words on a file of pairs.

  tests/bench/peers/jiwer_peer.py --install FOLDER      the wheel, in an environment of its own
  FOLDER/bin/python tests/bench/peers/jiwer_peer.py PAIRS.tsv

All pairs go in one call, which is its faster way. The quickest of three calls counts.
"""
import argparse
import os
import subprocess
import time
import venv

VERSION = "jiwer==4.0.0"


def install(folder):
    venv.create(folder, with_pip=True)
    subprocess.run([os.path.join(folder, "bin", "pip"), "install", "--quiet", VERSION], check=True)


def measure(path):
    import jiwer

    with open(path, encoding="utf-8", newline="\n") as file:
        pairs = [line.rstrip("\n").split("\t") for line in file]
    references = [pair[0] for pair in pairs]
    hypotheses = [pair[1] for pair in pairs]
    seconds = []
    for _ in range(3):
        began = time.process_time()
        out = jiwer.process_words(references, hypotheses)
        seconds.append(time.process_time() - began)
    print("microseconds a pair", 1e6 * min(seconds) / len(pairs),
          "counts", out.substitutions, out.deletions, out.insertions, out.hits)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pairs", nargs="?")
    parser.add_argument("--install", metavar="FOLDER")
    options = parser.parse_args()
    if options.install:
        install(options.install)
    elif options.pairs:
        measure(options.pairs)
    else:
        parser.error("a file of pairs, or --install FOLDER")


if __name__ == "__main__":
    main()
