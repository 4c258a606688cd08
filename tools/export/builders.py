"""Model name -> module, self-test input, extra files. A new model is one entry here and one in
catalogue.json.
"""

import base64
import dataclasses
import json
from typing import Callable

import torch

import distillmos
import dnsmos
import ge2e
import hifigan
import hubert
import signals
import vocos
import whisper_weights
import wavlm

SPEECH_RATE = 16000
WHISPER_TEST_SAMPLES = 16000
SPEAKER_TEST_SAMPLES = 40000
MOS_TEST_SAMPLES = 16000
TEACHER_TEST_SAMPLES = 16000
# Doubled once by the model this is exactly one window.
DNSMOS_TEST_SAMPLES = 72080
VOCODER_TEST_SAMPLES = 2560


def _wave(samples, padded_to):
    wave = torch.zeros(1, padded_to)
    wave[0, : len(samples)] = torch.from_numpy(samples).float()
    return wave


def _window():
    return _wave(signals.voice_like(WHISPER_TEST_SAMPLES, SPEECH_RATE), 480000)


def _vocabulary(model, folder):
    whisper_weights.check_config(model.paths(folder, "config")[0], model.settings)
    words = whisper_weights.token_bytes(model.paths(folder, "vocabulary")[0], model.settings["eot"])
    return {
        "vocabulary": json.dumps([base64.b64encode(word).decode("ascii") for word in words]).encode(
            "ascii"
        )
    }


def _vocoder_inputs(sample_rate):
    wave = _wave(signals.two_tones(VOCODER_TEST_SAMPLES, sample_rate), VOCODER_TEST_SAMPLES)

    def inputs(module):
        with torch.no_grad():
            return [module.mel(wave)]

    return inputs


@dataclasses.dataclass(frozen=True)
class Builder:
    build: Callable  # (weight paths, settings) -> module
    inputs: Callable  # (module) -> list of arguments of forward
    tolerance: float  # of |got - wanted| / max(1, |wanted|)
    extra: Callable = lambda model, folder: {}


# Of every Vocos, of the catalogue or not.
VOCOS = Builder(vocos.vocoder, _vocoder_inputs(vocos.SAMPLE_RATE), 1e-3)

BUILDERS = {
    "whisper-base": Builder(
        whisper_weights.recognizer, lambda module: [_window()], 2e-3, _vocabulary
    ),
    "whisper-tiny-en-encoder": Builder(
        whisper_weights.teacher, lambda module: [_window(), 3], 2e-3
    ),
    "ge2e": Builder(
        ge2e.speaker_encoder,
        lambda module: [
            _wave(signals.voice_like(SPEAKER_TEST_SAMPLES, SPEECH_RATE), SPEAKER_TEST_SAMPLES)
        ],
        1e-4,
    ),
    "distill-mos": Builder(
        distillmos.distill_mos,
        lambda module: [_wave(signals.voice_like(MOS_TEST_SAMPLES, SPEECH_RATE), MOS_TEST_SAMPLES)],
        1e-3,
    ),
    "dnsmos": Builder(
        dnsmos.dnsmos,
        lambda module: [
            _wave(signals.voice_like(DNSMOS_TEST_SAMPLES, SPEECH_RATE), DNSMOS_TEST_SAMPLES)
        ],
        1e-3,
    ),
    "hifigan-universal": Builder(hifigan.vocoder, _vocoder_inputs(hifigan.SAMPLE_RATE), 1e-3),
    "vocos-mel-24khz": VOCOS,
}


def _utterance(module):
    """Through all blocks."""
    wave = signals.voice_like(TEACHER_TEST_SAMPLES, SPEECH_RATE)
    return [_wave(wave, TEACHER_TEST_SAMPLES), module.count]


# Models of local.json, by their settings' `network`: any checkpoint of the family is one entry there.
NETWORKS = {
    "hubert": Builder(hubert.teacher, _utterance, 2e-3),
    "wavlm": Builder(wavlm.teacher, _utterance, 2e-3),
}


def builder_of(model):
    return BUILDERS[model.name] if model.name in BUILDERS else NETWORKS[model.settings["network"]]
