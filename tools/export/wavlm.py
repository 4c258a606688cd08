"""WavLM (microsoft/wavlm-*) as a teacher of the interface teacher-2; the network is wav2vec2.py,
with a gated bias of relative positions in each block's attention.

The bias of head h between frames i and j is table[bucket(j - i), h] of the first block, times a
gate of block, head and frame i:  a (b c - 1) + 2  with (a, b) = sigmoid of two sums of a projection
of the head's slice of the block's input, and c a weight of the head.
"""

import math

import torch
from torch import Tensor, nn

import wav2vec2

PREFIX = "wavlm."
TABLE = "encoder.layers.0.attention.rel_attn_embed.weight"


class RelativeBias(nn.Module):
    """frames T -> [heads, 2 T - 1]: the bias of the distances j - i = 1 - T .. T - 1."""

    def __init__(self, table: Tensor, distance: int):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros_like(table))  # [buckets, heads]
        self.sided: int = table.size(0) // 2  # buckets of one direction
        self.exact: int = self.sided // 2  # so many distances have one of their own
        self.scale: float = math.log(distance / self.exact)

    def forward(self, frames: int) -> Tensor:
        distances = torch.arange(1 - frames, frames)
        away = distances.abs()
        far = torch.log(away.clamp(min=1).float() / self.exact) / self.scale * (self.sided - self.exact)
        far = (self.exact + far).long().clamp(max=self.sided - 1)
        buckets = torch.where(away < self.exact, away, far) + (distances > 0).long() * self.sided
        return self.weight[buckets].t().contiguous()


class GatedAttention(nn.Module):
    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.query_rows = wav2vec2.QUERY_ROWS
        self.scale = (width // heads) ** -0.5
        self.k_proj = nn.Linear(width, width)
        self.v_proj = nn.Linear(width, width)
        self.q_proj = nn.Linear(width, width)
        self.out_proj = nn.Linear(width, width)
        self.gru_rel_pos_const = nn.Parameter(torch.ones(1, heads, 1, 1))
        self.gru_rel_pos_linear = nn.Linear(width // heads, 8)

    def gate(self, x: Tensor) -> Tensor:
        """x [1, time, width] -> [heads, time]."""
        slices = x.view(x.size(1), self.heads, x.size(2) // self.heads).transpose(0, 1)
        halves = self.gru_rel_pos_linear(slices).view(self.heads, x.size(1), 2, 4).sum(-1)
        gates = torch.sigmoid(halves)
        constant = self.gru_rel_pos_const.view(self.heads, 1)
        return gates[:, :, 0] * (gates[:, :, 1] * constant - 1.0) + 2.0

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        time, width = x.size(1), x.size(2)
        shape = [time, self.heads, width // self.heads]
        gate = self.gate(x)
        query = (self.q_proj(x) * self.scale).view(shape).transpose(0, 1).contiguous()
        key = self.k_proj(x).view(shape).permute(1, 2, 0).contiguous()  # [heads, head, time]
        value = self.v_proj(x).view(shape).transpose(0, 1).contiguous()
        mixed = torch.empty_like(query)  # [heads, time, head]
        for head in range(self.heads):
            # Row s is that of frame time - 1 - s.
            windows = bias[head].unfold(0, time, 1)
            for start in range(0, time, self.query_rows):
                end = min(start + self.query_rows, time)
                rows = windows[time - end : time - start].flip(0)
                scores = torch.mm(query[head, start:end], key[head])
                scores = scores + gate[head, start:end].unsqueeze(1) * rows
                mixed[head, start:end] = torch.mm(torch.softmax(scores, dim=1), value[head])
        return self.out_proj(mixed.transpose(0, 1).reshape(1, time, width))


def from_state(state, settings):
    """A state dict with the names of the published checkpoints -> the teacher."""
    state = wav2vec2.folded(state, PREFIX)
    if TABLE not in state:
        raise ValueError(f"the weights have no {TABLE}: this is no WavLM")
    state["relative.weight"] = state.pop(TABLE)
    if list(state["relative.weight"].shape) != [settings["buckets"], settings["heads"]]:
        raise ValueError(
            f"{TABLE} is {list(state['relative.weight'].shape)}, "
            f"expected {[settings['buckets'], settings['heads']]}"
        )

    def attention():
        return GatedAttention(settings["width"], settings["heads"])

    relative = RelativeBias(state["relative.weight"], settings["distance"])
    return wav2vec2.built(state, settings, attention, relative)


def teacher(paths, settings):
    return from_state(wav2vec2.state_file.read(paths[0]), settings)
