"""HuBERT and WavLM on small networks whose parameters are a formula: no weights are needed.

The golden values were computed by the classes HubertModel and WavLMModel of transformers 4.40.2
(torch 1.13.1) with the same parameters, never by the code here. Where transformers is installed,
the comparison is made again, layer by layer.
"""

import importlib.util
import json
import pathlib
import tempfile
import unittest

import support

support.need_modules("numpy", "torch")
import archive
import catalogue
import export
import hubert
import state_file
import torch
import wav2vec2
import wavlm
from builders import NETWORKS

KERNELS, STRIDES = [10, 3, 3, 3, 3, 2, 2], [5, 2, 2, 2, 2, 2, 2]
CHANNELS, WIDTH, HEADS, INNER, LAYERS = 8, 32, 4, 48, 3
KERNEL, GROUPS, BUCKETS, DISTANCE = 16, 4, 32, 40
TOLERANCE = 2e-5  # of |got - wanted| / max(1, |wanted|): float32 through 3 blocks
# (network, norm, conv_norm, conv_bias)
KINDS = (
    ("hubert", "post", "group", False),
    ("hubert", "pre", "layer", True),
    ("wavlm", "post", "group", False),
    ("wavlm", "pre", "layer", False),
)
# marks() of layers 0 .. 3 for 20,000 samples, 62 frames
GOLDEN = {
    ("hubert", "post", "group", False): (
        (79.1485066, 807.81953, -0.251582563, -0.198828682),
        (66.2739049, 730.309269, 0.680290818, 0.247583866),
        (-55.3039406, 655.258013, -0.263226032, -0.39926517),
        (-98.1929726, 646.395363, 0.315177292, -0.681034505),
    ),
    ("hubert", "pre", "layer", True): (
        (37.927823, 1133.56193, -0.439367354, 0.509776354),
        (241.946461, 15709.7198, -15.5899849, 11.8344908),
        (-140.657046, 18208.8253, -27.2783623, 20.9848919),
        (18.1692826, 712.107557, -0.849378824, -0.611034811),
    ),
    ("wavlm", "post", "group", False): (
        (50.3556493, 758.437456, -0.657061636, -0.349207819),
        (-20.4459665, 680.260597, -0.36863476, -0.278803617),
        (-125.536546, 708.979689, -0.401388496, 0.185045078),
        (-40.1673589, 710.894263, -0.416068494, 0.314012736),
    ),
    ("wavlm", "pre", "layer", False): (
        (-1151.92304, 1158.45483, -1.02559555, -0.440657675),
        (-855.250506, 4348.88697, -1.82438552, 2.87281632),
        (-3061.10622, 3963.13667, -7.60311747, -1.04833817),
        (-79.4235538, 683.187275, -0.738117158, -0.256787002),
    ),
}


def settings(network, norm, conv_norm):
    plain = {
        "network": network,
        "sample_rate": 16000,
        "do_normalize": 1,
        "conv_kernels": KERNELS,
        "conv_strides": STRIDES,
        "conv_norm": conv_norm,
        "norm": norm,
        "width": WIDTH,
        "heads": HEADS,
        "feed_forward": INNER,
        "encoder_layers": LAYERS,
        "position_kernel": KERNEL,
        "position_groups": GROUPS,
        "frames_per_second": 50,
    }
    return {**plain, "buckets": BUCKETS, "distance": DISTANCE} if network == "wavlm" else plain


def shapes(network, conv_norm, conv_bias, sizes=(CHANNELS, WIDTH, HEADS, INNER, LAYERS, KERNEL, GROUPS, BUCKETS)):
    """The names and shapes of a published checkpoint."""
    channels, width, heads, inner, layers, kernel, groups, buckets = sizes
    found = {"masked_spec_embed": [width]}

    def both(name, weight, bias):
        found[name + ".weight"], found[name + ".bias"] = weight, bias

    for index, size in enumerate(KERNELS):
        name = f"feature_extractor.conv_layers.{index}."
        found[name + "conv.weight"] = [channels, 1 if index == 0 else channels, size]
        if conv_bias:
            found[name + "conv.bias"] = [channels]
        if conv_norm == "layer" or index == 0:
            both(name + "layer_norm", [channels], [channels])
    both("feature_projection.layer_norm", [channels], [channels])
    both("feature_projection.projection", [width, channels], [width])
    found["encoder.pos_conv_embed.conv.bias"] = [width]
    found["encoder.pos_conv_embed.conv.weight_g"] = [1, 1, kernel]
    found["encoder.pos_conv_embed.conv.weight_v"] = [width, width // groups, kernel]
    both("encoder.layer_norm", [width], [width])
    for index in range(layers):
        name = f"encoder.layers.{index}."
        for part in ("k_proj", "v_proj", "q_proj", "out_proj"):
            both(name + "attention." + part, [width, width], [width])
        if network == "wavlm":
            found[name + "attention.gru_rel_pos_const"] = [1, heads, 1, 1]
            both(name + "attention.gru_rel_pos_linear", [8, width // heads], [8])
            if index == 0:
                found[name + "attention.rel_attn_embed.weight"] = [buckets, heads]
        both(name + "layer_norm", [width], [width])
        both(name + "feed_forward.intermediate_dense", [inner, width], [inner])
        both(name + "feed_forward.output_dense", [width, inner], [width])
        both(name + "final_layer_norm", [width], [width])
    return found


def state(network, conv_norm, conv_bias):
    """Element i of the p-th name in alphabetical order is 0.4 sin(0.7 i + p + 0.01 i p)."""
    values = {}
    for place, (name, shape) in enumerate(sorted(shapes(network, conv_norm, conv_bias).items())):
        index = torch.arange(torch.Size(shape).numel(), dtype=torch.float64)
        value = 0.4 * torch.sin(0.7 * index + place + 0.01 * index * place)
        values[name] = value.float().reshape(shape)
    return values


def wave(samples):
    index = torch.arange(samples, dtype=torch.float64)
    return (torch.sin(0.05 * index) + 0.5 * torch.sin(0.00011 * index * index)).float().unsqueeze(0)


def teacher(network, norm, conv_norm, conv_bias):
    module = {"hubert": hubert, "wavlm": wavlm}[network]
    built = module.from_state(state(network, conv_norm, conv_bias), settings(network, norm, conv_norm))
    return torch.jit.script(built.requires_grad_(False))


def marks(layer):
    """[1, frames, width] -> sum, sum of magnitudes, two values of the last frame."""
    wide = layer.double()
    return [float(wide.sum()), float(wide.abs().sum()), float(wide[0, -1, 0]), float(wide[0, -1, 7])]


class Values(unittest.TestCase):
    def test_every_layer_is_that_of_the_reference(self):
        for kind in KINDS:
            module = teacher(*kind)
            for index, wanted in enumerate(GOLDEN[kind]):
                with self.subTest(kind=kind, layer=index):
                    got = marks(module(wave(20000), index))
                    count = 62 * WIDTH
                    self.assertAlmostEqual(got[0] / count, wanted[0] / count, delta=TOLERANCE)
                    self.assertAlmostEqual(got[1] / count, wanted[1] / count, delta=TOLERANCE)
                    self.assertAlmostEqual(got[2], wanted[2], delta=TOLERANCE * max(1, abs(wanted[2])))
                    self.assertAlmostEqual(got[3], wanted[3], delta=TOLERANCE * max(1, abs(wanted[3])))

    def test_an_average_is_the_mean_of_its_layers(self):
        for kind in KINDS:
            module = teacher(*kind)
            layers = [module(wave(6000), index) for index in range(LAYERS + 1)]
            for first, last in ((0, 3), (1, 3), (2, 2)):
                wanted = torch.stack(layers[first : last + 1]).mean(0)
                got = module.average(wave(6000), first, last, 0)
                self.assertTrue(torch.allclose(got, wanted, 1e-5, 1e-5), (kind, first, last))
            normed = [torch.nn.functional.layer_norm(layer, (WIDTH,)) for layer in layers]
            got = module.average(wave(6000), 0, 3, 1)
            self.assertTrue(torch.allclose(got, torch.stack(normed).mean(0), 1e-5, 1e-5), kind)

    def test_frames_are_those_that_the_convolutions_leave(self):
        module = teacher(*KINDS[1])
        for samples, frames in ((400, 1), (719, 1), (720, 2), (16000, 49), (48000, 149)):
            self.assertEqual(tuple(module(wave(samples), 0).shape), (1, frames, WIDTH))
        for wrong in (wave(399), wave(400).expand(2, 400)):
            with self.assertRaises(torch.jit.Error):
                module(wrong, 0)
        for layer in (-1, LAYERS + 1):
            with self.assertRaises(torch.jit.Error):
                module(wave(400), layer)

    def test_attention_is_the_same_whatever_the_rows_at_a_time(self):
        for kind in (KINDS[0], KINDS[3]):
            whole = teacher(*kind)(wave(20000), LAYERS)
            before, wav2vec2.QUERY_ROWS = wav2vec2.QUERY_ROWS, 7
            try:
                pieces = teacher(*kind)(wave(20000), LAYERS)
            finally:
                wav2vec2.QUERY_ROWS = before
            self.assertTrue(torch.allclose(pieces, whole, 1e-5, 1e-5))


@unittest.skipUnless(importlib.util.find_spec("transformers"), "transformers is not installed")
class Reference(unittest.TestCase):
    def reference(self, network, norm, conv_norm, conv_bias):
        import transformers

        kind = {"hubert": "Hubert", "wavlm": "WavLM"}[network]
        more = {"num_buckets": BUCKETS, "max_bucket_distance": DISTANCE} if network == "wavlm" else {}
        config = getattr(transformers, kind + "Config")(
            hidden_size=WIDTH,
            num_hidden_layers=LAYERS,
            num_attention_heads=HEADS,
            intermediate_size=INNER,
            conv_dim=(CHANNELS,) * 7,
            num_conv_pos_embeddings=KERNEL,
            num_conv_pos_embedding_groups=GROUPS,
            do_stable_layer_norm=norm == "pre",
            feat_extract_norm=conv_norm,
            conv_bias=conv_bias,
            **more,
        )
        return getattr(transformers, kind + "Model")(config).eval()

    def test_hidden_states_are_the_layers(self):
        for kind in KINDS:
            model = self.reference(*kind)
            network, _, conv_norm, conv_bias = kind
            model.load_state_dict(state(network, conv_norm, conv_bias))
            module = teacher(*kind)
            with torch.no_grad():
                wanted = model(wave(20000), output_hidden_states=True)
            self.assertTrue(torch.equal(wanted.hidden_states[-1], wanted.last_hidden_state))
            for index, layer in enumerate(wanted.hidden_states):
                difference = archive.largest_difference((module(wave(20000), index),), (layer,))
                print(kind, index, f"{difference:.2g}", marks(layer))
                self.assertLess(difference, TOLERANCE)


class Weights(unittest.TestCase):
    def build(self, change, kind=KINDS[1]):
        network, norm, conv_norm, conv_bias = kind
        values = state(network, conv_norm, conv_bias)
        change(values)
        return {"hubert": hubert, "wavlm": wavlm}[network].from_state(values, settings(network, norm, conv_norm))

    def test_every_key_is_accounted_for(self):
        key = "encoder.layers.1.attention.k_proj.weight"
        for kind in KINDS:
            self.build(lambda values: None, kind)
            for change, expected in (
                (lambda v: v.pop(key), f"no {key}"),
                (lambda v: v.update(extra=torch.zeros(1)), "extra has no place"),
                (lambda v: v.update({key: torch.zeros(3, 3)}), f"{key} is \\[3, 3\\], expected"),
                (lambda v: v.pop("encoder.pos_conv_embed.conv.weight_g"), "no encoder.pos_conv_embed"),
            ):
                with self.subTest(expected), self.assertRaisesRegex(ValueError, expected):
                    self.build(change, kind)

    def test_other_spellings_of_the_same_weights_give_the_same_teacher(self):
        def renamed(values):
            conv = "encoder.pos_conv_embed.conv."
            for old, new in (("weight_g", "original0"), ("weight_v", "original1")):
                values[f"{conv}parametrizations.weight.{new}"] = values.pop(conv + old)
            inside = {"hubert." + name: value for name, value in values.items()}
            values.clear()
            values.update(inside)
            values["lm_head.weight"] = torch.zeros(3)

        wanted = self.build(lambda values: None)
        self.assertTrue(torch.equal(self.build(renamed)(wave(2000), 3), wanted(wave(2000), 3)))

    def test_files_of_both_kinds_are_read_and_others_are_refused(self):
        values = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.tensor([0.5, -2.0]).half()}
        with tempfile.TemporaryDirectory() as folder:
            pickled = pathlib.Path(folder, "pytorch_model.bin")
            torch.save(values, pickled)
            plain = pathlib.Path(folder, "model.safetensors")
            body = b"".join(value.numpy().tobytes() for value in values.values())
            header = {
                "a": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]},
                "b": {"dtype": "F16", "shape": [2], "data_offsets": [24, 28]},
                "__metadata__": {"format": "pt"},
            }
            text = json.dumps(header).encode()
            plain.write_bytes(len(text).to_bytes(8, "little") + text + body)
            for path in (pickled, plain):
                found = state_file.read(path)
                self.assertEqual(found.keys(), values.keys())
                self.assertTrue(all(torch.equal(found[name], values[name].float()) for name in values))
            plain.write_bytes(plain.read_bytes()[:-1])
            with self.assertRaisesRegex(ValueError, "b lies outside the file"):
                state_file.read(plain)
            torch.save({"a": torch.nn.Linear(2, 2)}, pickled)
            with self.assertRaisesRegex(ValueError, "without running code"):
                state_file.read(pickled)


class Command(unittest.TestCase):
    """The archive of a local file, and the catalogue that knows it."""

    def test_the_models_of_the_papers_are_described(self):
        local = catalogue.load_local()
        self.assertEqual(list(local), ["hubert-large-ll60k", "wavlm-large"])
        for model in local.values():
            told = model.entry["settings"]
            self.assertIn(told["network"], NETWORKS)
            self.assertEqual((told["width"], told["heads"], told["encoder_layers"]), (1024, 16, 24))
            self.assertEqual((told["conv_kernels"], told["conv_strides"]), (KERNELS, STRIDES))
            self.assertEqual((told["norm"], told["conv_norm"], told["do_normalize"]), ("pre", "layer", 1))

    def test_a_local_file_becomes_an_archive_and_an_entry_beside_those_that_ship(self):
        with tempfile.TemporaryDirectory() as folder:
            weights, out = pathlib.Path(folder, "pytorch_model.bin"), pathlib.Path(folder, "out")
            torch.save(state("wavlm", "layer", False), weights)
            small = pathlib.Path(folder, "local.json")
            document = json.loads(catalogue.LOCAL_PATH.read_text(encoding="utf-8"))
            document["models"][1]["settings"] = settings("wavlm", "pre", "layer")
            small.write_text(json.dumps(document), encoding="utf-8")
            local = catalogue.load_local(small)["wavlm-large"]
            before, catalogue.load_local = catalogue.load_local, lambda: {"wavlm-large": local}
            try:
                arguments = ["--out", str(out), "--weights", str(weights), "wavlm-large"]
                self.assertEqual(export.main(arguments), 0)
                self.assertEqual(export.main(arguments), 0)
                self.assertEqual(export.main(["--weights", str(weights), "ge2e"]), 2)
                self.assertEqual(export.main(["--weights", str(weights) + "x", "wavlm-large"]), 2)
                self.assertEqual(export.main(["--out", str(out), "wavlm-large"]), 2)
            finally:
                catalogue.load_local = before
            models = catalogue.load(out / "catalogue.json")
            self.assertEqual([m.name for m in models], [m.name for m in catalogue.load()] + ["wavlm-large"])
            self.assertEqual(models[-1].sources[0].sha256, catalogue.file_sha256(weights))
            found = archive.read_metadata(out / "wavlm-large.pt")
            self.assertEqual(found["identity"], catalogue.identity(models[-1]))
            self.assertEqual(found["interface"], "teacher-2")
            module = torch.jit.load(str(out / "wavlm-large.pt"))
            wanted = teacher("wavlm", "pre", "layer", False)
            self.assertTrue(torch.equal(module(wave(3000), 2), wanted(wave(3000), 2)))
            self.assertTrue(
                torch.equal(module.average(wave(3000), 1, 3, 1), wanted.average(wave(3000), 1, 3, 1))
            )


if __name__ == "__main__":
    support.main()
