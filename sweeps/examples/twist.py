"""A stage in Python without any library: twists the numbers of its input, with noise from its seed.

Run by a worker as `python3 twist.py SPEC.json`; see docs/stages.md. By hand: write such a spec and run it the same way.
"""

import json
import pathlib
import random
import sys
import time


def main(spec_path):
    spec = json.loads(pathlib.Path(spec_path).read_text(encoding="utf-8"))
    power = float(spec["parameters"]["twist"]["power"])
    scale = float(spec["parameters"]["twist"]["scale"])
    pause = float(spec["parameters"]["sleep_seconds"])
    numbers = [float(line) for line in (pathlib.Path(spec["inputs"]["numbers"]) / "numbers.txt").read_text().split()]
    noise = random.Random(spec["seed"])

    out = pathlib.Path(spec["outputs"]["result"])
    out.mkdir(parents=True, exist_ok=True)
    total = 0.0
    with open("progress.jsonl", "a", encoding="utf-8") as progress:
        for step, number in enumerate(numbers, start=1):
            total += scale * number**power + noise.gauss(0, 1)
            if step % 25 == 0 or step == len(numbers):
                time.sleep(pause / 4)
                line = {"step": step, "total": len(numbers), "metrics": {"sum": total}}
                progress.write(json.dumps(line) + "\n")
                progress.flush()
    (out / "sum.json").write_text(json.dumps({"sum": total, "count": len(numbers)}) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    if len(sys.argv) != 2:
        print("usage: twist.py SPEC.json", file=sys.stderr)
        sys.exit(2)
    sys.exit(main(sys.argv[1]))
