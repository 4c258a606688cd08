"""Mel filter banks. Slaney scale and Slaney area norm: the bank of Whisper, GE2E and HiFi-GAN
alike. HTK scale without area norm: that of Vocos.

Slaney: below 1 kHz the scale is linear (200/3 Hz a mel), above it logarithmic (27 mels a factor of
6.4). Each filter is a triangle between its neighbours' centres with area 1 (weights 2 / (high - low)
at the peak). Computed in double, stored as float32, as librosa does.
"""

import math

import numpy

LINEAR_HZ_PER_MEL = 200.0 / 3
LOG_START_HZ = 1000.0
LOG_START_MEL = LOG_START_HZ / LINEAR_HZ_PER_MEL
LOG_STEP = math.log(6.4) / 27


def hz_to_mel(hz):
    if hz < LOG_START_HZ:
        return hz / LINEAR_HZ_PER_MEL
    return LOG_START_MEL + math.log(hz / LOG_START_HZ) / LOG_STEP


def mel_to_hz(mel):
    if mel < LOG_START_MEL:
        return mel * LINEAR_HZ_PER_MEL
    return LOG_START_HZ * math.exp((mel - LOG_START_MEL) * LOG_STEP)


def slaney_bank(sample_rate, n_fft, bands, low_hz, high_hz):
    """-> float32 array (bands, n_fft // 2 + 1)."""
    bins = numpy.linspace(0.0, sample_rate / 2, n_fft // 2 + 1)
    mels = numpy.linspace(hz_to_mel(low_hz), hz_to_mel(high_hz), bands + 2)
    edges = numpy.array([mel_to_hz(mel) for mel in mels])
    rising = (bins[None, :] - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - bins[None, :]) / (edges[2:] - edges[1:-1])[:, None]
    triangles = numpy.maximum(0.0, numpy.minimum(rising, falling))
    return (triangles * (2.0 / (edges[2:] - edges[:-2]))[:, None]).astype(numpy.float32)


def htk_bank(sample_rate, n_fft, bands, low_hz, high_hz):
    """-> float32 array (bands, n_fft // 2 + 1); m = 2595 log10(1 + f / 700), triangles of height
    1, as torchaudio makes them by default.
    """
    bins = numpy.linspace(0.0, sample_rate / 2, n_fft // 2 + 1)
    low, high = (2595.0 * math.log10(1.0 + hz / 700.0) for hz in (low_hz, high_hz))
    edges = 700.0 * (10.0 ** (numpy.linspace(low, high, bands + 2) / 2595.0) - 1.0)
    rising = (bins[None, :] - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - bins[None, :]) / (edges[2:] - edges[1:-1])[:, None]
    return numpy.maximum(0.0, numpy.minimum(rising, falling)).astype(numpy.float32)
