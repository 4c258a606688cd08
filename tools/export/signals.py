"""Deterministic input for self-tests: the same samples on every machine, from integer arithmetic
and a few sines.
"""

import math

import numpy

LCG_MULTIPLIER = 6364136223846793005
LCG_INCREMENT = 1442695040888963407
LCG_SEED = 42


def noise(count):
    """`count` values in [-0.5, 0.5) of a 64-bit linear congruential generator, top 24 bits."""
    state, values = LCG_SEED, numpy.empty(count)
    for index in range(count):
        state = (state * LCG_MULTIPLIER + LCG_INCREMENT) % (1 << 64)
        values[index] = (state >> 40) / (1 << 24) - 0.5
    return values


def two_tones(count, sample_rate):
    time = numpy.arange(count) / sample_rate
    return 0.5 * numpy.sin(2 * math.pi * 440 * time) + 0.25 * numpy.sin(2 * math.pi * 1234.5 * time)


def voice_like(count, sample_rate):
    """A buzz at a gliding 120 Hz under three resonances that move and pause four times a second,
    and a little noise.
    """
    time = numpy.arange(count) / sample_rate
    pitch = 2 * math.pi * numpy.cumsum(120 + 25 * numpy.sin(2 * math.pi * 0.7 * time)) / sample_rate
    first = 500 + 250 * numpy.sin(2 * math.pi * 2.1 * time)
    second = 1500 + 600 * numpy.sin(2 * math.pi * 1.3 * time + 1.0)
    total = numpy.zeros(count)
    for harmonic in range(1, 40):
        frequency = harmonic * 120.0
        gain = sum(
            strength / (1 + ((frequency - centre) / width) ** 2)
            for centre, width, strength in ((first, 90, 1.0), (second, 140, 0.5), (2500, 200, 0.25))
        )
        total += gain * numpy.sin(harmonic * pitch)
    syllables = numpy.clip(1.5 * numpy.sin(2 * math.pi * 2 * time), 0, 1)
    return 0.08 * total * syllables + 0.002 * noise(count)
