"""HiFi-GAN V1 (universal) as TorchScript, weight norm folded in, together with the mel on which it
was trained.

The mel: 22,050 Hz, reflect padding of 384 samples on both sides, 1024-point periodic Hann every 256
samples without centring, sqrt(re^2 + im^2 + 1e-9), 80 Slaney bands from 0 to 8 kHz, natural
logarithm of at least 1e-5.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

import mel

BANDS = 80
SAMPLE_RATE = 22050
N_FFT = 1024
HOP = 256
CHANNELS = 512
UPSAMPLE = ((8, 16), (8, 16), (2, 4), (2, 4))  # (rate, kernel)
KERNELS = (3, 7, 11)
DILATIONS = (1, 3, 5)


class ResBlock(nn.Module):
    def __init__(self, channels: int, kernel: int):
        super().__init__()
        self.convs1 = nn.ModuleList(
            [
                nn.Conv1d(
                    channels,
                    channels,
                    kernel,
                    dilation=dilation,
                    padding=(kernel - 1) * dilation // 2,
                )
                for dilation in DILATIONS
            ]
        )
        self.convs2 = nn.ModuleList(
            [nn.Conv1d(channels, channels, kernel, padding=(kernel - 1) // 2) for _ in DILATIONS]
        )

    def forward(self, x: Tensor) -> Tensor:
        for first, second in zip(self.convs1, self.convs2):
            x = x + second(leaky_relu(first(leaky_relu(x, 0.1)), 0.1))
        return x


class Stage(nn.Module):
    """One upsampling step and the mean of its three residual blocks."""

    def __init__(self, channels: int, rate: int, kernel: int):
        super().__init__()
        self.up = nn.ConvTranspose1d(
            channels, channels // 2, kernel, rate, padding=(kernel - rate) // 2
        )
        self.blocks = nn.ModuleList([ResBlock(channels // 2, size) for size in KERNELS])
        self.share = 1.0 / len(KERNELS)

    def forward(self, x: Tensor) -> Tensor:
        x = self.up(leaky_relu(x, 0.1))
        total = torch.zeros_like(x)
        for block in self.blocks:
            total = total + block(x)
        return total * self.share


class Vocoder(nn.Module):
    """Interface vocoder-1: forward(mel [B, 80, T]) -> [B, 256 T] at 22,050 Hz; mel(wav [B, n])
    -> [B, 80, n // 256].
    """

    def __init__(self):
        super().__init__()
        self.register_buffer("window", torch.hann_window(N_FFT))
        self.register_buffer(
            "filters", torch.from_numpy(mel.slaney_bank(SAMPLE_RATE, N_FFT, BANDS, 0.0, 8000.0))
        )
        self.conv_pre = nn.Conv1d(BANDS, CHANNELS, 7, padding=3)
        self.stages = nn.ModuleList(
            [
                Stage(CHANNELS >> index, rate, kernel)
                for index, (rate, kernel) in enumerate(UPSAMPLE)
            ]
        )
        self.conv_post = nn.Conv1d(CHANNELS >> len(UPSAMPLE), 1, 7, padding=3)

    @torch.jit.export
    def mel(self, wav: Tensor) -> Tensor:
        assert wav.dim() == 2 and wav.size(1) >= 640, "wav must be [B, n] with n of at least 640"
        padded = nn.functional.pad(wav.unsqueeze(1), [384, 384], "reflect").squeeze(1)
        spectrum = torch.stft(
            padded,
            1024,
            256,
            1024,
            self.window,
            center=False,
            normalized=False,
            onesided=True,
            return_complex=True,
        )
        parts = torch.view_as_real(spectrum)
        magnitude = torch.sqrt((parts * parts).sum(dim=-1) + 1e-9)
        return torch.log(torch.clamp(torch.matmul(self.filters, magnitude), min=1e-5))

    def forward(self, mel: Tensor) -> Tensor:
        assert mel.dim() == 3 and mel.size(1) == 80, "mel must be [B, 80, T]"
        x = self.conv_pre(mel)
        for stage in self.stages:
            x = stage(x)
        return torch.tanh(self.conv_post(leaky_relu(x))).squeeze(1)


def _renamed(key):
    """ups.I -> stages.I.up, resblocks.J -> stages.(J / 3).blocks.(J % 3); the rest keeps its
    name.
    """
    parts = key.split(".")
    if parts[0] == "ups":
        return ".".join(["stages", parts[1], "up"] + parts[2:])
    if parts[0] == "resblocks":
        stage, block = divmod(int(parts[1]), len(KERNELS))
        return ".".join(["stages", str(stage), "blocks", str(block)] + parts[2:])
    return key


def vocoder(paths, _settings):
    state = torch.load(paths[0], map_location="cpu")["generator"]
    module = Vocoder()
    folded = {"window": module.window, "filters": module.filters}
    for key, value in state.items():
        if key.endswith(".weight_v"):
            direction, length = value, state[key[:-1] + "g"]
            norm = direction.flatten(1).norm(dim=1).view(-1, 1, 1)
            folded[_renamed(key[:-2])] = direction * (length / norm)
        elif not key.endswith(".weight_g"):
            folded[_renamed(key)] = value
    module.load_state_dict(folded)
    return module
