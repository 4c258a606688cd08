"""Archives are written whole or not at all, describe themselves, and the command says what is
missing.
"""

import contextlib
import io
import json
import pathlib
import tempfile
import unittest
import zipfile

import support

support.need_modules("numpy", "torch")
import archive
import catalogue
import export
import torch
from torch import Tensor, nn

MODEL = catalogue.Model(
    "double",
    "mos",
    "test-double",
    1,
    1,
    "mos-1",
    "none",
    (catalogue.Source("w==1", "0" * 64, "w/x", "1" * 64, "weights"),),
    {"sample_rate": 16000},
)


class Double(nn.Module):
    def forward(self, wav: Tensor, times: int) -> Tensor:
        return wav * float(times)


class Unsteady(nn.Module):
    """Gives another answer after it was saved and loaded: its buffer moves with every call."""

    def __init__(self):
        super().__init__()
        self.register_buffer("calls", torch.zeros(1))

    def forward(self, wav: Tensor) -> Tensor:
        self.calls.add_(1.0)
        return wav + self.calls


class Archive(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.path = pathlib.Path(self.folder.name, "double.pt")

    def write(self, module=None, inputs=None, tolerance=1e-6):
        inputs = inputs or [torch.arange(4.0).unsqueeze(0), 3]
        archive.write(self.path, MODEL, module or Double(), inputs, tolerance, {"vocabulary": b"[]"})

    def test_an_archive_carries_its_description_and_its_self_test(self):
        self.write()
        found = archive.read_metadata(self.path)
        self.assertEqual(found["identity"], catalogue.identity(MODEL))
        self.assertEqual({key: found[key] for key in archive.description(MODEL)}, archive.description(MODEL))
        self.assertEqual(
            found["self_test"],
            {
                "inputs": [
                    {"file": "self_test/input0", "shape": [1, 4], "dtype": "float32"},
                    {"file": "self_test/input1", "shape": [], "dtype": "int64"},
                ],
                "outputs": [{"file": "self_test/output0", "shape": [1, 4], "dtype": "float32"}],
                "tolerance": 1e-6,
            },
        )
        extra = {"self_test/input1": "", "self_test/output0": "", "vocabulary": ""}
        loaded = torch.jit.load(str(self.path), _extra_files=extra)
        self.assertEqual(extra["self_test/input1"], (3).to_bytes(8, "little"))
        self.assertEqual(extra["vocabulary"], b"[]")
        output = torch.frombuffer(bytearray(extra["self_test/output0"]), dtype=torch.float32).view(1, 4)
        self.assertTrue(torch.equal(loaded(torch.arange(4.0).unsqueeze(0), 3), output))

    def test_an_archive_that_does_not_repeat_itself_is_not_kept(self):
        with self.assertRaisesRegex(ValueError, "double: the written archive differs from the model by"):
            self.write(Unsteady(), [torch.zeros(1, 2)])
        self.assertEqual(list(pathlib.Path(self.folder.name).iterdir()), [])

    def test_a_failed_export_leaves_the_older_archive_alone(self):
        self.write()
        before = self.path.read_bytes()
        with self.assertRaises(ValueError):
            self.write(Unsteady(), [torch.zeros(1, 2)])
        self.assertEqual(self.path.read_bytes(), before)
        self.assertEqual(len(list(pathlib.Path(self.folder.name).iterdir())), 1)

    def test_only_an_archive_of_the_same_description_is_current(self):
        self.assertFalse(archive.is_current(self.path, MODEL))
        self.write()
        self.assertTrue(archive.is_current(self.path, MODEL))
        newer = catalogue.Model(**{**MODEL.__dict__, "exporter_version": 2})
        self.assertFalse(archive.is_current(self.path, newer))
        self.path.write_bytes(self.path.read_bytes()[:-100])
        self.assertFalse(archive.is_current(self.path, MODEL))
        with zipfile.ZipFile(self.path, "w") as other:
            other.writestr("x/extra/strata.json", "{not json")
        self.assertFalse(archive.is_current(self.path, MODEL))

    def test_differences_are_relative_above_one_and_infinite_for_shapes_and_integers(self):
        one = torch.tensor([1000.0, 0.5])
        self.assertAlmostEqual(archive.largest_difference((one + 1.0,), (one,)), 1.0, places=6)
        self.assertAlmostEqual(archive.largest_difference((one * 1.001,), (one,)), 0.001, places=6)
        for got, wanted in ((one, one[:1]), (torch.tensor([1]), torch.tensor([2])), (one / 0.0, one)):
            self.assertEqual(archive.largest_difference((got,), (wanted,)), float("inf"))


class Command(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)

    def run_export(self, *arguments):
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = export.main(["--models", self.folder.name, "--out", self.folder.name + "/out", *arguments])
        return code, out.getvalue(), err.getvalue()

    def test_an_unknown_name_is_a_usage_error_that_lists_the_known(self):
        code, _, err = self.run_export("whisper-huge")
        self.assertEqual(code, 2)
        self.assertIn("unknown model whisper-huge; the catalogue has whisper-base", err)

    def test_a_missing_wheel_is_named_with_the_command_that_fetches_it(self):
        code, _, err = self.run_export("ge2e")
        self.assertEqual(code, 1)
        self.assertIn("resemblyzer/pretrained.pt is missing", err)
        self.assertIn("resemblyzer==0.1.4", err)
        self.assertIn("scripts/bootstrap run", err)

    def test_a_changed_source_file_is_refused(self):
        path = pathlib.Path(self.folder.name, "resemblyzer", "pretrained.pt")
        path.parent.mkdir()
        path.write_bytes(b"not the weights")
        code, _, err = self.run_export("ge2e")
        self.assertEqual(code, 1)
        self.assertRegex(err, "has sha256 [0-9a-f]{64}, pinned is 39373b86")
        self.assertEqual(list(pathlib.Path(self.folder.name, "out").iterdir()), [])

    def test_weights_that_no_registry_has_are_left_out_or_named_with_where_they_are(self):
        _, out, err = self.run_export()
        self.assertIn("vocos-mel-24khz: left out, its weights are fetched by hand", out)
        self.assertNotIn("vocos", err)
        code, _, err = self.run_export("vocos-mel-24khz")
        self.assertEqual(code, 1)
        self.assertIn("fetch https://huggingface.co/charactr/vocos-mel-24khz/resolve/", err)
        path = pathlib.Path(self.folder.name, "vocos_mel_24khz", "pytorch_model.bin")
        path.parent.mkdir()
        path.write_bytes(b"not the weights")
        code, _, err = self.run_export("vocos-mel-24khz")
        self.assertEqual(code, 1)
        self.assertRegex(err, "pinned is 97ec976a[0-9a-f]+: it is not the file of https://")

    def test_what_is_built_in_needs_no_archive(self):
        code, out, err = self.run_export("griffin-lim-vocos")
        self.assertEqual((code, err), (0, ""))
        self.assertIn("there is nothing to export", out)
        self.assertEqual(list(pathlib.Path(self.folder.name, "out").iterdir()), [])

    def test_the_list_has_one_line_a_model_with_its_identity(self):
        code, out, _ = self.run_export("--list")
        self.assertEqual(code, 0)
        listed = [line.split("\t") for line in out.splitlines()]
        self.assertEqual([line[0] for line in listed], [model.name for model in catalogue.load()])
        self.assertEqual(
            json.dumps([line[3] for line in listed]),
            json.dumps([catalogue.identity(model) for model in catalogue.load()]),
        )


if __name__ == "__main__":
    support.main()
