"""A scoring stage in Python: reads the result of twist.py and writes scores.json; see docs/stages.md."""

import json
import math
import pathlib
import sys


def main(spec_path):
    spec = json.loads(pathlib.Path(spec_path).read_text(encoding="utf-8"))
    result = json.loads((pathlib.Path(spec["inputs"]["result"]) / "sum.json").read_text(encoding="utf-8"))
    count = result["count"]
    plain = count * (count + 1) / 2  # what no twist would give
    distance = abs(math.log10(abs(result["sum"]) / plain)) if result["sum"] and count else 0.0
    score = {"name": "distance", "value": distance, "unit": "decades", "count": count, "better": "lower"}
    pathlib.Path("scores.json").write_text(json.dumps({"scores": [score]}) + "\n", encoding="utf-8")
    with open("progress.jsonl", "a", encoding="utf-8") as progress:
        progress.write(json.dumps({"step": 1, "total": 1}) + "\n")
    return 0


if __name__ == "__main__":
    if len(sys.argv) != 2:
        print("usage: score.py SPEC.json", file=sys.stderr)
        sys.exit(2)
    sys.exit(main(sys.argv[1]))
