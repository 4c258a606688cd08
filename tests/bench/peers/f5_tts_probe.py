#!/usr/bin/env python3
"""`strata-trainer probe` with the models of the f5-tts package: the same requests, the same report.

  tests/bench/peers/f5_tts_probe.py FOLDER FILE.json                     prints the report
  tests/bench/peers/f5_tts_probe.py FOLDER FILE.json --with PROGRAM      compares it with ours

FOLDER holds f5_tts/ (an unpacked wheel; f5_tts_package.py says what else is needed: Debian's
python3-torch and python3-numpy suffice). PROGRAM is strata-trainer; the exit code is 1 where a
number differs by more than --tolerance.

docs/models.md describes the recipe of parameters and inputs. The package has no alignment heads:
those below are ours, after the description of A-DMA, on the outputs of the package's blocks. It has
one generation of masks, "upstream"; "original" calls it as A-DMA did: no mask in training, and in a
sampled batch a mask for attention alone.
"""
import argparse
import json
import math
import subprocess
import sys

import f5_tts_package
import numpy
import torch
import torch.nn.functional as F
from torch import nn

MEL, NOISE, FEATURES, PROMPT = 1000, 1001, 1002, 1003  # which sequence an input is
TEXTS = [[3, 1, 4, 1, 5, 9, 2, 6], [2, 7, 1, 8, 2]]
FRACTIONS, STARTS, TIMES = [0.75, 0.9], [0.5, 0.25], [0.3, 0.8]
DURATION_MAX = 4096


# ---- the recipe


def sequence(p, shape):
    """2u - 1, u the upper 53 bits of splitmix64(p * 2^32 + i); row-major, float64."""
    x = numpy.arange(math.prod(shape), dtype=numpy.uint64) + numpy.uint64(p << 32)
    x += numpy.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> numpy.uint64(30))) * numpy.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> numpy.uint64(27))) * numpy.uint64(0x94D049BB133111EB)
    x ^= x >> numpy.uint64(31)
    values = 2 * ((x >> numpy.uint64(11)).astype(numpy.float64) * 2.0**-53) - 1
    return torch.from_numpy(values.reshape(shape))


def fill_parameters(model):
    gains = {id(m.weight) for m in model.modules() if isinstance(m, (nn.LayerNorm, nn.GroupNorm))}
    ends = (".g", ".q_norm.weight", ".k_norm.weight")
    for p, (name, parameter) in enumerate(model.named_parameters()):
        values = sequence(p, tuple(parameter.shape))
        if sum(extent != 1 for extent in parameter.shape) > 1:
            values = values * math.sqrt(3 / (parameter.numel() / parameter.shape[0]))
        else:
            values = 0.1 * values + (id(parameter) in gains or name.endswith(ends))
        parameter.data.copy_(values)


def frame_mask(lengths, frames):
    return torch.arange(frames)[None] < torch.tensor(lengths)[:, None]  # (B, frames)


def texts_of(count):
    """(B, 8) ids padded with -1, and their lengths."""
    texts = [TEXTS[b % len(TEXTS)] for b in range(count)]
    ids = torch.full((count, max(map(len, TEXTS))), -1)
    for b, text in enumerate(texts):
        ids[b, : len(text)] = torch.tensor(text)
    return ids, [len(text) for text in texts]


# ---- requests


def take(request, defaults, what):
    unknown = sorted(set(request) - set(defaults))
    if unknown:
        sys.exit(f"f5_tts_probe: {what}: unknown: {', '.join(unknown)}")
    return {**defaults, **request}


def read_request(request):
    if request.get("model") not in ("dit", "unett"):
        sys.exit('f5_tts_probe: "model" is missing: dit or unett')
    dit = request["model"] == "dit"
    defaults = dict(
        model=None, dim=64, depth=4, heads=2, dim_head=32, ff_mult=2 if dit else 4, mel=20,
        vocab=10, text_dim=16 if dit else 20, conv_layers=2 if dit else 0, dropout=0,
        text_mask_padding=False, pe_attn_heads=1, long_skip=False, skip="concat",
        average_upsampling=False, qk_norm=None, masks="original", attention_mask=False, align=None,
        drop="none", dtype="float64", frames=[37, 30], sample=None,
    )  # fmt: skip
    asked = take(request, defaults, "the request")
    asked["text_taps"], asked["speech_taps"], asked["width"], asked["hidden"] = [], [], 24, 32
    if asked["align"]:
        align = take(asked["align"], dict(text=None, speech=None, hidden=32), "align")
        asked["hidden"] = align["hidden"]
        if align["text"]:
            asked["text_taps"] = taps_of(align["text"], dict(layer=0, weight=0.1))
        if align["speech"]:
            asked["width"] = align["speech"].get("width", 24)
            defaults = dict(layer=0, weight=1.0, loss="neg_cosine")
            asked["speech_taps"] = taps_of(align["speech"], defaults)
    if asked["sample"] is not None:
        defaults = dict(
            solver="euler", steps=4, sway=-1, grid="uniform", cfg=2, durations=[37],
            cond_frames=[12],
        )  # fmt: skip
        asked["sample"] = take(asked["sample"], defaults, "sample")
    return asked


def taps_of(value, defaults):
    rest = {k: v for k, v in value.items() if k not in ("more", "width")}
    first = take(rest, defaults, "align")
    more = [take(tap, first, "align: more") for tap in value.get("more") or []]
    return [tap for tap in [first, *more] if tap["layer"] > 0]


# ---- the model


class Head(nn.Module):
    """(B, dim, T) -> (B, ceil(T / stride), width)"""

    def __init__(self, dim, hidden, width, stride):
        super().__init__()
        self.conv1 = nn.Conv1d(dim, hidden, 3, stride=stride, padding=1)
        self.norm1 = nn.GroupNorm(1, hidden)
        self.conv2 = nn.Conv1d(hidden, hidden, 3, padding=1)
        self.norm2 = nn.GroupNorm(1, hidden)
        self.conv3 = nn.Conv1d(hidden, width, 1)

    def forward(self, x):
        x = F.mish(self.norm1(self.conv1(x)))
        x = F.mish(self.norm2(self.conv2(x)))
        return self.conv3(x).transpose(1, 2)


def make_backbone(asked, DiT, UNetT):
    class UnmaskedDiT(DiT):  # its embeddings see no mask, its attention does
        def get_input_embed(self, *args, audio_mask=None, **named):
            return super().get_input_embed(*args, audio_mask=None, **named)

    upstream = asked["masks"] == "upstream"
    sizes = {key: asked[key] for key in ("dim", "depth", "heads", "dim_head", "ff_mult")}
    common = dict(
        **sizes, dropout=0.0, mel_dim=asked["mel"], text_num_embeds=asked["vocab"],
        text_dim=asked["text_dim"], text_mask_padding=asked["text_mask_padding"],
        conv_layers=asked["conv_layers"], pe_attn_head=asked["pe_attn_heads"],
        attn_mask_enabled=asked["attention_mask"] or not upstream, qk_norm=asked["qk_norm"],
    )  # fmt: skip
    if asked["model"] == "unett":
        return UNetT(**common, skip_connect_type=asked["skip"])
    kind = DiT if upstream else UnmaskedDiT
    return kind(
        **common,
        long_skip_connection=asked["long_skip"],
        text_embedding_average_upsampling=asked["average_upsampling"],
    )


def make_model(asked, DiT, UNetT):
    """Parameters in the order of ours: the backbone's, then the text heads', the speech heads'."""
    model = nn.Module()
    model.backbone = make_backbone(asked, DiT, UNetT)
    classes = asked["vocab"] + 2
    for kind, taps, width, stride in (
        ("text", asked["text_taps"], classes, 2),
        ("speech", asked["speech_taps"], asked["width"], 1),
    ):
        for i in range(len(taps)):
            name = f"{kind}_aligner" + (f"_{i + 1}" if i else "")
            model.add_module(name, Head(asked["dim"], asked["hidden"], width, stride))
    model.to(torch.float64 if asked["dtype"] == "float64" else torch.float32)
    fill_parameters(model)
    return model


def watch(backbone):
    """Gets "time", "text", "input", "block1" … at every forward."""
    seen = {}

    def keep(name):
        return lambda module, inputs, output: seen.__setitem__(name, output)

    backbone.time_embed.register_forward_hook(keep("time"))
    backbone.text_embed.register_forward_hook(keep("text"))
    backbone.input_embed.register_forward_hook(keep("input"))
    if hasattr(backbone, "transformer_blocks"):
        for k, block in enumerate(backbone.transformer_blocks):
            block.register_forward_hook(keep(f"block{k + 1}"))
        return seen
    for k, (_, _, _, ff_norm, ff) in enumerate(backbone.layers):
        # A layer of UNetT is no module: its output is the feed-forward's and what that is added to,
        # without the time token in front.
        def keep_residual(module, inputs):
            seen["residual"] = inputs[0]

        def keep_sum(module, inputs, output, k=k):
            seen[f"block{k + 1}"] = (seen.pop("residual") + output)[:, 1:]

        ff_norm.register_forward_pre_hook(keep_residual)
        ff.register_forward_hook(keep_sum)
    return seen


# ---- one training step


def speech_loss(projection, target, valid, kind):
    if kind == "l1":
        loss = (projection - target).abs().mean(2)
    else:
        cosine = F.cosine_similarity(projection, target, dim=2, eps=1e-8)
        loss = -cosine if kind == "neg_cosine" else F.softplus(-cosine)
    return ((loss * valid).sum(1) / valid.sum(1)).mean()


def span_of(frames, b):
    length = int(numpy.float32(FRACTIONS[b % 2]) * numpy.float32(frames))
    start = int(numpy.float32(frames - length) * numpy.float32(STARTS[b % 2]))
    return slice(start, start + length)


def train_step(model, asked):
    """(losses, tensors), after backward."""
    dtype = next(model.parameters()).dtype
    frames = asked["frames"]
    count, longest = len(frames), max(frames)
    valid = frame_mask(frames, longest)  # (B, N)
    x1 = (sequence(MEL, (count, longest, asked["mel"])) * valid[..., None]).to(dtype)
    x0 = (math.sqrt(3) * sequence(NOISE, (count, longest, asked["mel"]))).to(dtype)
    text, text_lengths = texts_of(count)
    span = torch.zeros(count, longest, dtype=torch.bool)
    for b in range(count):
        span[b, span_of(frames[b], b)] = True
    time = torch.tensor([TIMES[b % 2] for b in range(count)], dtype=dtype)
    t = time[:, None, None]
    cond = x1.masked_fill(span[..., None], 0)

    model.train()
    tensors = watch(model.backbone)
    pred = model.backbone(
        x=(1 - t) * x0 + t * x1, cond=cond, text=text, time=time,
        mask=valid if asked["masks"] == "upstream" else None,
        drop_audio_cond=asked["drop"] != "none", drop_text=asked["drop"] == "both",
    )  # fmt: skip
    losses = dict(cfm=F.mse_loss(pred, x1 - x0, reduction="none")[span].mean(), speech=[], text=[])
    total = losses["cfm"]
    halves = [(n + 1) // 2 for n in frames]
    valid_halves = frame_mask(halves, max(halves))  # (B, Z)
    for i, tap in enumerate(asked["text_taps"]):
        head = getattr(model, "text_aligner" + (f"_{i + 1}" if i else ""))
        logits = head(tensors[f"block{tap['layer']}"].transpose(1, 2))  # (B, ceil(N/2), V+2)
        loss = F.ctc_loss(
            logits.log_softmax(-1).transpose(0, 1), text.clamp(min=0), torch.tensor(halves),
            torch.tensor(text_lengths), blank=asked["vocab"] + 1, zero_infinity=True,
        )  # fmt: skip
        if i == 0:
            tensors["text_logits"] = logits * valid_halves[..., None]
        losses["text"].append(loss)
        total = total + tap["weight"] * loss
    target = sequence(FEATURES, (count, max(halves), asked["width"])).to(dtype)
    target = target * valid_halves[..., None]
    for i, tap in enumerate(asked["speech_taps"]):
        head = getattr(model, "speech_aligner" + (f"_{i + 1}" if i else ""))
        block = tensors[f"block{tap['layer']}"].transpose(1, 2)
        y = head(F.interpolate(block, size=max(halves), mode="linear", align_corners=False))
        loss = speech_loss(y, target, valid_halves, tap["loss"])
        if i == 0:
            tensors["speech_projection"] = y * valid_halves[..., None]
        losses["speech"].append(loss)
        total = total + tap["weight"] * loss
    total.backward()
    losses = {k: sum(v) if v != [] else None for k, v in losses.items() if k != "cfm"} | dict(
        total=total, cfm=losses["cfm"]
    )
    return losses, {**tensors, "cond": cond, "pred": pred}


# ---- sampling


def run_sample(backbone, asked):
    wanted = asked["sample"]
    dtype = next(backbone.parameters()).dtype
    prompts = wanted["cond_frames"]
    count, mel = len(prompts), asked["mel"]
    text, text_lengths = texts_of(count)
    durations = [
        min(max(max(words, prompt) + 1, duration), DURATION_MAX)
        for words, prompt, duration in zip(text_lengths, prompts, wanted["durations"])
    ]
    longest = max(durations)
    in_prompt = frame_mask(prompts, longest)[..., None]  # (B, N, 1)
    cond = F.pad(sequence(PROMPT, (count, max(prompts), mel)), (0, 0, 0, longest - max(prompts)))
    cond = (cond * in_prompt).to(dtype)
    noise = sequence(NOISE, (count, max(longest, *asked["frames"]), mel))[:, :longest]
    own = frame_mask(durations, longest)  # (B, N)
    y = (math.sqrt(3) * noise * own[..., None]).to(dtype)
    mask = own if count > 1 else None

    def velocity(t, y):
        given = dict(x=y, cond=cond, text=text, time=torch.tensor(t, dtype=dtype), mask=mask)
        if wanted["cfg"] < 1e-5:
            return backbone(**given)
        shown, hidden = backbone(**given, cfg_infer=True, cache=False).chunk(2, dim=0)
        return shown + (shown - hidden) * wanted["cfg"]

    grid = [k / wanted["steps"] for k in range(wanted["steps"] + 1)]
    if wanted["grid"] == "epss":
        grid = f5_tts_package.pruned_grid(wanted["steps"])
    if wanted["sway"] is not None:
        grid = [t + wanted["sway"] * (math.cos(math.pi / 2 * t) - 1 + t) for t in grid]
    backbone.eval()
    with torch.no_grad():
        for t, after in zip(grid, grid[1:]):
            slope = velocity(t, y)
            if wanted["solver"] == "midpoint":
                slope = velocity(t + (after - t) / 2, y + slope * ((after - t) / 2))
            y = y + slope * (after - t)
    y = torch.where(in_prompt, cond, y).double()
    parts = [y[b, :duration] for b, duration in enumerate(durations)]
    return [dict(sum=part.sum().item(), l1=part.abs().sum().item()) for part in parts]


# ---- reports


def describe(tensor):
    flat = tensor.detach().double().flatten()
    return dict(sum=flat.sum().item(), l1=flat.abs().sum().item(), first=flat[:2].tolist())


def probe(asked, DiT, UNetT):
    model = make_model(asked, DiT, UNetT)
    losses, tensors = train_step(model, asked)
    gradients = {
        name: 0.0 if p.grad is None else p.grad.double().norm().item()
        for name, p in model.named_parameters()
    }
    report = dict(
        parameters=sum(p.numel() for p in model.parameters()),
        loss={name: None if loss is None else loss.item() for name, loss in losses.items()},
        grad_norm=math.sqrt(sum(norm**2 for norm in gradients.values())),
        gradients=gradients,
        tensors={name: describe(tensor) for name, tensor in tensors.items()},
    )
    if asked["sample"] is not None:
        report["sample"] = run_sample(model.backbone, asked)
    return report


def differences(theirs, ours, where="", scale=1.0):
    """(path, theirs, ours, difference) of all numbers; that of a sum of many values is on the scale
    of the sum of their magnitudes."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        scale = max(1.0, theirs["l1"]) if "l1" in theirs else 1.0
        for key in sorted(set(theirs) | set(ours)):
            inner = 1.0 if key == "first" else scale
            yield from differences(theirs.get(key), ours.get(key), f"{where}.{key}", inner)
    elif isinstance(theirs, list) and isinstance(ours, list) and len(theirs) == len(ours):
        for i, pair in enumerate(zip(theirs, ours)):
            yield from differences(*pair, f"{where}[{i}]", scale)
    elif theirs != ours:
        both = isinstance(theirs, (int, float)) and isinstance(ours, (int, float))
        difference = abs(theirs - ours) / max(scale, abs(theirs)) if both else math.inf
        yield where.lstrip("."), theirs, ours, difference


def main():
    parser = argparse.ArgumentParser(description="strata-trainer probe with the f5-tts package")
    parser.add_argument("folder")
    parser.add_argument("file")
    parser.add_argument("--with", dest="program")
    parser.add_argument("--tolerance", type=float, default=5e-6)
    args = parser.parse_args()
    torch.set_num_threads(1)
    with open(args.file) as file:
        asked = read_request(json.load(file))
    theirs = probe(asked, *f5_tts_package.load(args.folder))
    if not args.program:
        print(json.dumps(theirs, indent=2, sort_keys=True))
        return 0
    done = subprocess.run([args.program, "probe", args.file], stdout=subprocess.PIPE, check=True)
    found = sorted(differences(theirs, json.loads(done.stdout)), key=lambda row: -row[3])
    for path, one, other, difference in found[:5]:
        print(f"{path}: f5-tts {one}, here {other}: {difference:.1e}")
    largest = found[0][3] if found else 0.0
    print(f"largest difference {largest:.1e}, allowed {args.tolerance:.0e}")
    return 0 if largest <= args.tolerance else 1


if __name__ == "__main__":
    sys.exit(main())
