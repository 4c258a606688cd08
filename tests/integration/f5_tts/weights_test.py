"""Weights of the f5-tts package in, and ours out, on tiny models with random values: the velocity
is the same on both sides."""

import math
import pathlib
import subprocess
import sys
import tempfile
import unittest
import unittest.mock

import support

import f5_tts_probe
import numpy
import safetensors_file
import torch
from torch import nn

# Of the largest magnitude, in float32. The package's own float32 is as far from its float64.
TOLERANCE = 1e-5
# In float64 all that differs is the last float32 digit of time's frequencies (docs/models.md, "Is it
# right?"). Where both have the same, nothing does: the rest is those of the text's positions.
EXACT_TOLERANCE = 1e-6
VOCABULARY = [" ", "!", "a", "a1", "ai4", "b", "bie2", "zhong1", "，", "ü"]  # V = 10
FRONT_END = ["mel_spec.mel_stft.mel_scale.fb", "mel_spec.mel_stft.spectrogram.window"]
CONVERTER = support.ROOT / "tools/convert/f5_checkpoint.py"

TINY = dict(dim=64, depth=4, heads=4, dim_head=16, mel=100, vocab=len(VOCABULARY))
DIT = dict(TINY, model="dit", ff_mult=2, text_dim=24, conv_layers=2)
UNETT = dict(TINY, model="unett", ff_mult=4, text_dim=100, conv_layers=0)
V1 = dict(text_mask_padding=True, pe_attn_heads=None, masks="upstream")
# name -> (the model, what its import is told)
MODELS = {
    "DiT as A-DMA trains it": (DIT, dict(generation="adma")),
    "DiT v0 with a long skip": (dict(DIT, long_skip=True), dict(generation="v0")),
    "DiT v1": (dict(DIT, **V1), dict(generation="v1")),
    "DiT v1 that hides padding from attention": (
        dict(DIT, **V1, attention_mask=True),
        dict(generation="v1", attention_mask=True),
    ),
    "DiT v1 with normed keys and text spread over the frames": (
        dict(DIT, **V1, qk_norm="rms_norm", average_upsampling=True),
        dict(generation="v1", average_upsampling=True),
    ),
    "UNetT with normed keys": (dict(UNETT, qk_norm="rms_norm"), dict(generation="v0")),
    "UNetT": (UNETT, dict(generation="v0")),
    "UNetT with later masks": (
        dict(UNETT, masks="upstream"),
        dict(generation="v0", masks="upstream"),
    ),
    "UNetT whose skips are added": (dict(UNETT, skip="add"), dict(generation="v0", skip="add")),
}


def make_model(asked, seed):
    """The package's, with values everywhere: nothing is zero, as it is in a fresh model."""
    request = f5_tts_probe.read_request(asked)
    model = f5_tts_probe.make_backbone(request, *support.CLASSES).eval()
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        wide = parameter.squeeze().dim() > 1
        scale = (parameter.shape[0] / parameter.numel()) ** 0.5 if wide else 0.1
        values = scale * torch.randn(parameter.shape, generator=generator)
        gain = name.endswith((".g", ".norm.weight", ".q_norm.weight", ".k_norm.weight"))
        parameter.data.copy_(values + 1 if gain else values)
    return model


def make_inputs(seed):
    generator = torch.Generator().manual_seed(seed)
    lengths, frames = [23, 17], 23
    x, cond = torch.randn((2, 2, frames, TINY["mel"]), generator=generator)
    text = torch.randint(0, TINY["vocab"], (2, 9), generator=generator)
    text[1, 6:] = -1
    mask = torch.arange(frames)[None] < torch.tensor(lengths)[:, None]
    return dict(x=x, cond=cond, text=text, time=torch.tensor([0.2, 0.7]), mask=mask)


def official(model, prefix="ema_model.transformer."):
    """What the trainer of the package stores of it."""
    state = {prefix + name: value for name, value in model.state_dict().items()}
    if prefix.startswith("ema_model."):
        state.update(initted=torch.tensor(True), step=torch.tensor(1_250_000))
    return state


class Weights(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="strata-f5-tts-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.vocabulary = self.folder / "vocab.txt"
        self.vocabulary.write_text("".join(token + "\n" for token in VOCABULARY), "utf-8")

    def take_in(self, state, **told):
        safetensors_file.write(self.folder / "theirs.safetensors", state)
        request = dict(
            weights=str(self.folder / "theirs.safetensors"),
            vocabulary=str(self.vocabulary),
            output=str(self.folder / "ours"),
        )
        return support.trainer("weights", self.folder, **{"do": "import"}, **{**request, **told})

    def velocity(self, inputs, **dropped):
        safetensors_file.write(self.folder / "inputs.safetensors", inputs)
        request = {
            "do": "forward",
            "weights": str(self.folder / "ours"),
            "inputs": str(self.folder / "inputs.safetensors"),
            "output": str(self.folder / "velocity.safetensors"),
        }
        support.trainer("weights", self.folder, **request, **dropped)
        return safetensors_file.read(self.folder / "velocity.safetensors")["velocity"]

    def assert_same_velocity(self, model, masked=False, drops=((False, False),)):
        inputs = make_inputs(seed=2)
        if not masked:
            del inputs["mask"]
        for audio, text in drops:
            with torch.no_grad():
                theirs = model(**inputs, drop_audio_cond=audio, drop_text=text)
            ours = self.velocity(inputs, drop_audio=audio, drop_text=text)
            self.assertGreater(theirs.abs().mean().item(), 0.1)
            self.assertEqual(ours.shape, theirs.shape)
            self.assertLess((ours - theirs).abs().max() / theirs.abs().max(), TOLERANCE)

    def test_the_packages_weights_speak_the_same_here(self):
        for name, (asked, told) in MODELS.items():
            with self.subTest(name):
                model = make_model(asked, seed=1)
                report = self.take_in(official(model), **told)
                parameters = dict(model.named_parameters())
                self.assertEqual(report["prefix"], "ema_model.transformer.")
                self.assertEqual(report["tensors"], len(parameters) + 3)
                self.assertEqual(report["used"]["tensors"], len(parameters))
                count = sum(p.numel() for p in parameters.values())
                self.assertEqual(report["used"]["parameters"], count)
                self.assertEqual(len(report["verified"]), 3)
                self.assertEqual(report["dropped"], {})
                self.assertEqual(report["update"], 1_250_000)
                for key, value in asked.items():
                    self.assertEqual(report["model"][key], value, key)
                for masked in (False, True):
                    self.assert_same_velocity(model, masked, [(False, False), (True, True)])

    def test_with_one_table_of_time_the_velocities_are_equal_in_float64(self):
        def sinusoids(self, time, scale=1000):
            exponents = torch.arange(128).float() * float(numpy.float32(-math.log(10000) / 127))
            omega = exponents.double().exp().float()  # rounded once, as ours
            angles = scale * time[:, None] * omega[None]
            return torch.cat((angles.sin(), angles.cos()), dim=-1)

        modules = sys.modules["f5_tts.model.modules"]
        with unittest.mock.patch.object(modules.SinusPositionEmbedding, "forward", sinusoids):
            for name, (asked, told) in MODELS.items():
                with self.subTest(name), torch.no_grad():
                    model = make_model(asked, seed=6)
                    self.take_in(official(model), **told)
                    inputs = make_inputs(seed=7)
                    wide = {k: v.double() if v.is_floating_point() else v for k, v in inputs.items()}
                    ours = self.velocity(inputs, dtype="float64")
                    difference = (ours - model.double()(**wide)).abs().max().item()
                    self.assertLess(difference, EXACT_TOLERANCE)

    def test_our_file_is_loaded_strictly_and_speaks_the_same_there(self):
        for name, (asked, told) in MODELS.items():
            with self.subTest(name):
                self.take_in(official(make_model(asked, seed=3)), **told)
                request = dict(
                    weights=str(self.folder / "ours"),
                    output=str(self.folder / "out.safetensors"),
                    vocabulary=str(self.folder / "out.txt"),
                )
                report = support.trainer("weights", self.folder, **{"do": "export"}, **request)
                # As infer/utils_infer.py reads it, into a model that knows nothing of ours.
                file = safetensors_file.read(self.folder / "out.safetensors")
                self.assertTrue(file.pop("initted").item())
                self.assertEqual(file.pop("step").item(), 1_250_000)
                state = {key.replace("ema_model.", ""): value for key, value in file.items()}
                kind = dict(zip(("DiT", "UNetT"), support.CLASSES))[report["class"]]
                whole = nn.Module()
                whole.transformer = kind(**report["arguments"]).eval()
                whole.load_state_dict(state, strict=True)
                written = (self.folder / "out.txt").read_bytes()
                self.assertEqual(written, self.vocabulary.read_bytes())
                self.assert_same_velocity(whole.transformer)
                if asked.get("masks") == "upstream":
                    self.assert_same_velocity(whole.transformer, masked=True)

    def test_buffers_and_heads_are_dropped_by_name(self):
        model = make_model(DIT, seed=1)
        state = official(model)
        extra = ["ema_model." + name for name in FRONT_END]
        extra += ["ema_model.transformer.text_align_mlp.0.weight"]
        state.update({name: torch.zeros(3) for name in extra})
        report = self.take_in(state, generation="adma")
        self.assertEqual(sorted(report["dropped"]), sorted(extra))
        self.assert_same_velocity(model)

    def test_prefixes_and_types_of_other_files_are_taken(self):
        model = make_model(UNETT, seed=1)
        for prefix in ("transformer.", ""):
            report = self.take_in(official(model, prefix), generation="v0")
            self.assertEqual((report["prefix"], report["update"]), (prefix, 0))
        half = {name: value.half() for name, value in official(model, "").items()}
        report = self.take_in(half, generation="v0")
        self.assertEqual(list(report["used"]["stored_as"]), ["Half"])
        without = {name: v for name, v in official(model, "").items() if "inv_freq" not in name}
        report = self.take_in(without, generation="v0", dim_head=16)
        self.assertEqual(report["assumed"]["dim_head"], 16)
        self.assert_same_velocity(model)

    def test_what_cannot_be_accounted_for_is_refused_by_name(self):
        model = make_model(DIT, seed=1)
        prefix = "ema_model.transformer."
        weight = prefix + "transformer_blocks.2.attn.to_k.weight"
        infinite = torch.full((64, 64), float("inf"))
        cases = {
            "stranger": {"stranger": torch.zeros(2)},
            prefix + "more.weight": {prefix + "more.weight": torch.zeros(2)},
            "k_norm": {prefix + "transformer_blocks.0.attn.q_norm.weight": torch.ones(16)},
            weight: {weight: None},
            weight + " is [64, 65]": {weight: torch.zeros(64, 65)},
            weight + " holds values": {weight: infinite},
            "inv_freq": {prefix + "rotary_embed.inv_freq": torch.ones(8)},
            "initted": {"initted": torch.tensor(False)},
        }
        for said, changes in cases.items():
            with self.subTest(said):
                state = {k: v for k, v in {**official(model), **changes}.items() if v is not None}
                with self.assertRaises(support.Refused) as refused:
                    self.take_in(state, generation="adma")
                self.assertIn(said, str(refused.exception))
                self.assertEqual(refused.exception.code, 2)
        self.assertFalse((self.folder / "ours").exists())

    def test_requests_that_do_not_fit_the_file_are_refused(self):
        added = official(make_model(dict(UNETT, skip="add"), seed=1))
        for said, told in {
            "generation": {},
            "\"skip\" is missing": dict(generation="v0"),
            "dim_head": dict(generation="v0", skip="add", dim_head=32),
            "pe_attn_heads": dict(generation="v0", skip="add", pe_attn_heads=5),
            "attention_mask": dict(generation="v0", skip="add", attention_mask=True),
            "shoe_size": dict(generation="v0", skip="add", shoe_size=44),
        }.items():
            with self.subTest(said), self.assertRaises(support.Refused) as refused:
                self.take_in(added, **told)
            self.assertIn(said, str(refused.exception))
            self.assertEqual(refused.exception.code, 2)
        self.vocabulary.write_text(" \na\nb\n")
        with self.assertRaisesRegex(support.Refused, "3 tokens, the model knows 10"):
            self.take_in(added, generation="v0", skip="add")

    def test_tokenizers_are_those_of_the_package(self):
        state = official(make_model(dict(UNETT, vocab=256), seed=1))
        told = dict(generation="v0", tokenizer="byte")
        self.take_in(state, **told, vocabulary=None)
        with self.assertRaisesRegex(support.Refused, "has no place there"):
            self.take_in(state, **told)
        request = {"do": "export", "weights": str(self.folder / "ours"), "output": "/dev/null"}
        with self.assertRaisesRegex(support.Refused, "has no vocabulary to write"):
            support.trainer("weights", self.folder, **request, vocabulary="out.txt")
        state = official(make_model(UNETT, seed=1))
        with self.assertRaisesRegex(support.Refused, "vocabulary is missing"):
            self.take_in(state, generation="v0", vocabulary=None)
        with self.assertRaises(support.Refused):  # tokens of several letters
            self.take_in(state, generation="v0", tokenizer="char")
        letters = " abcdefghi"
        self.vocabulary.write_text("".join(letter + "\n" for letter in letters))
        self.take_in(state, generation="v0", tokenizer="char")

    def convert(self, *arguments):
        return subprocess.run(
            [sys.executable, "-B", CONVERTER, *map(str, arguments)], capture_output=True, text=True
        )

    def test_a_checkpoint_of_the_packages_trainer_is_converted(self):
        model, average = make_model(DIT, seed=4), make_model(DIT, seed=5)
        file = self.folder / "model_last.pt"
        optimizer = torch.optim.AdamW(model.parameters())
        torch.save(
            dict(
                model_state_dict=official(model, "transformer."),
                optimizer_state_dict=optimizer.state_dict(),
                ema_model_state_dict=official(average),
                scheduler_state_dict=dict(last_epoch=7),
                update=5000,
            ),
            file,
        )
        for which, wanted, update in (("ema", average, 1_250_000), ("model", model, 5000)):
            output = self.folder / f"{which}.safetensors"
            done = self.convert(file, output, "--weights", which)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIn("optimizer_state_dict", done.stdout)
            report = self.take_in({}, weights=str(output), generation="adma")
            self.assertEqual(report["update"], update)
            self.assert_same_velocity(wanted)

    def test_a_checkpoint_that_brings_code_is_refused_before_it_runs(self):
        class Code:
            def __reduce__(self):
                return pathlib.Path.touch, (marker,)

        file, output, marker = (self.folder / name for name in ("a.pt", "b.safetensors", "ran"))
        for content in (Code(), dict(ema_model_state_dict=dict(a=Code())), pathlib.PurePath("a")):
            torch.save(content, file)
            done = self.convert(file, output)
            self.assertEqual(done.returncode, 1)
            self.assertIn("no checkpoint of tensors alone: it names", done.stderr)
            self.assertFalse(output.exists() or marker.exists())

    def test_views_of_one_storage_are_converted_as_what_they_show(self):
        base = torch.arange(12.0)
        views = dict(a=base.view(3, 4).t(), b=base[5:7], c=torch.zeros(0, 3), d=base.bfloat16())
        torch.save(views, self.folder / "a.pt")
        done = self.convert(self.folder / "a.pt", self.folder / "b.safetensors")
        self.assertEqual(done.returncode, 0, done.stderr)
        back = safetensors_file.read(self.folder / "b.safetensors")
        self.assertEqual(sorted(back), sorted(views))
        for name, view in views.items():
            self.assertTrue(torch.equal(back[name], view), name)


if __name__ == "__main__":
    unittest.main(verbosity=2, warnings="ignore")
