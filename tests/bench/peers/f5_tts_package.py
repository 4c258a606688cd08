"""The model classes of the f5-tts package (DiT, UNetT), without the rest of what it installs.

load(FOLDER) takes the folder in which f5_tts/ lies: an unpacked wheel (scripts/bootstrap puts one
below .deps/peers) or the site-packages of an environment. Its models need torch and
x-transformers; the package itself asks for some thirty more, for training, its interface and its
front ends. What is not installed gets a stand-in:

  x_transformers        rotary positions (adjacent pairs of channels) and RMSNorm, written here
                        after its documentation
  torch before 2.0      F.scaled_dot_product_attention, as its documentation gives it
  torch before 2.4      F.rms_norm, too
  torchaudio, librosa,  nothing: mels and pinyin are not asked for
  rjieba, pypinyin
  scipy                 nothing: torchdiffeq asks for it, for a solver that is not used

f5_tts/model/__init__.py is left out: it imports the trainer. The norm of queries and keys is always
F.rms_norm: the package asks for torch 2.4 by the first three characters of the version, takes 2.13
for 2.1, and would compute a float64's mean square in float32. Everything else is the package's own
code.
"""
import importlib
import math
import os
import sys
import types
import warnings

import torch
import torch.nn.functional as F
from torch import nn

VERSION = "f5-tts 1.1.22"


class RotaryEmbedding(nn.Module):
    def __init__(self, dim):
        super().__init__()
        inv_freq = 1.0 / (10000 ** (torch.arange(0, dim, 2).float() / dim))
        self.register_buffer("inv_freq", inv_freq)  # in every checkpoint

    def forward_from_seq_len(self, length):
        positions = torch.arange(length, device=self.inv_freq.device).type_as(self.inv_freq)
        angles = positions[:, None] * self.inv_freq[None]  # (N, d/2)
        return angles.repeat_interleave(2, dim=1), 1.0


def apply_rotary_pos_emb(x, angles, scale=1):
    even, odd = x[..., 0::2], x[..., 1::2]
    turned = torch.stack((-odd, even), dim=-1).flatten(-2)
    return (x * angles.cos() + turned * angles.sin()) * scale


class RMSNorm(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.scale = dim**0.5
        self.g = nn.Parameter(torch.ones(dim))

    def forward(self, x):
        return F.normalize(x, dim=-1) * self.scale * self.g


def attention(query, key, value, attn_mask=None, dropout_p=0.0, is_causal=False):
    assert dropout_p == 0 and not is_causal
    scores = query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1])
    if attn_mask is not None:
        scores = scores.masked_fill(~attn_mask, float("-inf"))
    return scores.softmax(-1) @ value


def rms_norm(x, normalized_shape, weight, eps):
    assert tuple(normalized_shape) == x.shape[-1:]
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps) * weight


def stand_in(name, **content):
    """Unless the real one is there."""
    try:
        importlib.import_module(name)
    except ImportError:
        module = types.ModuleType(name)
        module.__dict__.update(content)
        sys.modules[name] = module


def package_without_its_init(name, folder):
    module = types.ModuleType(name)
    module.__path__ = [folder]
    sys.modules[name] = module


def load(folder):
    """(DiT, UNetT)"""
    root = os.path.join(os.path.abspath(folder), "f5_tts")
    if not os.path.isfile(os.path.join(root, "model", "backbones", "dit.py")):
        raise FileNotFoundError(f"{folder} holds no f5_tts/: unpack the wheel of {VERSION} there")
    if not hasattr(F, "scaled_dot_product_attention"):
        F.scaled_dot_product_attention = attention
    if not hasattr(F, "rms_norm"):
        F.rms_norm = rms_norm
    stand_in("x_transformers", RMSNorm=RMSNorm)
    stand_in(
        "x_transformers.x_transformers",
        RotaryEmbedding=RotaryEmbedding,
        apply_rotary_pos_emb=apply_rotary_pos_emb,
    )
    stand_in("torchaudio")
    stand_in("librosa")
    stand_in("librosa.filters", mel=None)
    stand_in("rjieba")
    stand_in("pypinyin", lazy_pinyin=None, Style=None)
    for name in ("f5_tts", "f5_tts.model", "f5_tts.model.backbones"):
        package_without_its_init(name, os.path.join(root, *name.split(".")[1:]))
    warnings.filterwarnings("ignore", message="attn_mask_enabled=True")
    dit = importlib.import_module("f5_tts.model.backbones.dit")
    unett = importlib.import_module("f5_tts.model.backbones.unett")
    norm = sys.modules["f5_tts.model.modules"].RMSNorm
    norm.forward = lambda self, x: F.rms_norm(x, x.shape[-1:], self.weight, self.eps)
    return dit.DiT, unett.UNetT


def sampler():
    """The package's class CFM, whose sample() integrates with torchdiffeq; load() comes first."""
    stand_in("scipy")
    stand_in("scipy.integrate", solve_ivp=None)
    return importlib.import_module("f5_tts.model.cfm").CFM


def pruned_grid(steps):
    """The package's own times, before sway; load() comes first."""
    utils = sys.modules["f5_tts.model.utils"]
    return utils.get_epss_timesteps(steps, device="cpu", dtype=torch.float64).tolist()
