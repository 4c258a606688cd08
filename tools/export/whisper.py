"""Whisper as TorchScript: log-mel front end, encoder, and a batched greedy decoder with
preallocated caches.

Two archives come from here: `asr` (front end + encoder + decoder) and `teacher` (front end +
encoder, cut after a block). Written for scripting with torch 1.13: plain tensors,
matmul-softmax-matmul, no optional arguments. Numbers (window, hop, suppression, order of decoding
steps) follow openai/whisper `audio.py`, `model.py`, `decoding.py`.

Audio shorter than 30 s is padded by the caller with zero *samples*, so the frames after it carry
the floor value of the normalised log-mel (the convention of the papers' scorers), not 0.0.
"""

from typing import List, Tuple

import torch
from torch import Tensor, nn

import mel

SAMPLE_RATE = 16000
N_FFT = 400
HOP = 160
WINDOW_SAMPLES = 480000
# Softmax over 1500 keys is done for a few query rows at a time, so that the weights stay in the
# second-level cache.
QUERY_ROWS = 250


class LogMel(nn.Module):
    """wav [B, N] float32 at 16 kHz -> [B, bands, N // 160]; the floor is taken per row, 8
    decades below its maximum.
    """

    def __init__(self, bands: int):
        super().__init__()
        self.register_buffer("window", torch.hann_window(N_FFT))
        bank = mel.slaney_bank(SAMPLE_RATE, N_FFT, bands, 0.0, SAMPLE_RATE / 2)
        self.register_buffer("filters", torch.from_numpy(bank))

    def forward(self, wav: Tensor) -> Tensor:
        spectrum = torch.stft(
            wav,
            400,
            160,
            400,
            self.window,
            center=True,
            pad_mode="reflect",
            normalized=False,
            onesided=True,
            return_complex=True,
        )
        parts = torch.view_as_real(spectrum[:, :, :-1])
        power = parts[..., 0] * parts[..., 0] + parts[..., 1] * parts[..., 1]
        decades = torch.log10(torch.clamp(torch.matmul(self.filters, power), min=1e-10))
        floor = decades.amax(dim=[1, 2], keepdim=True) - 8.0
        return (torch.maximum(decades, floor) + 4.0) / 4.0


class EncoderBlock(nn.Module):
    """Pre-norm block. `qkv` is the fused projection whose query third already carries head_dim
    ** -0.5.
    """

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.query_rows = QUERY_ROWS
        self.attention_norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.mlp_norm = nn.LayerNorm(width)
        self.up = nn.Linear(width, 4 * width)
        self.down = nn.Linear(4 * width, width)

    def attend(self, x: Tensor) -> Tensor:
        batch, time, width = x.shape
        parts = (
            self.qkv(x).view(batch, time, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        )
        parts = parts.contiguous()
        query, key, value = parts[0], parts[1].transpose(2, 3), parts[2]
        mixed = torch.empty_like(query)
        for row in range(batch):
            for start in range(0, time, self.query_rows):
                end = min(start + self.query_rows, time)
                for head in range(self.heads):
                    weights = torch.softmax(
                        torch.mm(query[row, head, start:end], key[row, head]), dim=1
                    )
                    mixed[row, head, start:end] = torch.mm(weights, value[row, head])
        return self.out(mixed.transpose(1, 2).reshape(batch, time, width))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attend(self.attention_norm(x))
        return x + self.down(nn.functional.gelu(self.up(self.mlp_norm(x))))


class Encoder(nn.Module):
    """log-mel [B, bands, 3000] -> [B, 1500, width]: after block `layer` (1-based); the last
    block's output is layer-normed.
    """

    def __init__(self, bands: int, width: int, heads: int, layers: int):
        super().__init__()
        self.layers = layers
        self.conv1 = nn.Conv1d(bands, width, 3, padding=1)
        self.conv2 = nn.Conv1d(width, width, 3, stride=2, padding=1)
        self.register_buffer("positions", torch.zeros(1500, width))
        self.blocks = nn.ModuleList([EncoderBlock(width, heads) for _ in range(layers)])
        self.norm = nn.LayerNorm(width)

    def forward(self, features: Tensor, layer: int) -> Tensor:
        x = nn.functional.gelu(self.conv1(features))
        x = nn.functional.gelu(self.conv2(x))
        x = x.transpose(1, 2) + self.positions
        done = 0
        for block in self.blocks:
            if done < layer:
                x = block(x)
            done += 1
        if layer == self.layers:
            x = self.norm(x)
        return x


class DecoderBlock(nn.Module):
    """One pre-norm decoder block over `time` new positions, with self-attention caches that it
    fills in place.
    """

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.self_norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.self_out = nn.Linear(width, width)
        self.cross_norm = nn.LayerNorm(width)
        self.cross_query = nn.Linear(width, width)
        self.cross_kv = nn.Linear(width, 2 * width)
        self.cross_out = nn.Linear(width, width)
        self.mlp_norm = nn.LayerNorm(width)
        self.up = nn.Linear(width, 4 * width)
        self.down = nn.Linear(4 * width, width)

    @torch.jit.export
    def cross_cache(self, encoded: Tensor) -> Tuple[Tensor, Tensor]:
        """encoded [B, S, width] -> keys [B, heads, head_dim, S], values [B, heads, S, head_dim];
        once per window.
        """
        batch, source, width = encoded.shape
        parts = self.cross_kv(encoded).view(batch, source, 2, self.heads, width // self.heads)
        return (
            parts[:, :, 0].permute(0, 2, 3, 1).contiguous(),
            parts[:, :, 1].transpose(1, 2).contiguous(),
        )

    def forward(
        self,
        x: Tensor,
        start: int,
        mask: Tensor,
        keys: Tensor,
        values: Tensor,
        cross_keys: Tensor,
        cross_values: Tensor,
    ) -> Tensor:
        batch, time, width = x.shape
        end = start + time
        parts = self.qkv(self.self_norm(x)).view(batch, time, 3, self.heads, width // self.heads)
        keys[:, :, start:end] = parts[:, :, 1].transpose(1, 2)
        values[:, :, start:end] = parts[:, :, 2].transpose(1, 2)
        scores = (
            torch.matmul(parts[:, :, 0].transpose(1, 2), keys[:, :, :end].transpose(2, 3)) + mask
        )
        mixed = torch.matmul(torch.softmax(scores, dim=-1), values[:, :, :end])
        x = x + self.self_out(mixed.transpose(1, 2).reshape(batch, time, width))
        query = self.cross_query(self.cross_norm(x)).view(
            batch, time, self.heads, width // self.heads
        )
        scores = torch.matmul(query.transpose(1, 2), cross_keys)
        mixed = torch.matmul(torch.softmax(scores, dim=-1), cross_values)
        x = x + self.cross_out(mixed.transpose(1, 2).reshape(batch, time, width))
        return x + self.down(nn.functional.gelu(self.up(self.mlp_norm(x))))


class Decoder(nn.Module):
    def __init__(self, vocabulary: int, width: int, heads: int, layers: int, positions: int):
        super().__init__()
        self.heads = heads
        self.register_buffer("embedding", torch.zeros(vocabulary, width))
        self.register_buffer("positions", torch.zeros(positions, width))
        self.blocks = nn.ModuleList([DecoderBlock(width, heads) for _ in range(layers)])
        self.norm = nn.LayerNorm(width)

    @torch.jit.export
    def cross_caches(self, encoded: Tensor) -> List[Tuple[Tensor, Tensor]]:
        caches: List[Tuple[Tensor, Tensor]] = []
        for block in self.blocks:
            caches.append(block.cross_cache(encoded))
        return caches

    @torch.jit.export
    def self_caches(self, batch: int, length: int) -> List[Tuple[Tensor, Tensor]]:
        shape = [batch, self.heads, length, self.positions.size(1) // self.heads]
        caches: List[Tuple[Tensor, Tensor]] = []
        for block in self.blocks:
            caches.append((self.positions.new_zeros(shape), self.positions.new_zeros(shape)))
        return caches

    def forward(
        self,
        tokens: Tensor,
        start: int,
        cached: List[Tuple[Tensor, Tensor]],
        cross: List[Tuple[Tensor, Tensor]],
    ) -> Tensor:
        """tokens [B, T] at positions start..start+T-1 -> normed states [B, T, width]; fills
        `cached` in place.
        """
        time = tokens.size(1)
        x = nn.functional.embedding(tokens, self.embedding) + self.positions[start : start + time]
        mask = torch.full([time, start + time], float("-inf"), dtype=x.dtype, device=x.device).triu(
            1 + start
        )
        index = 0
        for block in self.blocks:
            keys, values = cached[index]
            cross_keys, cross_values = cross[index]
            x = block(x, start, mask, keys, values, cross_keys, cross_values)
            index += 1
        return self.norm(x)

    @torch.jit.export
    def logits(self, states: Tensor) -> Tensor:
        return nn.functional.linear(states, self.embedding)


class Recognizer(nn.Module):
    """Interface asr-1: forward(wav [B, 480000]) -> (tokens [B, <= T] int64 right-filled with EOT,
    sum_logprob [B], no_speech_prob [B]).

    Greedy, without timestamps. sum_logprob adds the log-probabilities of the masked distribution up
    to and including EOT; no_speech_prob is read from the unmasked distribution at the SOT position.
    Decoding stops when every row has emitted EOT, so a batch of short clips costs a few steps.
    """

    def __init__(self, bands: int, settings: dict, dims: dict):
        super().__init__()
        self.front = LogMel(bands)
        self.encoder = Encoder(bands, dims["width"], dims["heads"], dims["encoder_layers"])
        self.decoder = Decoder(
            dims["vocabulary"],
            dims["width"],
            dims["heads"],
            dims["decoder_layers"],
            dims["positions"],
        )
        self.layers = dims["encoder_layers"]
        self.eot: int = settings["eot"]
        self.no_speech: int = settings["no_speech"]
        self.sampled_max: int = settings["tokens_max"]
        self.sot_index: int = settings["prompt"].index(settings["sot"])
        self.register_buffer("prompt", torch.tensor(settings["prompt"], dtype=torch.int64))
        always = torch.zeros(dims["vocabulary"])
        always[torch.tensor(settings["suppress"])] = float("-inf")
        first = always.clone()
        first[torch.tensor(settings["suppress_first"])] = float("-inf")
        self.register_buffer("suppress_always", always)
        self.register_buffer("suppress_first", first)

    @torch.jit.export
    def log_mel(self, wav: Tensor) -> Tensor:
        """wav [B, N] -> [B, bands, N // 160]; any N of at least 400."""
        return self.front(wav)

    @torch.jit.export
    def encode(self, wav: Tensor) -> Tensor:
        assert (
            wav.dim() == 2 and wav.size(1) == 480000
        ), "wav must be [B, 480000]: pad with zeros to 30 s at 16 kHz"
        return self.encoder(self.front(wav), self.layers)

    @torch.jit.export
    def decode(self, encoded: Tensor) -> Tuple[Tensor, Tensor, Tensor]:
        batch = encoded.size(0)
        prompt_length = self.prompt.size(0)
        cross = self.decoder.cross_caches(encoded)
        cached = self.decoder.self_caches(batch, prompt_length + self.sampled_max)
        states = self.decoder(
            self.prompt.unsqueeze(0).expand(batch, prompt_length), 0, cached, cross
        )
        start_logits = self.decoder.logits(states[:, self.sot_index])
        no_speech = torch.softmax(start_logits, dim=1)[:, self.no_speech]

        tokens = torch.full(
            [batch, self.sampled_max], self.eot, dtype=torch.int64, device=encoded.device
        )
        total = torch.zeros([batch], dtype=encoded.dtype, device=encoded.device)
        live = torch.ones([batch], dtype=torch.bool, device=encoded.device)
        scores = self.decoder.logits(states[:, prompt_length - 1]) + self.suppress_first
        length = 0
        while length < self.sampled_max:
            best, token = torch.log_softmax(scores, dim=1).max(dim=1)
            total = total + torch.where(live, best, torch.zeros_like(best))
            live = live & (token != self.eot)
            if not bool(live.any()):
                break
            token = torch.where(live, token, torch.full_like(token, self.eot))
            tokens[:, length] = token
            length += 1
            if length < self.sampled_max:
                states = self.decoder(token.unsqueeze(1), prompt_length + length - 1, cached, cross)
                scores = self.decoder.logits(states[:, 0]) + self.suppress_always
        return tokens[:, :length], total, no_speech

    def forward(self, wav: Tensor) -> Tuple[Tensor, Tensor, Tensor]:
        return self.decode(self.encode(wav))


class Teacher(nn.Module):
    """Interface teacher-1: forward(wav [B, 480000], layer) -> [B, 1500, width], 50 frames a second.

    layer 1 .. layers - 1 gives the residual stream after that block; the last layer gives the
    encoder's output, after its final layer norm.
    """

    def __init__(self, bands: int, dims: dict):
        super().__init__()
        self.front = LogMel(bands)
        self.encoder = Encoder(bands, dims["width"], dims["heads"], dims["encoder_layers"])
        self.layers = dims["encoder_layers"]

    @torch.jit.export
    def log_mel(self, wav: Tensor) -> Tensor:
        return self.front(wav)

    def forward(self, wav: Tensor, layer: int) -> Tensor:
        assert (
            wav.dim() == 2 and wav.size(1) == 480000
        ), "wav must be [B, 480000]: pad with zeros to 30 s at 16 kHz"
        assert (
            1 <= layer and layer <= self.layers
        ), "layer must be from 1 to the number of encoder blocks"
        return self.encoder(self.front(wav), layer)
