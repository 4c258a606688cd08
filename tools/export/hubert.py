"""HuBERT (facebook/hubert-*) as a teacher of the interface teacher-2; the network is wav2vec2.py."""

import wav2vec2

PREFIX = "hubert."


def from_state(state, settings):
    """A state dict with the names of the published checkpoints -> the teacher."""

    def attention():
        return wav2vec2.Attention(settings["width"], settings["heads"])

    return wav2vec2.built(wav2vec2.folded(state, PREFIX), settings, attention)


def teacher(paths, settings):
    return from_state(wav2vec2.state_file.read(paths[0]), settings)
