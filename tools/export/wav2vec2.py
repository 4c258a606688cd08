"""The encoders of the wav2vec 2.0 family (HuBERT, WavLM) as TorchScript: interface teacher-2.

    wave -> seven convolutions (GELU) -> layer norm, projection -> + positional convolution
         -> blocks, post-norm (base models) or pre-norm with one more norm at the end (large models)

Two styles of the front end: "group" (group norm with one channel a group after the first
convolution, none after the others) and "layer" (layer norm over the channels after each). Modules
have the names of the published checkpoints, so that a state dict loads with every key accounted
for. What depends on training (dropout, masking, layer drop) is not here.

Memory grows with the length of the utterance, not with its square: attention is done for one head
and QUERY_ROWS rows at a time.
"""

import torch
from torch import Tensor, nn

import state_file

EPSILON = 1e-5
QUERY_ROWS = 256
# Of training only: what masked frames are replaced by.
UNUSED = ("masked_spec_embed",)


class Convolution(nn.Module):
    def __init__(self, before: int, after: int, kernel: int, stride: int, bias: bool, norm: str):
        super().__init__()
        self.conv = nn.Conv1d(before, after, kernel, stride, bias=bias)
        self.over_channels = norm == "layer"
        if norm == "layer":
            self.layer_norm = nn.LayerNorm(after)
        elif norm == "group":
            self.layer_norm = nn.GroupNorm(after, after)
        else:
            self.layer_norm = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)  # [1, channels, time]
        if self.over_channels:
            x = self.layer_norm(x.transpose(1, 2)).transpose(1, 2)
        else:
            x = self.layer_norm(x)
        return nn.functional.gelu(x)


class FrontEnd(nn.Module):
    def __init__(self, channels: list, settings: dict, bias: bool):
        super().__init__()
        self.conv_layers = nn.ModuleList()
        for index, after in enumerate(channels):
            norm = settings["conv_norm"]
            if norm == "group" and index > 0:
                norm = "none"
            kernel, stride = settings["conv_kernels"][index], settings["conv_strides"][index]
            before = channels[index - 1] if index else 1
            self.conv_layers.append(Convolution(before, after, kernel, stride, bias, norm))

    def forward(self, wav: Tensor) -> Tensor:
        x = wav.unsqueeze(1)
        for layer in self.conv_layers:
            x = layer(x)
        return x.transpose(1, 2)  # [1, frames, channels]


class Projection(nn.Module):
    def __init__(self, channels: int, width: int):
        super().__init__()
        self.layer_norm = nn.LayerNorm(channels, eps=EPSILON)
        self.projection = nn.Linear(channels, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.projection(self.layer_norm(x))


class Positions(nn.Module):
    """The positional convolution; an even kernel leaves one frame too many, the last one is
    dropped.
    """

    def __init__(self, width: int, kernel: int, groups: int):
        super().__init__()
        self.conv = nn.Conv1d(width, width, kernel, padding=kernel // 2, groups=groups)

    def forward(self, x: Tensor) -> Tensor:
        moved = self.conv(x.transpose(1, 2))[:, :, : x.size(1)]
        return nn.functional.gelu(moved).transpose(1, 2)


class Attention(nn.Module):
    """Plain attention; `bias` is not looked at."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.query_rows = QUERY_ROWS
        self.scale = (width // heads) ** -0.5
        self.k_proj = nn.Linear(width, width)
        self.v_proj = nn.Linear(width, width)
        self.q_proj = nn.Linear(width, width)
        self.out_proj = nn.Linear(width, width)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        time, width = x.size(1), x.size(2)
        shape = [time, self.heads, width // self.heads]
        query = (self.q_proj(x) * self.scale).view(shape).transpose(0, 1).contiguous()
        key = self.k_proj(x).view(shape).permute(1, 2, 0).contiguous()  # [heads, head, time]
        value = self.v_proj(x).view(shape).transpose(0, 1).contiguous()
        mixed = torch.empty_like(query)  # [heads, time, head]
        for head in range(self.heads):
            for start in range(0, time, self.query_rows):
                end = min(start + self.query_rows, time)
                weights = torch.softmax(torch.mm(query[head, start:end], key[head]), dim=1)
                mixed[head, start:end] = torch.mm(weights, value[head])
        return self.out_proj(mixed.transpose(0, 1).reshape(1, time, width))


class FeedForward(nn.Module):
    def __init__(self, width: int, inner: int):
        super().__init__()
        self.intermediate_dense = nn.Linear(width, inner)
        self.output_dense = nn.Linear(inner, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.output_dense(nn.functional.gelu(self.intermediate_dense(x)))


class Block(nn.Module):
    def __init__(self, attention: nn.Module, width: int, inner: int, pre_norm: bool):
        super().__init__()
        self.pre_norm = pre_norm
        self.attention = attention
        self.layer_norm = nn.LayerNorm(width, eps=EPSILON)
        self.feed_forward = FeedForward(width, inner)
        self.final_layer_norm = nn.LayerNorm(width, eps=EPSILON)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        if self.pre_norm:
            x = x + self.attention(self.layer_norm(x), bias)
            return x + self.feed_forward(self.final_layer_norm(x))
        x = self.layer_norm(x + self.attention(x, bias))
        return self.final_layer_norm(x + self.feed_forward(x))


class NoBias(nn.Module):
    """What an encoder without relative positions has in place of their bias."""

    def forward(self, frames: int) -> Tensor:
        return torch.zeros([0])


class Encoder(nn.Module):
    def __init__(self, blocks: list, settings: dict):
        super().__init__()
        width = settings["width"]
        self.pos_conv_embed = Positions(width, settings["position_kernel"], settings["position_groups"])
        self.layer_norm = nn.LayerNorm(width, eps=EPSILON)
        self.layers = nn.ModuleList(blocks)


class Teacher(nn.Module):
    """forward(wav [1, n], layer) -> [1, frames, width]; layer 0 is the input of the first block,
    layer k what block k gives, the last layer the encoder's output.
    """

    def __init__(self, channels: list, conv_bias: bool, blocks: list, relative: nn.Module, settings: dict):
        super().__init__()
        width = settings["width"]
        self.pre_norm: bool = settings["norm"] == "pre"
        self.count: int = len(blocks)
        self.feature_extractor = FrontEnd(channels, settings, conv_bias)
        self.feature_projection = Projection(channels[-1], width)
        self.encoder = Encoder(blocks, settings)
        self.relative = relative
        least = 1
        for kernel, stride in zip(reversed(settings["conv_kernels"]), reversed(settings["conv_strides"])):
            least = (least - 1) * stride + kernel
        self.least: int = least

    def taken(self, x: Tensor, norm: int) -> Tensor:
        if norm != 0:
            return nn.functional.layer_norm(x, [x.size(2)], None, None, 1e-5)
        return x

    @torch.jit.export
    def average(self, wav: Tensor, first: int, last: int, norm: int) -> Tensor:
        """The mean of layers first .. last; norm 1: of each after a layer norm without weights."""
        assert wav.dim() == 2 and wav.size(0) == 1, "wav must be [1, n]: one utterance, no padding"
        assert wav.size(1) >= self.least, "wav is shorter than one frame"
        assert 0 <= first and first <= last and last <= self.count, "layers are from 0 to the number of blocks"
        x = self.feature_projection(self.feature_extractor(wav))
        x = x + self.encoder.pos_conv_embed(x)
        if not self.pre_norm:
            x = self.encoder.layer_norm(x)
        bias = self.relative(x.size(1))
        total = torch.zeros_like(x)
        # With no block at all the input is the output: normed in a pre-norm model.
        if first == 0:
            total = total + self.taken(x, norm)
        done = 0
        for block in self.encoder.layers:
            if done < last:
                x = block(x, bias)
                done += 1
                if done == self.count and self.pre_norm:
                    x = self.encoder.layer_norm(x)
                if done >= first:
                    total = total + self.taken(x, norm)
        return total / float(last - first + 1)

    def forward(self, wav: Tensor, layer: int) -> Tensor:
        return self.average(wav, layer, layer, 0)


def folded(state, prefix):
    """A published state dict -> the names of this file: without the prefix of models with a head
    (and without their heads), the weight norm of the positional convolution (over dim 2) folded in.
    """
    if any(name.startswith(prefix) for name in state):
        state = {name[len(prefix) :]: value for name, value in state.items() if name.startswith(prefix)}
    state = {name: value for name, value in state.items() if name not in UNUSED}
    conv = "encoder.pos_conv_embed.conv."
    for length, direction in (
        ("weight_g", "weight_v"),
        ("parametrizations.weight.original0", "parametrizations.weight.original1"),
    ):
        if conv + direction in state:
            if conv + length not in state:
                raise ValueError(f"the weights have {conv + direction} and no {conv + length}")
            g, v = state.pop(conv + length), state.pop(conv + direction)
            state[conv + "weight"] = v * (g / v.norm(dim=(0, 1), keepdim=True))
    return state


def channels_of(state):
    """Of the convolutions, from the shapes of their weights."""
    channels = []
    while (name := f"feature_extractor.conv_layers.{len(channels)}.conv.weight") in state:
        channels.append(state[name].size(0))
    if not channels:
        raise ValueError("the weights have no feature_extractor.conv_layers.0.conv.weight")
    return channels


def check(settings, channels):
    if not len(channels) == len(settings["conv_kernels"]) == len(settings["conv_strides"]):
        raise ValueError(f"the weights have {len(channels)} convolutions, the settings another number")
    if settings["norm"] not in ("pre", "post") or settings["conv_norm"] not in ("group", "layer"):
        raise ValueError("settings: norm is pre or post, conv_norm is group or layer")
    if settings["width"] % settings["heads"] != 0:
        raise ValueError("settings: width must be a multiple of heads")


def built(state, settings, attention, relative=None):
    """`state` is folded; `attention()` makes the attention of one block. Every key must find its
    place, and every place its key.
    """
    channels = channels_of(state)
    check(settings, channels)
    blocks = [
        Block(attention(), settings["width"], settings["feed_forward"], settings["norm"] == "pre")
        for _ in range(settings["encoder_layers"])
    ]
    conv_bias = "feature_extractor.conv_layers.0.conv.bias" in state
    module = Teacher(channels, conv_bias, blocks, relative or NoBias(), settings)
    own = module.state_dict()
    problems = (
        [f"no {name}" for name in sorted(own.keys() - state.keys())]
        + [f"{name} has no place" for name in sorted(state.keys() - own.keys())]
        + [
            f"{name} is {list(state[name].shape)}, expected {list(own[name].shape)}"
            for name in sorted(own.keys() & state.keys())
            if state[name].shape != own[name].shape
        ]
    )
    if problems:
        raise ValueError(f"the weights do not fit the settings: {'; '.join(problems[:5])} ({len(problems)} in all)")
    module.load_state_dict(state)
    return module.eval()


def read(path, prefix):
    return folded(state_file.read(path), prefix)
