#!/usr/bin/env python3
"""Writes long_alignments.jsonl: what rapidfuzz says of sequences that anybody can make again.

  VENV/bin/python make_long_alignments.py > long_alignments.jsonl      # rapidfuzz==3.14.6

A row is [seed, length, alphabet, filler, edits, swapped, S, D, I, H]. Random numbers are those of
splitmix64 from the seed; bounded(n) is the high 64 bits of the next one times n.
- The reference: `length` symbols bounded(alphabet).
- A copy of it after `edits` edits, each place = bounded(size) and kind = bounded(3): 0 erases, if
  there is more than one; 1 inserts bounded(alphabet) there; 2 puts bounded(alphabet) there.
- The hypothesis: `filler` symbols alphabet + bounded(20), made after the edits, then the copy.
- The reference gets one more symbol at its end, alphabet + 99. Swapped: the two are exchanged.
"""
import json
import random

from rapidfuzz.distance import Levenshtein

MASK = (1 << 64) - 1


class SplitMix:
    def __init__(self, seed):
        self.state = seed

    def bounded(self, n):
        self.state = (self.state + 0x9E3779B97F4A7C15) & MASK
        z = self.state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        return ((z ^ (z >> 31)) * n) >> 64


def pair(seed, length, alphabet, filler, edits, swapped):
    rng = SplitMix(seed)
    reference = [rng.bounded(alphabet) for _ in range(length)]
    copy = list(reference)
    for _ in range(edits):
        place, kind = rng.bounded(len(copy)), rng.bounded(3)
        if kind == 0 and len(copy) > 1:
            del copy[place]
        elif kind == 1:
            copy.insert(place, rng.bounded(alphabet))
        elif kind == 2:
            copy[place] = rng.bounded(alphabet)
    hypothesis = [alphabet + rng.bounded(20) for _ in range(filler)] + copy
    reference.append(alphabet + 99)
    return (hypothesis, reference) if swapped else (reference, hypothesis)


def counts(reference, hypothesis):
    out = {"replace": 0, "delete": 0, "insert": 0, "equal": 0}
    for op in Levenshtein.opcodes(reference, hypothesis):
        out[op.tag] += max(op.src_end - op.src_start, op.dest_end - op.dest_start)
    return list(out.values())


def main():
    choose = random.Random(1)
    for seed in range(160):
        length = choose.randint(1500, 6000)
        filler = choose.choice([0, 0, 0, choose.randint(1, 50), choose.randint(length, 2 * length)])
        row = [seed, length, choose.choice([2, 2, 3, 5, 26, 1000]), filler,
               choose.choice([3, 60, length // 2, length, 2 * length]), choose.randint(0, 1)]
        print(json.dumps(row + counts(*pair(*row))))


if __name__ == "__main__":
    main()
