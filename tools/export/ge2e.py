"""GE2E speaker encoder (Resemblyzer) as TorchScript, with everything before it: level, mel, partial
windows.

The procedure is Resemblyzer's without its voice activity detection: raise the level to -30 dBFS if
the clip is quieter, zero-pad to the last window, Slaney power mel (not log), 160-frame windows
every 77 frames, LSTM, ReLU, L2 norm, mean, L2 norm. Embeddings are never negative, so a cosine lies
in [0, 1] and unlike voices still reach 0.4 to 0.7.
"""

from typing import List

import torch
from torch import Tensor, nn

import mel

SAMPLE_RATE = 16000
N_FFT = 400
BANDS = 40
SIZE = 256
LSTM_LAYERS = 3


class SpeakerEncoder(nn.Module):
    """Interface speaker-1: forward(wav [1, n]) -> [1, 256] with L2 norm 1 (a zero vector for
    pure silence).
    """

    def __init__(self, settings: dict):
        super().__init__()
        self.register_buffer("window", torch.hann_window(N_FFT))
        self.register_buffer(
            "filters",
            torch.from_numpy(mel.slaney_bank(SAMPLE_RATE, N_FFT, BANDS, 0.0, SAMPLE_RATE / 2)),
        )
        self.lstm = nn.LSTM(BANDS, SIZE, LSTM_LAYERS, batch_first=True)
        self.linear = nn.Linear(SIZE, SIZE)
        self.hop: int = settings["hop"]
        self.partial_frames: int = settings["partial_frames"]
        self.partial_step: int = settings["partial_step"]
        self.coverage: float = settings["coverage_percent"] / 100.0
        self.level: float = 10.0 ** (settings["raise_to_dbfs"] / 20.0)

    @torch.jit.export
    def starts(self, samples: int) -> List[int]:
        """First frames of the partial windows; the last one is dropped when too little of it is
        covered by audio.
        """
        frames = (samples + self.hop) // self.hop
        steps = max(1, frames - self.partial_frames + self.partial_step + 1)
        starts: List[int] = []
        for start in range(0, steps, self.partial_step):
            starts.append(start)
        covered = float(samples - starts[-1] * self.hop) / float(self.partial_frames * self.hop)
        if covered < self.coverage and len(starts) > 1:
            starts.pop()
        return starts

    @torch.jit.export
    def mel(self, wav: Tensor) -> Tensor:
        """wav [1, n] -> [frames, 40], power mel, zero padding at both ends."""
        spectrum = torch.stft(
            wav,
            400,
            self.hop,
            400,
            self.window,
            center=True,
            pad_mode="constant",
            normalized=False,
            onesided=True,
            return_complex=True,
        )
        parts = torch.view_as_real(spectrum[0])
        power = parts[..., 0] * parts[..., 0] + parts[..., 1] * parts[..., 1]
        return torch.matmul(self.filters, power).transpose(0, 1)

    def forward(self, wav: Tensor) -> Tensor:
        assert (
            wav.dim() == 2 and wav.size(0) == 1 and wav.size(1) > 0
        ), "wav must be [1, n] with n > 0"
        level = torch.sqrt(torch.mean(wav * wav))
        if float(level) > 0.0 and float(level) < self.level:
            wav = wav * (self.level / level)
        starts = self.starts(wav.size(1))
        wanted = (starts[-1] + self.partial_frames) * self.hop
        if wanted > wav.size(1):
            wav = nn.functional.pad(wav, [0, wanted - wav.size(1)])
        frames = self.mel(wav)
        partials: List[Tensor] = []
        for start in starts:
            partials.append(frames[start : start + self.partial_frames])
        hidden = self.lstm(torch.stack(partials))[1][0]
        raw = torch.relu(self.linear(hidden[-1]))
        partial = raw / torch.clamp(torch.sqrt((raw * raw).sum(dim=1, keepdim=True)), min=1e-12)
        mean = partial.mean(dim=0, keepdim=True)
        return mean / torch.clamp(torch.sqrt((mean * mean).sum(dim=1, keepdim=True)), min=1e-12)


def speaker_encoder(paths, settings):
    # The file holds optimizer state with Python objects, so only the pinned hash makes this load
    # safe.
    state = torch.load(paths[0], map_location="cpu")["model_state"]
    module = SpeakerEncoder(settings)
    own = {key: value for key, value in state.items() if key.startswith(("lstm.", "linear."))}
    missing, unexpected = module.load_state_dict(own, strict=False)
    if unexpected or set(missing) != {"window", "filters"}:
        raise ValueError(
            f"{paths[0]}: not the GE2E weights: missing {missing}, unexpected {unexpected}"
        )
    return module
