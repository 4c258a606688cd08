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
    """Files of our own making: a stranger's is for readers that trust less."""
    with open(path, "rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        data = file.read()
    tensors = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        begin, end = entry["data_offsets"]
        flat = torch.empty(math.prod(entry["shape"]), dtype=TYPES[entry["dtype"]])
        if end > begin:
            flat = torch.frombuffer(bytearray(data[begin:end]), dtype=flat.dtype)
        tensors[name] = flat.reshape(entry["shape"])
    return tensors
