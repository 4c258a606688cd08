#!/usr/bin/python3
"""Vocos as TorchScript: a ConvNeXt backbone that predicts log magnitude and phase of every frame, and
the inverse short-time Fourier transform (Siuzdak 2023; charactr/vocos-mel-24khz and what is trained
from it).

    tools/export/vocos.py CHECKPOINT --name NAME [--family TEXT] [--licence TEXT] [--out DIR]

exports a checkpoint of one's own (`pytorch_model.bin`, a state dict; a Lightning checkpoint has it
under `state_dict`) and prints what a sweep says to use it. All sizes follow from the weights; the
front end is F5-TTS's "vocos": 24 kHz, 100 bands, hop 256, centred. The published checkpoint is
`export.py vocos-mel-24khz`.
"""

import pathlib
import sys

import torch
from torch import Tensor, nn

import mel

SAMPLE_RATE = 24000
N_FFT = 1024
HOP = 256
BANDS = 100
KERNEL = 7
NORM_EPS = 1e-6
MAGNITUDE_MAX = 100.0
# F5-TTS's floor, which its models are trained with. Vocos itself was trained with one of 1e-7.
CLAMP = 1e-5
# Of the stored filter bank: another front end differs by tenths.
BANK_TOLERANCE = 1e-4
# Of the checkpoint, but not of the network: the front end's own window and bank, checked and left.
FRONT_END = "feature_extractor.mel_spec."
BANK_KEY = FRONT_END + "mel_scale.fb"
FRONT_END_KEYS = (BANK_KEY, FRONT_END + "spectrogram.window")


class Block(nn.Module):
    """ConvNeXt in one dimension; the last step is scaled by `gamma`."""

    def __init__(self, dim: int, intermediate: int):
        super().__init__()
        self.dwconv = nn.Conv1d(dim, dim, KERNEL, padding=KERNEL // 2, groups=dim)
        self.norm = nn.LayerNorm(dim, eps=NORM_EPS)
        self.pwconv1 = nn.Linear(dim, intermediate)
        self.act = nn.GELU()
        self.pwconv2 = nn.Linear(intermediate, dim)
        self.gamma = nn.Parameter(torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        inner = self.norm(self.dwconv(x).transpose(1, 2))  # (B, T, dim)
        inner = self.gamma * self.pwconv2(self.act(self.pwconv1(inner)))
        return x + inner.transpose(1, 2)


class Backbone(nn.Module):
    def __init__(self, bands: int, dim: int, intermediate: int, layers: int):
        super().__init__()
        self.embed = nn.Conv1d(bands, dim, KERNEL, padding=KERNEL // 2)
        self.norm = nn.LayerNorm(dim, eps=NORM_EPS)
        self.convnext = nn.ModuleList([Block(dim, intermediate) for _ in range(layers)])
        self.final_layer_norm = nn.LayerNorm(dim, eps=NORM_EPS)

    def forward(self, mel: Tensor) -> Tensor:
        """(B, bands, T) -> (B, T, dim)"""
        x = self.norm(self.embed(mel).transpose(1, 2)).transpose(1, 2)
        for block in self.convnext:
            x = block(x)
        return self.final_layer_norm(x.transpose(1, 2))


class InverseTransform(nn.Module):
    def __init__(self, n_fft: int, hop: int):
        super().__init__()
        self.n_fft = n_fft
        self.hop = hop
        self.register_buffer("window", torch.hann_window(n_fft))

    def forward(self, real: Tensor, imaginary: Tensor) -> Tensor:
        """Two (B, n_fft / 2 + 1, T) -> (B, hop (T - 1))"""
        spectrum = torch.complex(real, imaginary)
        return torch.istft(spectrum, self.n_fft, self.hop, self.n_fft, self.window, center=True)


class Head(nn.Module):
    def __init__(self, dim: int, n_fft: int, hop: int):
        super().__init__()
        self.out = nn.Linear(dim, n_fft + 2)
        self.istft = InverseTransform(n_fft, hop)
        self.magnitude_max = MAGNITUDE_MAX

    def forward(self, x: Tensor) -> Tensor:
        magnitude, phase = self.out(x).transpose(1, 2).chunk(2, dim=1)
        magnitude = torch.exp(magnitude).clamp(max=self.magnitude_max)
        return self.istft(magnitude * torch.cos(phase), magnitude * torch.sin(phase))


class Vocos(nn.Module):
    """Interface vocoder-2 with the front end "vocos": forward(mel [B, 100, T]) -> [B, 256 (T - 1)] at
    24 kHz; mel(wav [B, n]) -> [B, 100, n // 256 + 1].
    """

    def __init__(
        self,
        dim: int,
        intermediate: int,
        layers: int,
        bands: int = BANDS,
        n_fft: int = N_FFT,
        hop: int = HOP,
    ):
        super().__init__()
        self.bands = bands
        self.n_fft = n_fft
        self.hop = hop
        self.clamp = CLAMP
        self.backbone = Backbone(bands, dim, intermediate, layers)
        self.head = Head(dim, n_fft, hop)
        bank = mel.htk_bank(SAMPLE_RATE, n_fft, bands, 0.0, SAMPLE_RATE / 2)
        self.register_buffer("filters", torch.from_numpy(bank))

    @torch.jit.export
    def mel(self, wav: Tensor) -> Tensor:
        assert wav.dim() == 2 and wav.size(1) > self.n_fft // 2, "wav must be [B, n], n > n_fft / 2"
        spectrum = torch.stft(
            wav,
            self.n_fft,
            self.hop,
            self.n_fft,
            self.head.istft.window,
            center=True,
            pad_mode="reflect",
            normalized=False,
            onesided=True,
            return_complex=True,
        )
        bands = torch.matmul(self.filters, spectrum.abs())
        return torch.log(torch.clamp(bands, min=self.clamp))

    def forward(self, mel: Tensor) -> Tensor:
        assert mel.dim() == 3 and mel.size(1) == self.bands, "mel must be [B, bands, T]"
        assert mel.size(2) >= 2, "a sound needs two frames or more"
        return self.head(self.backbone(mel))


def read_checkpoint(path):
    """-> the state dict, without the front end's own window and bank. A file runs no code here."""
    state = torch.load(path, map_location="cpu", weights_only=True)
    if isinstance(state, dict) and isinstance(state.get("state_dict"), dict):
        state = state["state_dict"]
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise ValueError(f"{path} holds no state dict")
    if BANK_KEY in state:
        bank = torch.from_numpy(mel.htk_bank(SAMPLE_RATE, N_FFT, BANDS, 0.0, SAMPLE_RATE / 2)).T
        stored = state[BANK_KEY]
        if stored.shape != bank.shape or (stored - bank).abs().max() > BANK_TOLERANCE:
            raise ValueError(
                f"{path} was trained on another mel than \"vocos\" ({SAMPLE_RATE} Hz, {BANDS} HTK bands): its "
                f"{BANK_KEY} is another bank"
            )
    return {key: value for key, value in state.items() if key not in FRONT_END_KEYS}


def sizes_of(state):
    """-> settings of the catalogue, read off the shapes of the weights."""
    layers = {int(key.split(".")[2]) for key in state if key.startswith("backbone.convnext.")}
    wanted = ("backbone.embed.weight", "backbone.convnext.0.pwconv1.weight", "head.out.weight")
    missing = [key for key in wanted if key not in state]
    if missing:
        raise ValueError(f"no Vocos with a ConvNeXt backbone and an ISTFT head: {missing[0]} is missing")
    embed, wide, out = (state[key] for key in wanted)
    return {
        "mel": "vocos",
        "sample_rate": SAMPLE_RATE,
        "bands": embed.shape[1],
        "hop": HOP,
        "n_fft": out.shape[0] - 2,
        "window": f"periodic Hann {out.shape[0] - 2}",
        "padding": "center",
        "dim": embed.shape[0],
        "intermediate_dim": wide.shape[0],
        "layers": len(layers),
    }


def vocoder(paths, settings):
    state = read_checkpoint(paths[0])
    found = sizes_of(state)
    if (found["bands"], found["n_fft"]) != (BANDS, N_FFT):
        raise ValueError(
            f"{paths[0]} takes {found['bands']} bands and makes frames of {found['n_fft']} samples; the mel "
            f"\"vocos\" has {BANDS} and {N_FFT}"
        )
    if found != settings:
        raise ValueError(f"{paths[0]} has the sizes {found}, the catalogue says {settings}")
    module = Vocos(found["dim"], found["intermediate_dim"], found["layers"])
    state["filters"] = module.filters
    state.setdefault("head.istft.window", module.head.istft.window)
    module.load_state_dict(state)  # strict: a key too many or too few is an error
    return module


def main(arguments):
    import argparse
    import os

    import archive
    import catalogue
    from builders import VOCOS

    root = pathlib.Path(__file__).resolve().parents[2]
    deps = pathlib.Path(os.environ.get("STRATA_DEPS") or root / ".deps")
    parser = argparse.ArgumentParser(prog="vocos.py", description="Exports a Vocos of one's own.")
    parser.add_argument("checkpoint", type=pathlib.Path)
    parser.add_argument("--name", required=True, help="of the archive and in sweeps")
    parser.add_argument("--family", help="of its weights (default: the name)")
    parser.add_argument("--licence", default="unknown")
    parser.add_argument("--out", type=pathlib.Path, default=deps / "exported", help="(%(default)s)")
    options = parser.parse_args(arguments)
    if not catalogue.NAME.fullmatch(options.name):
        parser.error("--name: small letters, digits, dots and dashes")
    if any(model.name == options.name for model in catalogue.load()):
        parser.error(f"--name: {options.name} is in the catalogue: choose another, or use export.py")
    try:
        digest = catalogue.file_sha256(options.checkpoint)
        model = catalogue.Model(
            name=options.name,
            role="vocoder",
            family=options.family or options.name,
            version=1,
            exporter_version=1,
            interface="vocoder-2",
            licence=options.licence,
            sources=(catalogue.Source("", "", options.checkpoint.name, digest, "weights"),),
            settings=sizes_of(read_checkpoint(options.checkpoint)),
        )
        module = vocoder([options.checkpoint], model.settings)
        options.out.mkdir(parents=True, exist_ok=True)
        path = options.out / f"{options.name}.pt"
        archive.write(path, model, module.eval(), VOCOS.inputs(module), VOCOS.tolerance, {})
    except (OSError, ValueError, RuntimeError) as error:
        print(f"vocos: {error}", file=sys.stderr)
        return 1
    print(f"vocoder: {{name: {options.name}, identity: {catalogue.identity(model)}}}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
