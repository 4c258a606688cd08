"""A file of weights -> {name: tensor}: what torch.save() wrote (zip, or the older pickle), or
safetensors.

Pickles are read with weights_only: a file from the network runs no code here.
"""

import json
import pathlib

import torch

HEADER_BYTES_MAX = 100 << 20
TYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
}


def read(path):
    """-> tensors by name, floating-point ones as float32."""
    path = pathlib.Path(path)
    state = _safetensors(path) if path.suffix == ".safetensors" else _pickle(path)
    return {name: value.float() if value.is_floating_point() else value for name, value in state.items()}


def _pickle(path):
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises half a dozen kinds for what is no file of its own
        raise ValueError(f"{path}: not a file of weights that torch reads without running code: {error}")
    if not isinstance(state, dict) or not all(isinstance(v, torch.Tensor) for v in state.values()):
        raise ValueError(f"{path}: expected a map of names to tensors (a state dict)")
    return state


def _safetensors(path):
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or length > min(HEADER_BYTES_MAX, len(data) - 8):
        raise ValueError(f"{path}: not a whole safetensors file")
    header = json.loads(data[8 : 8 + length])
    body = memoryview(data)[8 + length :]
    state = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        if entry["dtype"] not in TYPES:
            raise ValueError(f"{path}: {name} has the type {entry['dtype']}, which no weights here have")
        begin, end = entry["data_offsets"]
        kind, count = TYPES[entry["dtype"]], 1
        for size in entry["shape"]:
            count *= size
        if end - begin != count * torch.empty(0, dtype=kind).element_size() or not 0 <= begin <= end <= len(body):
            raise ValueError(f"{path}: {name} lies outside the file, or has another length than its shape")
        values = torch.frombuffer(bytearray(body[begin:end]), dtype=kind) if count else torch.empty(0, dtype=kind)
        state[name] = values.reshape(entry["shape"])
    return state
