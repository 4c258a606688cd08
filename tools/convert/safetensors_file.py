"""The safetensors format, as far as tensors of torch go: 8 bytes of length, a JSON header, the bytes.
https://huggingface.co/docs/safetensors; trainer/safetensors.h reads and writes the same in C++."""

import json
import math

import torch

TYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
HEADER_BYTES_MAX = 100 << 20
NAMES = {type: name for name, type in TYPES.items()}


def to_bytes(tensor):
    plain = tensor.detach().cpu().contiguous()
    if plain.dtype == torch.bfloat16:  # numpy has none
        plain = plain.view(torch.int16)
    return plain.numpy().tobytes()


def write(path, tensors, metadata=None):
    """Tensors by name, in the order of the names."""
    header = {"__metadata__": metadata} if metadata else {}
    offset = 0
    for name in sorted(tensors):
        tensor = tensors[name]
        if tensor.dtype not in NAMES:
            raise ValueError(f"tensor {name} is {tensor.dtype}, which safetensors does not have")
        size = tensor.numel() * tensor.element_size()
        header[name] = {
            "dtype": NAMES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [offset, offset + size],
        }
        offset += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name in sorted(tensors):
            file.write(to_bytes(tensors[name]))


def read(path):
    """Tensors by name. What is no whole file of this kind is a ValueError that names it."""
    with open(path, "rb") as file:
        data = file.read()
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or length > min(HEADER_BYTES_MAX, len(data) - 8):
        raise ValueError(f"{path}: not a whole safetensors file")
    header = json.loads(data[8 : 8 + length])
    body = memoryview(data)[8 + length :]
    tensors = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        if entry["dtype"] not in TYPES:
            raise ValueError(f"{path}: {name} has the type {entry['dtype']}, which is not read here")
        kind = TYPES[entry["dtype"]]
        begin, end = entry["data_offsets"]
        count = math.prod(entry["shape"])
        size = count * torch.empty(0, dtype=kind).element_size()
        if end - begin != size or not 0 <= begin <= end <= len(body):
            raise ValueError(f"{path}: {name} lies outside the file, or has another length than its shape")
        flat = torch.frombuffer(bytearray(body[begin:end]), dtype=kind) if count else torch.empty(0, dtype=kind)
        tensors[name] = flat.reshape(entry["shape"])
    return tensors
