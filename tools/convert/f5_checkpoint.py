#!/usr/bin/env python3
"""A checkpoint of F5-TTS or A-DMA (.pt) as safetensors, for `strata-trainer weights`.

  tools/convert/f5_checkpoint.py model_last.pt OUTPUT.safetensors [--weights model]

A .pt file of the F5-TTS trainer holds `ema_model_state_dict` (the averaged weights, which are taken
unless --weights says `model`), `model_state_dict`, the state of optimizer and schedule, and
`update`. Names and values of the weights stay as they are; `step` becomes `update` where the
model's own weights are taken. What is left out is printed. A file that holds tensors alone is taken
as it is.

The file is read here and not by torch.load, so that no code in it is run and only the weights that
are taken are held in memory. (weights_only=True of Debian's torch, 1.13, cannot read the numbers of
an optimizer, and without it that torch.load takes no unpickler but its own.) Debian's python3-torch
suffices.
"""

import argparse
import collections
import dataclasses
import os
import pickle
import sys
import zipfile

import safetensors_file
import torch

STATES = {"ema": "ema_model_state_dict", "model": "model_state_dict"}
STORAGES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}


@dataclasses.dataclass
class Stored:
    """A tensor that still lies in the file: a record of so many elements, and a view of them."""

    dtype: torch.dtype
    record: str
    count: int
    offset: int = 0
    size: tuple = ()
    stride: tuple = ()

    def load(self, archive):
        data = bytearray(archive.read(self.record))
        width = torch.empty((), dtype=self.dtype).element_size()
        if len(data) != self.count * width:
            raise ValueError(f"{self.record} has {len(data)} bytes, not {self.count * width}")
        flat = torch.frombuffer(data, dtype=self.dtype) if data else torch.empty(0, dtype=self.dtype)
        return torch.as_strided(flat, self.size, self.stride, self.offset)  # inside, or an error


def rebuild_tensor(storage, offset, size, stride, *_):
    return dataclasses.replace(storage, offset=offset, size=tuple(size), stride=tuple(stride))


def rebuild_parameter(data, *_):
    return data


class Unpickler(pickle.Unpickler):
    """torch.save's zip files, without what is not a plain value or a tensor."""

    HARMLESS = {
        ("collections", "OrderedDict"): collections.OrderedDict,
        ("torch", "Size"): tuple,
        ("torch._utils", "_rebuild_parameter"): rebuild_parameter,
        ("torch._utils", "_rebuild_tensor_v2"): rebuild_tensor,
        **{("torch", name): dtype for name, dtype in STORAGES.items()},
    }

    def __init__(self, archive):
        pickles = [name for name in archive.namelist() if name.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise ValueError("it is no file of torch.save")
        self.root = pickles[0].removesuffix("data.pkl")
        super().__init__(archive.open(pickles[0]))

    def find_class(self, module, name):
        if (module, name) not in self.HARMLESS:
            raise pickle.UnpicklingError(f"it names {module}.{name}")
        return self.HARMLESS[module, name]

    def persistent_load(self, saved):
        kind, dtype, key, _, count = saved
        if kind != "storage":
            raise pickle.UnpicklingError(f"it refers to a {kind}")
        return Stored(dtype, f"{self.root}data/{key}", count)


def pick(checkpoint, which):
    """(stored tensors by name, names of what is left out)"""
    if not isinstance(checkpoint, dict):
        sys.exit(f"f5_checkpoint: the file holds a {type(checkpoint).__name__}, not a map")
    if not any(state in checkpoint for state in STATES.values()):
        return dict(checkpoint), []
    state = STATES[which]
    if state not in checkpoint:
        sys.exit(f"f5_checkpoint: no {state} among {', '.join(map(str, checkpoint))}")
    return dict(checkpoint[state]), [str(name) for name in checkpoint if name != state]


def convert(archive, which):
    """(tensors by name, names of what is left out)"""
    checkpoint = Unpickler(archive).load()
    stored, left_out = pick(checkpoint, which)
    strangers = [str(name) for name, value in stored.items() if not isinstance(value, Stored)]
    if strangers:
        sys.exit(f"f5_checkpoint: these are no tensors: {', '.join(strangers)}")
    tensors = {name: value.load(archive) for name, value in stored.items()}
    if which == "model" and "update" in left_out:
        tensors["step"] = torch.tensor(int(checkpoint["update"]))
    return tensors, left_out


def main():
    parser = argparse.ArgumentParser(description="F5-TTS .pt to safetensors")
    parser.add_argument("checkpoint")
    parser.add_argument("output")
    parser.add_argument("--weights", choices=sorted(STATES), default="ema")
    args = parser.parse_args()
    try:
        with zipfile.ZipFile(args.checkpoint) as archive:
            tensors, left_out = convert(archive, args.weights)
    except Exception as error:  # whatever a broken file makes of a pickle
        sys.exit(f"f5_checkpoint: {args.checkpoint} is no checkpoint of tensors alone: {error}")
    unfinished = args.output + ".new"
    safetensors_file.write(unfinished, tensors, {"format": "pt"})
    os.replace(unfinished, args.output)
    print(f"{len(tensors)} tensors" + (f", left out: {', '.join(left_out)}" if left_out else ""))


if __name__ == "__main__":
    main()
