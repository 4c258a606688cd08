"""DNSMOS P.835 (Microsoft) as TorchScript: SIG, BAK and OVRL for 16 kHz audio.

It hears noise and distortion, not naturalness. Clips are doubled until they last 9.01 s, scored in
windows of 9.01 s one second apart, each raw score is recalibrated by the published quadratic, and
the windows are averaged.
"""

import torch
from torch import Tensor, nn

WINDOW_SAMPLES = 144160
STEP = 16000
N_FFT = 320
HOP = 160
BINS = 161
# c + b1 x + b2 x^2 for SIG, BAK, OVRL, from dnsmos_local.py of the DNS Challenge.
CONSTANT = (0.0052439, -0.39604546, 0.04602535)
LINEAR = (1.22083953, 1.60915514, 1.11546468)
QUADRATIC = (-0.08397278, -0.13166888, -0.06766283)
CHANNELS = ((1, 128), (128, 64), (64, 64), (64, 32), (32, 32), (32, 32), (32, 64))
POOLED_AFTER = (3, 4, 5)


class Dnsmos(nn.Module):
    """Interface mos-1: forward(wav [1, n]) -> [1, 3]: SIG, BAK, OVRL, nominally 1 to 5."""

    def __init__(self):
        super().__init__()
        self.conv_real_stft = nn.Conv1d(N_FFT, BINS, 1, bias=False)
        self.conv_imag_stft = nn.Conv1d(N_FFT, BINS, 1, bias=False)
        layers = []
        for index, (channels_in, channels_out) in enumerate(CHANNELS):
            layers += [nn.Conv2d(channels_in, channels_out, 3, padding=1), nn.ReLU()]
            if index in POOLED_AFTER:
                layers.append(nn.MaxPool2d(2, 2))
        self.conv_layers = nn.Sequential(*layers)
        self.output_layers = nn.Sequential(
            nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 3)
        )
        self.register_buffer("constant", torch.tensor(CONSTANT))
        self.register_buffer("linear", torch.tensor(LINEAR))
        self.register_buffer("quadratic", torch.tensor(QUADRATIC))

    def raw(self, wav: Tensor) -> Tensor:
        frames = wav.unfold(1, 320, 160).transpose(1, 2).contiguous()
        real = self.conv_real_stft(frames)
        imaginary = self.conv_imag_stft(frames)
        power = torch.clamp(real * real + imaginary * imaginary, min=1e-12)
        x = self.conv_layers(torch.log10(power).transpose(1, 2).unsqueeze(1))
        return self.output_layers(x.amax(dim=[2, 3]))

    def forward(self, wav: Tensor) -> Tensor:
        assert (
            wav.dim() == 2 and wav.size(0) == 1 and wav.size(1) > 0
        ), "wav must be [1, n] with n > 0"
        while wav.size(1) < 144160:
            wav = torch.cat([wav, wav], dim=1)
        count = (wav.size(1) - 144160) // 16000 + 1
        total = torch.zeros([1, 3], dtype=wav.dtype, device=wav.device)
        for index in range(count):
            raw = self.raw(wav[:, index * 16000 : index * 16000 + 144160])
            total = total + self.constant + self.linear * raw + self.quadratic * raw * raw
        return total / float(count)


def dnsmos(paths, _settings):
    state = torch.load(paths[0], map_location="cpu")
    module = Dnsmos()
    for name in ("constant", "linear", "quadratic"):
        state[name] = getattr(module, name)
    module.load_state_dict(state)
    return module
