"""What the export tests share: where things are, and how a test file says that its ground is
missing.

A file whose ground (python3-torch, wheels, Debian's speech) is not installed exits with SKIPPED,
which ctest shows as skipped with the reason, never as passed.
"""

import os
import pathlib
import subprocess
import sys
import unittest

SKIPPED = 77
ROOT = pathlib.Path(__file__).resolve().parents[3]
DEPS = pathlib.Path(os.environ.get("STRATA_DEPS") or ROOT / ".deps")
WHEELS = DEPS / "models"
SOUNDS = pathlib.Path("/usr/share/asterisk/sounds")
TRANSCRIPTS = pathlib.Path("/usr/share/doc/asterisk-core-sounds-en/core-sounds-en.txt.gz")
sys.path.insert(0, str(ROOT / "tools" / "export"))
sys.dont_write_bytecode = True


def skip_file(why):
    print(f"skipped: {why} (scripts/bootstrap run installs it)")
    sys.exit(SKIPPED)


def need_modules(*names):
    for name in names:
        try:
            __import__(name)
        except ModuleNotFoundError:
            skip_file(f"{sys.executable} has no module {name}")


def need_files(*paths):
    for path in paths:
        if not pathlib.Path(path).exists():
            skip_file(f"{path} is missing")


def read_sound(voice, prompt, sample_rate=16000):
    """One of Debian's prompts, e.g. ("en_US_f_Allison", "vm-intro") -> tensor [1, n]."""
    import numpy
    import torch

    path = SOUNDS / voice / f"{prompt}.g722"
    command = ["ffmpeg", "-v", "error", "-i", str(path), "-f", "f32le", "-ac", "1"]
    done = subprocess.run(command + ["-ar", str(sample_rate), "-"], capture_output=True, check=True)
    return torch.from_numpy(numpy.frombuffer(done.stdout, "<f4").copy()).unsqueeze(0)


def main():
    unittest.main(verbosity=2)
