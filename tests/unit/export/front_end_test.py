"""Front ends against published numbers: Whisper's log-mel, GE2E's windows, HiFi-GAN's mel. Needs
torch, no weights.
"""

import math
import unittest

import support

support.need_modules("numpy", "torch")
import ge2e
import hifigan
import mel
import numpy
import signals
import torch
import whisper

# Fixtures computed with the reference implementation (openai/whisper, 80 bands, zero samples up to
# 30 s).
TOLERANCE = 1e-4


def padded(samples):
    wave = torch.zeros(1, whisper.WINDOW_SAMPLES)
    wave[0, : len(samples)] = torch.from_numpy(samples).float()
    return wave


class WhisperLogMel(unittest.TestCase):
    def setUp(self):
        self.log_mel = torch.jit.script(whisper.LogMel(80))

    def test_two_tones_give_the_reference_values(self):
        features = self.log_mel(padded(signals.two_tones(16000, 16000)))[0]
        self.assertEqual(tuple(features.shape), (80, 3000))
        for (band, frame), wanted in {
            (0, 0): 1.017845,
            (8, 0): 1.225093,
            (8, 99): 0.339959,
            (0, 99): 0.279519,
            (0, 50): -0.561795,
        }.items():
            self.assertAlmostEqual(float(features[band, frame]), wanted, delta=TOLERANCE)
        self.assertAlmostEqual(float(features.max()), 1.438205, delta=TOLERANCE)
        self.assertAlmostEqual(float(features[:, :100].mean()), -0.312498, delta=TOLERANCE)

    def test_noise_gives_the_reference_values_and_padding_lies_at_the_floor(self):
        features = self.log_mel(padded(signals.noise(32000) * 0.2))[0]
        for (band, frame), wanted in {(0, 0): 0.575947, (10, 100): 0.273245, (79, 199): 0.506352}.items():
            self.assertAlmostEqual(float(features[band, frame]), wanted, delta=TOLERANCE)
        self.assertAlmostEqual(float(features[:, :200].mean()), 0.492770, delta=TOLERANCE)
        self.assertAlmostEqual(float(features[:, :200].std()), 0.090254, delta=TOLERANCE)
        self.assertAlmostEqual(float(features.min()), -1.248331, delta=TOLERANCE)
        self.assertAlmostEqual(float(features[:, 200:].mean()), -1.247427, delta=TOLERANCE)

    def test_silence_is_minus_one_and_a_half(self):
        self.assertTrue(torch.all(self.log_mel(torch.zeros(1, 16000)) == -1.5))

    def test_the_floor_is_each_rows_own(self):
        quiet, loud = padded(signals.noise(16000) * 0.001), padded(signals.noise(16000))
        together = self.log_mel(torch.cat([quiet, loud]))
        torch.testing.assert_close(together[0], self.log_mel(quiet)[0], rtol=0, atol=1e-6)

    def test_the_first_band_of_the_bank_is_one_bin(self):
        row = mel.slaney_bank(16000, 400, 80, 0.0, 8000.0)[0]
        self.assertEqual(list(numpy.flatnonzero(row)), [1])
        self.assertAlmostEqual(float(row[1]), 0.02486259, delta=5e-9)

    def test_the_noise_is_the_reference_sequence(self):
        wanted = [0.0682302713, -0.2745366096, -0.0871617198, 0.1303980350]
        numpy.testing.assert_allclose(signals.noise(4), wanted, atol=5e-11)


class SpeakerWindows(unittest.TestCase):
    def setUp(self):
        settings = {
            "hop": 160,
            "partial_frames": 160,
            "partial_step": 77,
            "coverage_percent": 75,
            "raise_to_dbfs": -30,
        }
        self.encoder = torch.jit.script(ge2e.SpeakerEncoder(settings).eval())

    def test_partial_windows_are_those_of_resemblyzer(self):
        for samples, (windows, length) in {
            8000: (1, 25600),
            25600: (1, 25600),
            30000: (1, 30000),
            40000: (2, 40000),
            48000: (3, 50240),
            64000: (4, 64000),
            96000: (7, 99520),
            160000: (12, 161120),
        }.items():
            starts = self.encoder.starts(samples)
            self.assertEqual(starts, list(range(0, 77 * windows, 77)), samples)
            self.assertEqual(max(samples, (starts[-1] + 160) * 160), length, samples)

    def test_an_embedding_has_length_one_and_ignores_how_quiet_a_quiet_clip_is(self):
        wave = torch.from_numpy(signals.voice_like(40000, 16000)).float().unsqueeze(0) * 0.01
        one, other = self.encoder(wave), self.encoder(wave * 0.25)
        self.assertAlmostEqual(float(one.norm()), 1.0, delta=1e-5)
        torch.testing.assert_close(one, other, rtol=0, atol=1e-5)

    def test_silence_gives_finite_numbers_and_an_empty_clip_is_refused(self):
        self.assertTrue(torch.isfinite(self.encoder(torch.zeros(1, 16000))).all())
        with self.assertRaisesRegex(torch.jit.Error, r"wav must be \[1, n\]"):
            self.encoder(torch.zeros(1, 0))


class VocoderMel(unittest.TestCase):
    def setUp(self):
        self.vocoder = torch.jit.script(hifigan.Vocoder().eval())

    def test_the_mel_has_one_frame_every_256_samples_and_the_vocoder_gives_them_back(self):
        for samples in (640, 2559, 2560, 22050):
            frames = self.vocoder.mel(torch.zeros(2, samples))
            self.assertEqual(tuple(frames.shape), (2, 80, samples // 256))
        self.assertEqual(tuple(self.vocoder(self.vocoder.mel(torch.zeros(2, 2560))).shape), (2, 2560))

    def test_silence_is_the_logarithm_of_the_clamp(self):
        frames = self.vocoder.mel(torch.zeros(1, 4096))
        torch.testing.assert_close(frames, torch.full_like(frames, math.log(1e-5)))

    def test_a_tone_gives_the_value_of_its_definition(self):
        samples = 0.5 * numpy.sin(2 * math.pi * 1000 * numpy.arange(8192) / 22050)
        got = self.vocoder.mel(torch.from_numpy(samples).float().unsqueeze(0))[0, :, 15].numpy()
        # The definition, written down again in double precision for frame 15, which no padding
        # reaches.
        start = 15 * 256 - 384
        window = 0.5 - 0.5 * numpy.cos(2 * math.pi * numpy.arange(1024) / 1024)
        spectrum = numpy.fft.rfft(samples[start : start + 1024] * window)
        magnitude = numpy.sqrt(numpy.abs(spectrum) ** 2 + 1e-9)
        bank = mel.slaney_bank(22050, 1024, 80, 0.0, 8000.0).astype(float)
        numpy.testing.assert_allclose(got, numpy.log(numpy.maximum(bank @ magnitude, 1e-5)), atol=4e-3)


if __name__ == "__main__":
    support.main()
