"""Distill-MOS (Microsoft, MIT) as TorchScript: one naturalness score from 1 to 5 for 16 kHz speech.

Network: magnitude-compressed complex spectrogram (20 ms window, 10 ms hop, |X| ** 0.3), six
convolutions, batch norms, a 7-block post-norm transformer, attention pooling, sigmoid. Longer clips
are scored in windows of 7.68 s no more than one second apart, shorter ones are zero-padded, and the
windows' scores are averaged, as the published package does.
"""

import torch
from torch import Tensor, nn

WINDOW_SAMPLES = 122880
WINDOW_STEP_MAX = 16000
N_FFT = 320
HOP = 160
WIDTH = 200
HEADS = 8
BLOCKS = 7
FRAMES = 384
# (channels in, channels out, stride over frequency, stride over time)
CONVOLUTIONS = (
    (2, 64, 1, 1),
    (64, 64, 2, 1),
    (64, 128, 2, 1),
    (128, 256, 2, 1),
    (256, 256, 2, 1),
    (256, 256, 2, 2),
)
BINS_LEFT = 4


class Block(nn.Module):
    """Post-norm transformer encoder block with ReLU."""

    def __init__(self):
        super().__init__()
        self.heads = HEADS
        self.scale = (WIDTH // HEADS) ** -0.5
        self.qkv = nn.Linear(WIDTH, 3 * WIDTH)
        self.out = nn.Linear(WIDTH, WIDTH)
        self.linear1 = nn.Linear(WIDTH, 2 * WIDTH)
        self.linear2 = nn.Linear(2 * WIDTH, WIDTH)
        self.norm1 = nn.LayerNorm(WIDTH)
        self.norm2 = nn.LayerNorm(WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        batch, time, width = x.shape
        parts = (
            self.qkv(x).view(batch, time, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        )
        weights = torch.softmax(
            torch.matmul(parts[0] * self.scale, parts[1].transpose(2, 3)), dim=-1
        )
        mixed = torch.matmul(weights, parts[2]).transpose(1, 2).reshape(batch, time, width)
        x = self.norm1(x + self.out(mixed))
        return self.norm2(x + self.linear2(torch.relu(self.linear1(x))))


class DistillMos(nn.Module):
    """Interface mos-1: forward(wav [1, n]) -> [1], nominally 1 to 5."""

    def __init__(self):
        super().__init__()
        self.register_buffer("window", torch.hann_window(N_FFT))
        layers = []
        for channels_in, channels_out, frequency, time in CONVOLUTIONS:
            layers += [
                nn.Conv2d(channels_in, channels_out, 3, stride=(frequency, time), padding=(0, 1)),
                nn.LeakyReLU(0.1),
            ]
        self.cnn = nn.Sequential(*layers)
        self.norm_input = nn.BatchNorm1d(CONVOLUTIONS[-1][1] * BINS_LEFT)
        self.norm = nn.BatchNorm1d(CONVOLUTIONS[-1][1] * BINS_LEFT)
        self.linear_proj = nn.Linear(CONVOLUTIONS[-1][1] * BINS_LEFT, WIDTH)
        self.register_buffer("pe", torch.zeros(1, FRAMES, WIDTH))
        self.blocks = nn.ModuleList([Block() for _ in range(BLOCKS)])
        self.norm_trans = nn.BatchNorm1d(WIDTH)
        self.pool1 = nn.Linear(WIDTH, 2 * WIDTH)
        self.pool2 = nn.Linear(2 * WIDTH, 1)
        self.pool3 = nn.Linear(WIDTH, 1)

    @torch.jit.export
    def windows(self, wav: Tensor) -> Tensor:
        """wav [1, n] -> [windows, 122880], evenly spread from the first sample to the last."""
        over = wav.size(1) - 122880
        if over < 0:
            wav = nn.functional.pad(wav, [0, -over])
            over = 0
        count = (over + 16000 - 1) // 16000 + 1
        parts = [wav[:, 0:122880]]
        for index in range(1, count):
            # The same rounding as numpy.linspace(0, 1, count), whose last value is exactly 1.
            place = float(index) * (1.0 / float(count - 1)) if index < count - 1 else 1.0
            start = int(place * float(over))
            parts.append(wav[:, start : start + 122880])
        return torch.cat(parts)

    def spectrogram(self, x: Tensor) -> Tensor:
        padded = nn.functional.pad(x.unsqueeze(1), [80, 80], "reflect").squeeze(1)
        spectrum = torch.stft(
            padded,
            320,
            160,
            320,
            self.window,
            center=False,
            normalized=False,
            onesided=True,
            return_complex=True,
        )
        parts = torch.view_as_real(spectrum)
        magnitude = torch.clamp(torch.sqrt((parts * parts).sum(dim=-1, keepdim=True)), min=1e-12)
        return (torch.pow(magnitude, 0.3) * parts / magnitude).permute(0, 3, 1, 2)

    def score(self, x: Tensor) -> Tensor:
        x = x / (x.abs().amax(dim=1, keepdim=True) + 1e-8)
        x = torch.flatten(self.cnn(self.spectrogram(x)), 1, 2)
        x = self.linear_proj(self.norm(self.norm_input(x)).transpose(1, 2)) + self.pe
        for block in self.blocks:
            x = block(x)
        x = self.norm_trans(x.transpose(1, 2)).transpose(1, 2)
        attention = torch.softmax(self.pool2(torch.relu(self.pool1(x))).transpose(1, 2), dim=2)
        pooled = torch.bmm(attention, x).squeeze(1)
        return 1.0 + 4.0 * torch.sigmoid(self.pool3(pooled)).squeeze(1)

    def forward(self, wav: Tensor) -> Tensor:
        assert (
            wav.dim() == 2 and wav.size(0) == 1 and wav.size(1) > 0
        ), "wav must be [1, n] with n > 0"
        windows = self.windows(wav)
        total = torch.zeros([1], dtype=wav.dtype, device=wav.device)
        # One window at a time: the first convolution of a batch of windows would need gigabytes for
        # a long clip.
        for index in range(windows.size(0)):
            total = total + self.score(windows[index : index + 1])
        return total / float(windows.size(0))


RENAMED = (
    ("transformer_pool_attn.transformer.transformer_encoder.layers.", "blocks."),
    ("transformer_pool_attn.transformer.position_encoding.", ""),
    ("transformer_pool_attn.transformer.", ""),
    ("transformer_pool_attn.pool.linear", "pool"),
    ("transformer_pool_attn.", ""),
    ("cnn.cnn.", "cnn."),
    ("self_attn.in_proj_", "qkv."),
    ("self_attn.out_proj.", "out."),
)


def distill_mos(paths, _settings):
    state = torch.load(paths[0], map_location="cpu")["model"]
    renamed = {}
    for key, value in state.items():
        for old, new in RENAMED:
            key = key.replace(old, new)
        renamed[key] = value
    module = DistillMos()
    renamed["window"] = module.window
    module.load_state_dict(renamed)
    return module
