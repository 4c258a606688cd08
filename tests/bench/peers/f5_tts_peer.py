#!/usr/bin/env python3
"""The published model classes beside strata-bench-train and strata-bench-sample, with the very build
of torch that Strata links. train: DiT of the f5-tts package with A-DMA heads of this script's own
(the package has none), in a minimal loop. sample: the package's own CFM.sample around its own DiT,
with torchdiffeq's Euler steps.

  tests/bench/peers/f5_tts_peer.py --install FOLDER        an environment with what they need
  tests/bench/peers/f5_tts_peer.py --in FOLDER train --size middle --threads 1 --steps 10
  tests/bench/peers/f5_tts_peer.py --in FOLDER sample --size middle --threads 1 --repeats 5
  tests/bench/peers/f5_tts_peer.py --in FOLDER sample --size middle --compare FILE
                                      with the weights that strata-bench-sample wrote: the same mel?

--torch names the folder that holds torch (by default .deps/libtorch of this checkout).
f5_tts_package.py beside this script says what of the package is left out.
"""
import argparse
import glob
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time
import venv

ROOT = pathlib.Path(__file__).resolve().parents[3]
NEEDS = ["typing_extensions", "sympy", "filelock", "jinja2", "networkx", "fsspec", "numpy", "packaging", "frozendict"]
ALONE = [  # without what they depend on
    "f5-tts==1.1.22",
    "x-transformers==2.31.10",
    "einops",
    "einx",
    "loguru",
    "torch-einops-utils",
    "torchdiffeq",
    "nvidia-cusparselt-cu13==0.8.1",
    "nvidia-nvshmem-cu13==3.4.5",
    "nvidia-cufile",
]
# As strata-bench-train has them: change both.
SIZES = {
    "tiny": dict(dim=64, depth=2, heads=2, text_dim=64, batch=2, hidden=64, taps=(1, 2)),
    "middle": dict(dim=256, depth=6, heads=4, text_dim=256, batch=8, hidden=512, taps=(3, 4)),
    "small": dict(dim=768, depth=18, heads=12, text_dim=512, batch=1, hidden=2048, taps=(8, 12)),
}
SAMPLE_STEPS, GUIDANCE, SWAY, NOISE_SEED = 16, 2.0, -1.0, 7
OUTPUT_DEVIATION = 0.02  # of weights that training starts at 0
LARGEST_DIFFERENCE = 1e-5  # of two mels, on the scale of their largest value
FRAMES, TEACHER_FRAMES, TEACHER_WIDTH, LETTERS, VOCABULARY, MEL = 512, 273, 1024, 80, 78, 100


def install(folder):
    venv.create(folder, with_pip=True)
    pip = [os.path.join(folder, "bin", "pip"), "install", "--quiet"]
    subprocess.run(pip + NEEDS, check=True)
    subprocess.run(pip + ["--no-deps"] + ALONE, check=True)


def run_inside(folder, torch_folder, words):
    """This script again, by that environment's Python, where torch's libraries are found."""
    libraries = {os.path.dirname(f) for f in glob.glob(f"{folder}/lib/python*/site-packages/nvidia/*/lib/*.so*")}
    libraries |= {os.path.dirname(f) for f in glob.glob(f"{torch_folder}/nvidia/*/lib/*.so*")}
    environment = dict(
        os.environ,
        LD_LIBRARY_PATH=":".join(sorted(libraries) + [os.environ.get("LD_LIBRARY_PATH", "")]),
        PYTHONPATH=str(torch_folder),
    )
    python = os.path.join(folder, "bin", "python")
    return subprocess.run([python, __file__, "--inside", *words], env=environment, check=False).returncode


def memory(field):
    with open("/proc/self/status", encoding="ascii") as lines:
        for line in lines:
            if line.startswith(field + ":"):
                return int(line.split()[1]) / 1024
    return 0.0


def package_model():
    import importlib.util

    import f5_tts_package

    where = importlib.util.find_spec("f5_tts").submodule_search_locations[0]
    return f5_tts_package.load(os.path.dirname(where))[0]


def backbone(shape):
    return package_model()(
        dim=shape["dim"],
        depth=shape["depth"],
        heads=shape["heads"],
        ff_mult=2,
        mel_dim=MEL,
        text_num_embeds=VOCABULARY,
        text_dim=shape["text_dim"],
        conv_layers=4,
        text_mask_padding=False,
        pe_attn_head=1,
    )


def set_up_torch(threads):
    import torch

    torch.set_num_threads(threads)
    torch.set_num_interop_threads(1)
    torch.set_flush_denormal(True)
    torch.manual_seed(1)


def texts(count):
    import torch

    return torch.tensor([[(7 * i + 13 * k) % VOCABULARY for k in range(LETTERS)] for i in range(count)])


def train(size, threads, steps):
    import torch
    import torch.nn.functional as F
    from torch import nn

    set_up_torch(threads)
    shape = SIZES[size]
    batch = shape["batch"]
    mel = torch.randn(batch, FRAMES, MEL)
    features = torch.randn(batch, TEACHER_FRAMES, TEACHER_WIDTH)
    text = texts(batch)
    package_model()
    before = memory("VmRSS")

    class Head(nn.Sequential):
        def __init__(self, width, stride):
            hidden = shape["hidden"]
            super().__init__(
                nn.Conv1d(shape["dim"], hidden, 3, stride=stride, padding=1),
                nn.GroupNorm(1, hidden),
                nn.Mish(),
                nn.Conv1d(hidden, hidden, 3, padding=1),
                nn.GroupNorm(1, hidden),
                nn.Mish(),
                nn.Conv1d(hidden, width, 1),
            )

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.backbone = backbone(shape)
            self.text = Head(VOCABULARY + 2, 2)
            self.speech = Head(TEACHER_WIDTH, 1)
            self.seen = {}
            for layer in shape["taps"]:
                block = self.backbone.transformer_blocks[layer - 1]
                block.register_forward_hook(lambda m, i, o, layer=layer: self.seen.__setitem__(layer, o))

        def losses(self):
            frac = torch.empty(batch).uniform_(0.7, 1.0)
            span = torch.zeros(batch, FRAMES, dtype=torch.bool)
            for b in range(batch):
                length = int(frac[b] * FRAMES)
                start = int(torch.rand(()) * (FRAMES - length))
                span[b, start : start + length] = True
            noise = torch.randn_like(mel)
            t = torch.rand(batch)
            wide = t[:, None, None]
            predicted = self.backbone(
                x=(1 - wide) * noise + wide * mel,
                cond=torch.where(span[..., None], torch.zeros_like(mel), mel),
                text=text,
                time=t,
            )
            flow = F.mse_loss(predicted, mel - noise, reduction="none")[span].mean()
            logits = self.text(self.seen[shape["taps"][0]].transpose(1, 2)).permute(2, 0, 1)
            ctc = F.ctc_loss(
                logits.log_softmax(-1),
                text,
                torch.full((batch,), logits.shape[0]),
                torch.full((batch,), LETTERS),
                blank=VOCABULARY + 1,
                zero_infinity=True,
            )
            block = self.seen[shape["taps"][1]].transpose(1, 2)
            heard = self.speech(F.interpolate(block, size=TEACHER_FRAMES, mode="linear")).transpose(1, 2)
            speech = -F.cosine_similarity(heard, features, dim=-1).mean()
            return flow + speech + 0.1 * ctc

    model = Model()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    average = [p.detach().clone() for p in model.parameters()]  # as the package's trainer keeps one
    model.train()
    took, busy = [], []
    for step in range(steps):
        began, busy_before = time.perf_counter(), time.process_time()
        loss = model.losses()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        if step % 10 == 0:
            with torch.no_grad():
                for mean, p in zip(average, model.parameters()):
                    mean.lerp_(p, 1e-4)
        took.append(time.perf_counter() - began)
        busy.append(time.process_time() - busy_before)
    report(took, busy, batch * FRAMES, sum(p.numel() for p in model.parameters()), before)


def report(took, busy, frames, parameters, before):
    median = statistics.median(sorted(took))
    print(f"seconds a step        {median:10.4f}")
    print(f"least                 {min(took):10.4f}")
    print(f"least of the processor{min(busy):10.4f}")
    print(f"frames a second       {frames / median:10.1f}")
    print(f"parameters            {parameters:10d}")
    print(f"peak, MiB             {memory('VmHWM'):10.1f}")
    print(f"  above the start     {memory('VmHWM') - before:10.1f}")


def safetensors(path):
    """The float32 and int64 tensors of a file by name."""
    import torch

    kinds = {"F32": torch.float32, "I64": torch.int64}
    with open(path, "rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        content = bytearray(file.read())
    tensors = {}
    for name, entry in header.items():
        if name != "__metadata__":
            begin, end = entry["data_offsets"]
            flat = torch.frombuffer(memoryview(content)[begin:end], dtype=kinds[entry["dtype"]])
            tensors[name] = flat.view(entry["shape"])
    return tensors


def sample(size, threads, repeats, file):
    import torch

    set_up_torch(threads)
    model = backbone(SIZES[size])
    given = safetensors(file) if file else {}
    weights = {name[8:]: tensor for name, tensor in given.items() if name.startswith("weights.")}
    if weights:
        left = model.load_state_dict(weights, strict=False)
        assert not left.unexpected_keys and set(left.missing_keys) <= {"rotary_embed.inv_freq"}, left
    with torch.no_grad():
        for parameter in model.parameters():
            if not parameter.any():
                parameter.normal_(0, OUTPUT_DEVIATION)
    import f5_tts_package

    cfm = f5_tts_package.sampler()(transformer=model, num_channels=MEL, mel_spec_kwargs=dict(n_mel_channels=MEL))
    prompt = given["prompt"] if given else torch.randn(1, FRAMES // 3, MEL)

    def speak():
        with torch.inference_mode():
            return cfm.sample(
                cond=prompt,
                text=texts(1),
                duration=FRAMES,
                steps=SAMPLE_STEPS,
                cfg_strength=GUIDANCE,
                sway_sampling_coef=SWAY,
                seed=NOISE_SEED,
                use_epss=False,
            )[0]

    mel = speak()  # warms up
    took, busy = [], []
    for i in range(repeats):
        began, busy_before = time.perf_counter(), time.process_time()
        mel = speak()
        took.append(time.perf_counter() - began)
        busy.append(time.process_time() - busy_before)
        print(f"repeat {i + 1}: seconds {took[-1]:.4f}, of the processor {busy[-1]:.4f}", flush=True)
    print(f"least                 {min(took):10.4f}")
    print(f"least of the processor{min(busy):10.4f}")
    print(f"real-time factor      {min(took) / ((FRAMES - prompt.shape[1]) * 256 / 24000):10.4f}")
    print(f"peak, MiB             {memory('VmHWM'):10.1f}")
    return differs(mel, given["mel"]) if given else 0


def differs(mel, ours):
    largest = float((mel - ours).abs().max() / ours.abs().max())
    print(f"largest difference    {largest:10.1e}, allowed {LARGEST_DIFFERENCE:.0e}")
    return int(not largest <= LARGEST_DIFFERENCE)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--install", metavar="FOLDER")
    parser.add_argument("--in", dest="folder", metavar="FOLDER")
    parser.add_argument("--torch", default=str(ROOT / ".deps" / "libtorch"))
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("what", nargs="?", choices=["train", "sample"])
    parser.add_argument("--size", choices=sorted(SIZES), default="middle")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--steps", type=int, default=10, help="of train")
    parser.add_argument("--repeats", type=int, default=5, help="of sample")
    parser.add_argument("--compare", metavar="FILE", help="of strata-bench-sample --write")
    options = parser.parse_args()
    if options.install:
        return install(options.install)
    if options.what is None or not (options.inside or options.folder):
        parser.error("say --install FOLDER, or --in FOLDER and train or sample")
    if options.inside:
        if options.what == "sample":
            return sample(options.size, options.threads, options.repeats, options.compare)
        return train(options.size, options.threads, options.steps)
    words = [options.what, "--size", options.size, "--threads", str(options.threads)]
    words += ["--steps", str(options.steps), "--repeats", str(options.repeats)]
    words += ["--compare", options.compare] if options.compare else []
    return run_inside(options.folder, options.torch, words)


if __name__ == "__main__":
    sys.exit(main())
