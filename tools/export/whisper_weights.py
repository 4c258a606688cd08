"""From CTranslate2 variables to the modules of whisper.py, and from the wheels' vocabulary files
to token bytes.
"""

import json

import torch

import ct2_file
import whisper


class _Weights:
    """Hands out variables as float32 tensors and remembers which were used: a left-over means a
    wrong model.
    """

    def __init__(self, variables, name):
        self.variables = variables
        self.name = name
        self.used = set()

    def tensor(self, key, shape):
        if key not in self.variables:
            raise ValueError(f"{self.name}: variable {key} is missing: is this a Whisper model?")
        array = self.variables[key]
        if tuple(array.shape) != tuple(shape):
            raise ValueError(
                f"{self.name}: {key} has shape {tuple(array.shape)}, expected {tuple(shape)}"
            )
        self.used.add(key)
        return torch.from_numpy(array.astype("float32"))

    def into(self, parameter, key):
        parameter.data.copy_(self.tensor(key, parameter.shape))

    def scalar(self, key):
        if key not in self.variables:
            raise ValueError(f"{self.name}: variable {key} is missing: is this a Whisper model?")
        return int(self.variables[key].reshape(()))

    def linear(self, module, key):
        self.into(module.weight, key + "/weight")
        self.into(module.bias, key + "/bias")

    def norm(self, module, key):
        self.into(module.weight, key + "/gamma")
        self.into(module.bias, key + "/beta")

    def check_all_used(self, prefix):
        rest = [
            key
            for key in self.variables
            if key.startswith(prefix)
            and key not in self.used
            and self.variables[key].ndim > 0
            and not key.endswith(("alignment_heads", "projection/weight"))
        ]
        if rest:
            raise ValueError(
                f"{self.name}: weights that nothing uses: {', '.join(sorted(rest)[:5])}"
            )


def _scale_query(module, width, head_dim):
    """Puts head_dim ** -0.5 into the query rows (an exact power of two for a head of 64)."""
    module.weight.data[:width] *= head_dim**-0.5
    module.bias.data[:width] *= head_dim**-0.5


def _dims(weights):
    count = {
        side: len(
            {key.split("/")[1] for key in weights.variables if key.startswith(f"{side}/layer_")}
            - {"layer_norm"}
        )
        for side in ("encoder", "decoder")
    }
    embedding = weights.variables["decoder/embeddings/weight"].shape
    return {
        "vocabulary": embedding[0],
        "width": embedding[1],
        "heads": weights.scalar("encoder/num_heads"),
        "encoder_layers": count["encoder"],
        "decoder_layers": count["decoder"],
        "positions": weights.variables["decoder/position_encodings/encodings"].shape[0],
        "bands": weights.variables["encoder/conv1/weight"].shape[1],
    }


def _fill_encoder(encoder, weights, dims):
    weights.linear(encoder.conv1, "encoder/conv1")
    weights.linear(encoder.conv2, "encoder/conv2")
    weights.into(encoder.positions, "encoder/position_encodings/encodings")
    for index, block in enumerate(encoder.blocks):
        key = f"encoder/layer_{index}/"
        weights.norm(block.attention_norm, key + "self_attention/layer_norm")
        weights.linear(block.qkv, key + "self_attention/linear_0")
        weights.linear(block.out, key + "self_attention/linear_1")
        weights.norm(block.mlp_norm, key + "ffn/layer_norm")
        weights.linear(block.up, key + "ffn/linear_0")
        weights.linear(block.down, key + "ffn/linear_1")
        _scale_query(block.qkv, dims["width"], dims["width"] // dims["heads"])
    weights.norm(encoder.norm, "encoder/layer_norm")
    weights.check_all_used("encoder/")


def _fill_decoder(decoder, weights, dims):
    weights.into(decoder.embedding, "decoder/embeddings/weight")
    weights.into(decoder.positions, "decoder/position_encodings/encodings")
    head_dim = dims["width"] // dims["heads"]
    for index, block in enumerate(decoder.blocks):
        key = f"decoder/layer_{index}/"
        weights.norm(block.self_norm, key + "self_attention/layer_norm")
        weights.linear(block.qkv, key + "self_attention/linear_0")
        weights.linear(block.self_out, key + "self_attention/linear_1")
        weights.norm(block.cross_norm, key + "attention/layer_norm")
        weights.linear(block.cross_query, key + "attention/linear_0")
        weights.linear(block.cross_kv, key + "attention/linear_1")
        weights.linear(block.cross_out, key + "attention/linear_2")
        weights.norm(block.mlp_norm, key + "ffn/layer_norm")
        weights.linear(block.up, key + "ffn/linear_0")
        weights.linear(block.down, key + "ffn/linear_1")
        _scale_query(block.qkv, dims["width"], head_dim)
        _scale_query(block.cross_query, dims["width"], head_dim)
    weights.norm(decoder.norm, "decoder/layer_norm")
    weights.check_all_used("decoder/")


def _open(paths, settings):
    spec, variables = ct2_file.read(paths)
    weights = _Weights(variables, str(paths[0]))
    if spec != "WhisperSpec":
        raise ValueError(f"{paths[0]}: holds a {spec}, not a WhisperSpec")
    dims = _dims(weights)
    for key in ("bands", "width", "encoder_layers"):
        if dims[key] != settings[key]:
            raise ValueError(
                f"{paths[0]}: {key} is {dims[key]}, the catalogue says {settings[key]}"
            )
    return weights, dims


def recognizer(paths, settings):
    weights, dims = _open(paths, settings)
    module = whisper.Recognizer(dims["bands"], settings, dims)
    _fill_encoder(module.encoder, weights, dims)
    _fill_decoder(module.decoder, weights, dims)
    return module


def teacher(paths, settings):
    weights, dims = _open(paths, settings)
    module = whisper.Teacher(dims["bands"], dims)
    _fill_encoder(module.encoder, weights, dims)
    return module


def check_config(path, settings):
    """The suppression lists of the wheel must be those of the catalogue, which are part of the
    model's identity.
    """
    with open(path, encoding="utf-8") as stream:
        config = json.load(stream)
    for ours, theirs in (("suppress", "suppress_ids"), ("suppress_first", "suppress_ids_begin")):
        if config[theirs] != settings[ours]:
            raise ValueError(f"{path}: {theirs} differs from '{ours}' in the catalogue")


def _byte_of_character():
    """The printable stand-ins that GPT-2 vocabularies use for bytes, as {character: byte}."""
    kept = list(range(ord("!"), ord("~") + 1)) + list(range(0xA1, 0xAD)) + list(range(0xAE, 0x100))
    table = {chr(byte): byte for byte in kept}
    extra = 256
    for byte in range(256):
        if byte not in kept:
            table[chr(extra)] = byte
            extra += 1
    return table


def token_bytes(path, eot):
    """-> list of `eot` byte strings: what each text token stands for. A token may hold part of a
    UTF-8 character.
    """
    with open(path, encoding="utf-8") as stream:
        words = json.load(stream)
    if len(words) <= eot or words[eot] != "<|endoftext|>":
        raise ValueError(
            f"{path}: entry {eot} is not <|endoftext|>: wrong vocabulary for this model"
        )
    table = _byte_of_character()
    return [bytes(table[character] for character in word) for word in words[:eot]]
