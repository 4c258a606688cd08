"""What the tests beside the f5-tts package share."""

import json
import os
import pathlib
import subprocess
import sys

SKIPPED = 77  # to ctest: the ground is missing
ROOT = pathlib.Path(__file__).resolve().parents[3]
PACKAGE = pathlib.Path(os.environ.get("STRATA_DEPS") or ROOT / ".deps") / "peers"
TRAINER = sys.argv.pop(1) if len(sys.argv) > 1 else str(ROOT / "build/ci/bin/strata-trainer")
sys.dont_write_bytecode = True
sys.path[:0] = [str(ROOT / "tests/bench/peers"), str(ROOT / "tools/convert")]


def skip_file(why):
    print(f"skipped: {why} (scripts/bootstrap run installs it)")
    sys.exit(SKIPPED)


for module in ("torch", "numpy"):
    try:
        __import__(module)
    except ImportError:
        skip_file(f"{sys.executable} has no module {module}")
if not (PACKAGE / "f5_tts").is_dir():
    skip_file(f"the f5-tts package is not in {PACKAGE}")

import f5_tts_package  # noqa: E402
import torch  # noqa: E402

torch.set_num_threads(1)
CLASSES = f5_tts_package.load(PACKAGE)


class Refused(Exception):
    """The trainer ended with this exit code and said this."""

    def __init__(self, code, said):
        super().__init__(f"exit code {code}: {said}")
        self.code = code


def trainer(subcommand, folder, **request):
    """The report of a subcommand."""
    file = folder / f"{subcommand}.json"
    file.write_text(json.dumps(request))
    done = subprocess.run(
        [TRAINER, subcommand, str(file)], capture_output=True, text=True, timeout=120
    )
    if done.returncode != 0:
        raise Refused(done.returncode, done.stderr)
    return json.loads(done.stdout)
