"""The probe of the package's models: its own golden numbers, and every number of ours beside it."""

import pathlib
import tempfile
import unittest

import support

import f5_tts_probe

HEADS = {"text": {"layer": 2}, "speech": {"layer": 3, "width": 24}, "hidden": 32}
TWO_HEADS = {
    "text": {"layer": 1, "more": [{"layer": 4, "weight": 0.3}]},
    "speech": {"layer": 3, "loss": "l1", "width": 8},
}
BATCH = {"durations": [37, 25], "cond_frames": [12, 9]}
# As in tests/unit/trainer/probe_test.cc: one value alone carries the rounding of a float32 table.
TOLERANCE = 5e-6

REQUESTS = {
    "A-DMA": {"model": "dit", "align": HEADS, "sample": BATCH},
    "v1": {
        "model": "dit", "text_mask_padding": True, "pe_attn_heads": None, "masks": "upstream",
        "align": HEADS, "sample": BATCH,
    },
    "padding is no key": {
        "model": "dit", "masks": "upstream", "attention_mask": True, "align": HEADS,
        "sample": {"solver": "midpoint", "sway": None, **BATCH},
    },
    "pruned steps": {"model": "dit", "sample": {"steps": 5, "grid": "epss"}},
    "several heads": {"model": "dit", "align": TWO_HEADS, "drop": "audio", "frames": [20, 9, 33]},
    "long skip, no text": {"model": "dit", "long_skip": True, "align": HEADS, "drop": "both"},
    "queries and keys have a norm": {
        "model": "dit", "qk_norm": "rms_norm", "align": HEADS, "sample": BATCH,
    },
    "text spread over the frames": {
        "model": "dit", "text_mask_padding": True, "average_upsampling": True, "align": HEADS,
        "sample": BATCH,
    },
    "v1 with both": {
        "model": "dit", "text_mask_padding": True, "average_upsampling": True,
        "pe_attn_heads": None, "qk_norm": "rms_norm", "masks": "upstream", "align": HEADS,
        "frames": [20, 9, 33], "sample": BATCH,
    },
    "spread without an encoder": {
        "model": "dit", "text_mask_padding": True, "average_upsampling": True, "conv_layers": 0,
        "masks": "upstream", "drop": "both", "frames": [7, 5],
    },
    "float32": {"model": "dit", "dtype": "float32", "align": HEADS},
    "E2": {"model": "unett", "align": HEADS, "sample": {"solver": "midpoint", "sway": None}},
    "E2, skips added": {"model": "unett", "skip": "add", "align": HEADS},
    "E2, no skips": {"model": "unett", "skip": "none"},
    "E2, queries and keys have a norm": {
        "model": "unett", "qk_norm": "rms_norm", "align": HEADS, "sample": BATCH,
    },
    "E2, later masks": {"model": "unett", "masks": "upstream", "align": HEADS, "sample": BATCH},
}  # fmt: skip

# (total, cfm, speech, text, gradient norm): published code of A-DMA, and f5-tts 1.1.22 with heads.
GOLDEN = [
    ({"model": "dit"}, 2.7575032434, 2.3107365336, 0.0052492626, 4.4151744718, 3.66756583),
    ({"model": "dit", "masks": "upstream"},
     2.7558441081, 2.3155044946, 0.0020790639, 4.3826054960, 3.69131984),
    ({"model": "unett"}, 2.8564214158, 2.5586558650, -0.1077987000, 4.0556425084, 14.48344624),
    ({"model": "unett", "masks": "upstream"},
     2.7888984143, 2.4907216225, -0.1122037500, 4.1038054185, 12.96394887),
]  # fmt: skip


class Probe(unittest.TestCase):
    def test_the_script_gives_the_published_losses(self):
        for request, total, cfm, speech, text, norm in GOLDEN:
            with self.subTest(request):
                asked = f5_tts_probe.read_request({**request, "align": HEADS})
                report = f5_tts_probe.probe(asked, *support.CLASSES)
                found = report["loss"]
                self.assertAlmostEqual(found["total"], total, delta=1e-9)
                self.assertAlmostEqual(found["cfm"], cfm, delta=1e-9)
                self.assertAlmostEqual(found["speech"], speech, delta=1e-9)
                self.assertAlmostEqual(found["text"], text, delta=1e-9)
                self.assertAlmostEqual(report["grad_norm"], norm, delta=1e-7)

    def test_every_number_of_our_report_is_the_packages(self):
        for name, request in REQUESTS.items():
            with self.subTest(name), tempfile.TemporaryDirectory() as folder:
                ours = support.trainer("probe", pathlib.Path(folder), **request)
                asked = f5_tts_probe.read_request(request)
                theirs = f5_tts_probe.probe(asked, *support.CLASSES)
                for path, one, other, difference in f5_tts_probe.differences(theirs, ours):
                    self.assertLessEqual(difference, TOLERANCE, f"{path}: {one}, here {other}")


if __name__ == "__main__":
    unittest.main(verbosity=2, warnings="ignore")
