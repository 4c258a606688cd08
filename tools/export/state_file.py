"""A file of weights -> {name: tensor}: what torch.save() wrote (zip, or the older pickle), or
safetensors.

Pickles are read with weights_only: a file from the network runs no code here.
"""

import pathlib
import sys

import torch

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "convert"))
import safetensors_file  # noqa: E402


def read(path):
    """-> tensors by name, floating-point ones as float32."""
    path = pathlib.Path(path)
    state = safetensors_file.read(path) if path.suffix == ".safetensors" else _pickle(path)
    return {name: value.float() if value.is_floating_point() else value for name, value in state.items()}


def _pickle(path):
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises half a dozen kinds for what is no file of its own
        raise ValueError(f"{path}: not a file of weights that torch reads without running code: {error}")
    if not isinstance(state, dict) or not all(isinstance(v, torch.Tensor) for v in state.values()):
        raise ValueError(f"{path}: expected a map of names to tensors (a state dict)")
    return state
