"""Identities never change by accident, and the catalogue says what scripts/bootstrap installs.
Needs no library.
"""

import copy
import json
import re
import unittest

import support
import catalogue

# A change here makes every result of that model outdated: raise exporter_version on purpose, then
# copy the new value.
IDENTITIES = {
    "whisper-base": "4490d123bc893e3f2a111f2fb4bfb13d73672c19b8c931e1c638c2d090f19b37",
    "whisper-tiny-en-encoder": "a52d0e8bfce400d02e7f685e70bba1e80e8fde9f01af70a07026c0cabcc918e0",
    "ge2e": "eaa12f00aedc41e67e515119545541cb342f476d5a89a2fcf9e735eff81fd398",
    "distill-mos": "d1c7ba4ce5ecb112a58aea82042775f92a36473a97878ffc59c772edad085e5b",
    "dnsmos": "0ac7b1dc5b74bf824d498ce8387833607cf94de2d1fc9d6465e270588c916533",
    "hifigan-universal": "8af60352f14289d8c13101ddfef7da839fbad8c6154462aed03245a4b937134f",
    "vocos-mel-24khz": "d155d961f13cd040d971ab2823134a3e99ecdf50c0d54ba47e49d3da904cda2c",
    # As trainer/vocoder.cc computes them.
    "griffin-lim-vocos": "f57253c90b1d183daf93b2728378e626a69fc0764ed211c17aac7487034a41f2",
    "griffin-lim-bigvgan": "de9e56c9a33eb0f80fae1c33b6801f306b7f49ce261a6e616d4b477597cfc43a",
    "griffin-lim-hifigan": "ced73203e3f0b09dce7f8b5621a4d487a26db1c2b5e53b19c50f39ed1a71a187",
}
# Non-speech ids of the multilingual vocabulary, from openai/whisper's tokenizer, first and last
# ten.
NON_SPEECH_FIRST = [1, 2, 7, 8, 9, 10, 14, 25, 26, 27]
NON_SPEECH_LAST = [31650, 32302, 32470, 36865, 42863, 47425, 49870, 50254]


def document():
    return json.loads(catalogue.PATH.read_text(encoding="utf-8"))


class Catalogue(unittest.TestCase):
    def test_every_identity_is_the_recorded_one(self):
        self.assertEqual({m.name: catalogue.identity(m) for m in catalogue.load()}, IDENTITIES)

    def test_identity_is_the_hash_of_exactly_this_text(self):
        model = next(m for m in catalogue.load() if m.name == "distill-mos")
        content = {
            "exporter_version": 1,
            "settings": model.settings,
            "sources": [s.sha256 for s in model.sources],
        }
        self.assertEqual(
            catalogue.canonical_json(content),
            '{"exporter_version":1,"settings":{"outputs":["mos"],"sample_rate":16000,"window_samples":122880,'
            '"window_step_max":16000},"sources":["b18b3ac60227267cfb91e5d00ce22cc7b73716fd92f269484da1446e27031a40"]}',
        )

    def test_identity_changes_with_a_source_a_setting_or_the_exporter_and_with_nothing_else(self):
        def identity_after(change):
            changed = document()
            change(changed["models"][0])
            return catalogue.identity(catalogue.parse(json.dumps(changed))[0])

        old = IDENTITIES["whisper-base"]
        self.assertNotEqual(identity_after(lambda m: m["sources"][0].update(sha256="0" * 64)), old)
        self.assertNotEqual(identity_after(lambda m: m["settings"].update(tokens_max=100)), old)
        self.assertNotEqual(identity_after(lambda m: m.update(exporter_version=2)), old)
        self.assertEqual(identity_after(lambda m: m.update(licence="another text", version=9)), old)
        self.assertEqual(
            identity_after(lambda m: m.update(settings=dict(reversed(m["settings"].items())))), old
        )

    def test_the_default_judge_and_the_default_teacher_are_different_checkpoints(self):
        families = {m.role: m.family for m in catalogue.load() if m.role in ("asr", "teacher")}
        self.assertEqual(families, {"asr": "openai-whisper-base", "teacher": "openai-whisper-tiny.en"})

    def test_every_wheel_is_one_that_bootstrap_pins_with_the_same_hash(self):
        script = (support.ROOT / "scripts" / "bootstrap").read_text(encoding="utf-8")
        pinned = dict(re.findall(r"^(\S+==\S+)\s+sha256:([0-9a-f]{64})\s+models$", script, re.MULTILINE))
        for model in catalogue.load():
            for source in model.sources:
                if source.url:
                    self.assertTrue(model.by_hand)
                    continue
                self.assertEqual(
                    pinned.get(source.wheel), source.wheel_sha256, f"{model.name}: {source.wheel}"
                )

    def test_whisper_settings_are_those_of_the_published_tokenizer(self):
        settings = next(m.settings for m in catalogue.load() if m.name == "whisper-base")
        self.assertEqual(settings["prompt"], [50258, 50259, 50359, 50363])
        self.assertEqual((settings["eot"], settings["sot"], settings["no_speech"]), (50257, 50258, 50362))
        self.assertEqual(settings["suppress_first"], [220, 50257])
        text_ids = [token for token in settings["suppress"] if token < settings["eot"]]
        self.assertEqual(len(text_ids), 82)
        self.assertEqual(text_ids[:10], NON_SPEECH_FIRST)
        self.assertEqual(text_ids[-8:], NON_SPEECH_LAST)
        self.assertEqual(settings["suppress"][82:], [50258, 50358, 50359, 50360, 50361, 50362])

    def test_a_wrong_catalogue_is_refused_with_model_and_field(self):
        for change, expected in (
            (lambda m: m.pop("family"), "model 'whisper-base': fields .*family"),
            (lambda m: m.update(role="judge"), "role is one of asr"),
            (lambda m: m["settings"].update(gain=0.5), "settings.gain: only ASCII strings, integers"),
            (lambda m: m["settings"].update(gain=True), "settings.gain: only ASCII strings, integers"),
            (lambda m: m["settings"].update(name="größe"), "settings.name: only ASCII"),
            (lambda m: m["sources"][0].update(sha256="abc"), "64 hex digits"),
            (lambda m: m["sources"][0].update(file="../x"), "leaves the folder"),
            (lambda m: m["sources"][0].update(url="https://x"), "either wheel and wheel_sha256 or url"),
            (lambda m: m.update(sources=[]), "no source of weights"),
            (lambda m: m.update(interface="built-in"), "sources of what is built in"),
            (lambda m: m.update(name="../whisper"), "a name has small letters"),
        ):
            changed = copy.deepcopy(document())
            change(changed["models"][0])
            with self.subTest(expected), self.assertRaisesRegex(catalogue.CatalogueError, expected):
                catalogue.parse(json.dumps(changed))


if __name__ == "__main__":
    support.main()
