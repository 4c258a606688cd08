"""The packages that strata-evaluator is compared with, as scripts/bootstrap unpacks them: jiwer with
rapidfuzz, zhon, and of openai-whisper its normalizers alone, which need no torch."""
import importlib.util
import os
import pathlib
import sys

SKIPPED = 77  # SKIP_RETURN_CODE of these tests
ROOT = pathlib.Path(__file__).resolve().parents[3]
FOLDER = pathlib.Path(os.environ.get("STRATA_DEPS", ROOT / ".deps")) / "peers"
WHISPER = FOLDER / "openai_whisper-20250625" / "whisper" / "normalizers"


def need(*names):
    """Puts them on the path; ends the test as skipped where one is missing."""
    missing = [name for name in names if not (FOLDER / name).exists()]
    if missing:
        print(f"{', '.join(missing)} not below {FOLDER}: scripts/bootstrap run installs it")
        sys.exit(SKIPPED)
    sys.path.insert(0, str(FOLDER))


def whisper_normalizers():
    spec = importlib.util.spec_from_file_location(
        "whisper_normalizers", WHISPER / "__init__.py", submodule_search_locations=[str(WHISPER)])
    module = importlib.util.module_from_spec(spec)
    sys.modules["whisper_normalizers"] = module
    spec.loader.exec_module(module)
    return module
