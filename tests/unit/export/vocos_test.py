"""Vocos: the network against the published package's own results and against its formulas written
down again, its front end against F5-TTS's values, and which checkpoints are taken. Needs torch, no
weights.
"""

import contextlib
import io
import math
import pathlib
import tempfile
import unittest

import support

support.need_modules("numpy", "torch")
import archive
import catalogue
import numpy
import torch
import vocos

OFFICIAL = next(m for m in catalogue.load() if m.name == "vocos-mel-24khz")


def filled(module):
    """Every parameter: 0.3 sin(0.37 i + p) for element i of the p-th name, and 1 more for the weights
    of norms.
    """
    with torch.no_grad():
        for place, (name, value) in enumerate(sorted(module.named_parameters())):
            index = torch.arange(value.numel(), dtype=torch.float64)
            base = 1.0 if name.endswith("norm.weight") else 0.0
            value.copy_((0.3 * torch.sin(0.37 * index + place) + base).reshape(value.shape))
    return module.eval()


def small():
    return filled(vocos.Vocos(16, 24, 3, bands=12, n_fft=64, hop=16).double())


def small_mel():
    return (2 * torch.sin(0.11 * torch.arange(12 * 9, dtype=torch.float64))).reshape(1, 12, 9)


def layer_norm(x, weight, bias):
    centred = x - x.mean(axis=-1, keepdims=True)
    return centred / numpy.sqrt((centred**2).mean(axis=-1, keepdims=True) + 1e-6) * weight + bias


def convolved(x, weight, bias):
    """x (T, in) -> (T, out): seven taps, three zeros at each end. A depthwise weight is (dim, 1, 7)."""
    padded = numpy.pad(x, ((3, 3), (0, 0)))
    taps = [padded[k : k + len(x)] for k in range(7)]
    if weight.shape[1] == 1:
        return sum(tap * weight[:, 0, k] for k, tap in enumerate(taps)) + bias
    return sum(tap @ weight[:, :, k].T for k, tap in enumerate(taps)) + bias


def by_formula(state, mel, layers, n_fft, hop):
    """mel (bands, T) -> samples, in double, without torch."""
    p = {key: value.numpy() for key, value in state.items()}
    x = convolved(mel.T, p["backbone.embed.weight"], p["backbone.embed.bias"])
    x = layer_norm(x, p["backbone.norm.weight"], p["backbone.norm.bias"])
    erf = numpy.vectorize(math.erf)
    for i in range(layers):
        b = {key[len(f"backbone.convnext.{i}.") :]: v for key, v in p.items() if f"convnext.{i}." in key}
        h = layer_norm(convolved(x, b["dwconv.weight"], b["dwconv.bias"]), b["norm.weight"], b["norm.bias"])
        h = h @ b["pwconv1.weight"].T + b["pwconv1.bias"]
        h = h * 0.5 * (1 + erf(h / math.sqrt(2)))
        x = x + b["gamma"] * (h @ b["pwconv2.weight"].T + b["pwconv2.bias"])
    x = layer_norm(x, p["backbone.final_layer_norm.weight"], p["backbone.final_layer_norm.bias"])
    out = x @ p["head.out.weight"].T + p["head.out.bias"]
    bins = n_fft // 2 + 1
    spectrum = numpy.minimum(numpy.exp(out[:, :bins]), 100.0) * numpy.exp(1j * out[:, bins:])
    window = 0.5 - 0.5 * numpy.cos(2 * math.pi * numpy.arange(n_fft) / n_fft)
    total = numpy.zeros((len(x) - 1) * hop + n_fft)
    squares = numpy.zeros_like(total)
    for t, frame in enumerate(numpy.fft.irfft(spectrum, n_fft)):
        total[t * hop : t * hop + n_fft] += window * frame
        squares[t * hop : t * hop + n_fft] += window**2
    half = n_fft // 2
    return total[half:-half] / squares[half:-half]


class Network(unittest.TestCase):
    def test_it_gives_the_samples_of_the_published_package(self):
        # VocosBackbone(12, 16, 24, 3) and ISTFTHead(16, 64, 16, "center") of vocos 0.1.0 in double,
        # filled in the same way.
        with torch.no_grad():
            sound = torch.jit.script(small())(small_mel())
        self.assertEqual(tuple(sound.shape), (1, 128))
        wanted = {
            0: 0.186515467,
            1: -0.139891705,
            17: -1.45227037,
            64: -0.0662536796,
            100: -0.22829225,
            127: -0.0282681872,
        }
        for index, value in wanted.items():
            self.assertAlmostEqual(float(sound[0, index]), value, delta=2e-7)
        self.assertAlmostEqual(float(sound.sum()), 0.5109530599678447, delta=1e-6)
        self.assertAlmostEqual(float(sound.abs().sum()), 41.552726357398335, delta=1e-6)

    def test_it_is_its_formulas(self):
        module = small()
        with torch.no_grad():
            # Loud enough for the bound of the magnitudes to matter.
            module.head.out.bias[3] = 6.0
            sound = module(small_mel())[0].numpy()
        wanted = by_formula(module.state_dict(), small_mel()[0].numpy(), 3, 64, 16)
        # The window of the module was rounded to single precision when it was made.
        numpy.testing.assert_allclose(sound, wanted, atol=2e-6 * numpy.abs(wanted).max())

    def test_the_published_size_has_thirteen_and_a_half_million_parameters(self):
        sizes = (OFFICIAL.settings[key] for key in ("dim", "intermediate_dim", "layers"))
        module = vocos.Vocos(*sizes)
        self.assertEqual(sum(p.numel() for p in module.parameters()), 13_531_650)

    def test_a_sound_is_256_samples_for_each_frame_but_one(self):
        module = torch.jit.script(vocos.Vocos(8, 16, 1).eval())
        for frames in (2, 3, 40):
            self.assertEqual(tuple(module(torch.zeros(2, 100, frames)).shape), (2, 256 * (frames - 1)))
        with self.assertRaisesRegex(torch.jit.Error, "two frames or more"):
            module(torch.zeros(1, 100, 1))


class FrontEnd(unittest.TestCase):
    def test_the_mel_is_that_of_f5_tts(self):
        module = torch.jit.script(vocos.Vocos(8, 16, 1).eval())
        time = numpy.arange(24000) / 24000
        wave = 0.3 * numpy.sin(2 * math.pi * 220 * time) + 0.2 * numpy.sin(2 * math.pi * 1234.5 * time + 0.3)
        frames = module.mel(torch.from_numpy(wave).float().unsqueeze(0))
        self.assertEqual(tuple(frames.shape), (1, 100, 94))
        # Values of torchaudio's MelSpectrogram as F5-TTS sets it up, at the tones.
        for (band, frame), wanted in {
            (0, 0): 2.309847,
            (0, 40): -3.233122,
            (10, 40): 2.513361,
            (11, 40): 0.315000,
            (99, 40): -11.512925,
            (50, 93): 0.029995,
        }.items():
            self.assertAlmostEqual(float(frames[0, band, frame]), wanted, delta=1e-3)
        self.assertAlmostEqual(float(module.mel(torch.zeros(1, 1024)).max()), math.log(1e-5), delta=1e-5)


class Checkpoint(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.module = filled(vocos.Vocos(8, 16, 2))
        self.state = self.module.state_dict()
        self.state["feature_extractor.mel_spec.mel_scale.fb"] = self.state.pop("filters").T.clone()
        self.state["feature_extractor.mel_spec.spectrogram.window"] = torch.hann_window(1024)

    def saved(self, state):
        path = self.folder / "pytorch_model.bin"
        torch.save(state, path)
        return path

    def export(self, state, *more):
        out, errors = io.StringIO(), io.StringIO()
        arguments = [str(self.saved(state)), "--out", str(self.folder), *more]
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
            try:
                code = vocos.main(arguments)
            except SystemExit as stopped:
                code = stopped.code
        return code, out.getvalue(), errors.getvalue()

    def test_one_of_ones_own_becomes_an_archive_that_says_what_it_is(self):
        code, said, _ = self.export(self.state, "--name", "mine", "--licence", "CC0")
        self.assertEqual(code, 0)
        found = archive.read_metadata(self.folder / "mine.pt")
        self.assertEqual(said, f"vocoder: {{name: mine, identity: {found['identity']}}}\n")
        self.assertEqual((found["role"], found["interface"]), ("vocoder", "vocoder-2"))
        self.assertEqual((found["family"], found["licence"]), ("mine", "CC0"))
        settings = found["settings"]
        self.assertEqual([settings[key] for key in ("mel", "dim", "intermediate_dim", "layers")], ["vocos", 8, 16, 2])
        loaded = torch.jit.load(str(self.folder / "mine.pt"))
        frames = torch.randn(1, 100, 5, generator=torch.Generator().manual_seed(3)) - 4
        with torch.no_grad():
            torch.testing.assert_close(loaded(frames), self.module(frames), rtol=0, atol=1e-5)
        # The same weights under another name are the same model; others are another one.
        again = self.export(self.state, "--name", "again")[1]
        self.assertIn(found["identity"], again)
        self.state["head.out.bias"] = self.state["head.out.bias"] + 1
        self.assertNotIn(found["identity"], self.export(self.state, "--name", "other")[1])

    def test_a_lightning_checkpoint_has_the_same_weights_one_level_down(self):
        self.assertEqual(self.export({"state_dict": self.state}, "--name", "mine")[0], 0)

    def test_what_is_another_model_is_refused_with_what_is_wrong(self):
        def without(key):
            return {k: v for k, v in self.state.items() if k != key}

        bank = "feature_extractor.mel_spec.mel_scale.fb"
        wide = vocos.Vocos(8, 16, 2, bands=80).state_dict()
        wide.pop("filters")
        for state, expected in (
            ([1, 2], "holds no state dict"),
            (without("head.out.weight"), "head.out.weight is missing"),
            (without("backbone.convnext.1.gamma"), "gamma"),
            ({**self.state, "backbone.convnext.0.norm.scale.weight": torch.ones(4, 8)}, "norm.scale.weight"),
            ({**self.state, bank: self.state[bank] * 0.1}, "another bank"),
            (wide, "takes 80 bands"),
        ):
            with self.subTest(expected):
                code, _, said = self.export(state, "--name", "mine")
                self.assertEqual(code, 1)
                self.assertIn(expected, said)
                self.assertFalse((self.folder / "mine.pt").exists())

    def test_a_name_of_the_catalogue_is_refused(self):
        for name, expected in (("vocos-mel-24khz", "is in the catalogue"), ("Mine/x", "small letters")):
            code, _, said = self.export(self.state, "--name", name)
            self.assertEqual(code, 2)
            self.assertIn(expected, said)

    def test_the_catalogue_wants_the_sizes_of_the_published_one(self):
        with self.assertRaisesRegex(ValueError, "the catalogue says"):
            vocos.vocoder([self.saved(self.state)], OFFICIAL.settings)


if __name__ == "__main__":
    support.main()
