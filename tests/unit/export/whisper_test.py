"""The recognizer's search and caches on a small network with random weights: no wheel is needed."""

import unittest

import support

support.need_modules("numpy", "torch")
import torch
import whisper

DIMS = {"vocabulary": 60, "width": 32, "heads": 2, "encoder_layers": 2, "decoder_layers": 2, "positions": 20}
SETTINGS = {
    "eot": 50,
    "no_speech": 53,
    "tokens_max": 8,
    "sot": 51,
    "prompt": [51, 52, 54],
    "suppress": [3, 4, 51, 53],
    "suppress_first": [7, 50],
}


def small_recognizer(seed=3):
    torch.manual_seed(seed)
    module = whisper.Recognizer(80, SETTINGS, DIMS).eval().requires_grad_(False)
    for parameter in module.parameters():
        parameter.data = torch.randn_like(parameter) * 0.3
    for name in ("embedding", "positions"):
        buffer = getattr(module.decoder, name)
        buffer.copy_(torch.randn_like(buffer))
    # A stronger end token, so that some rows of a batch end early and some never.
    module.decoder.embedding[SETTINGS["eot"]] *= 2
    return module


def encoded(batch, seed=5):
    return torch.randn(batch, 1500, DIMS["width"], generator=torch.Generator().manual_seed(seed))


def full_scores(module, states, sequence):
    """The scores of every position after the prompt from one pass without caches of earlier
    steps.
    """
    cached = module.decoder.self_caches(1, sequence.size(1))
    cross = module.decoder.cross_caches(states)
    hidden = module.decoder(sequence, 0, cached, cross)
    scores = module.decoder.logits(hidden)[0, len(SETTINGS["prompt"]) - 1 :]
    masks = torch.stack([module.suppress_first] + [module.suppress_always] * (len(scores) - 1))
    return torch.log_softmax(scores + masks, dim=1)


class GreedyDecoding(unittest.TestCase):
    def setUp(self):
        self.module = small_recognizer()
        self.scripted = torch.jit.script(self.module)

    def test_steps_with_caches_choose_what_one_full_pass_chooses(self):
        states = encoded(4)
        tokens, total, _ = self.scripted.decode(states)
        ended = (tokens == SETTINGS["eot"]).any(dim=1).tolist()
        self.assertEqual((any(ended), all(ended)), (True, False), "rows must end at different steps")
        for row in range(4):
            kept = [token for token in tokens[row].tolist() if token != SETTINGS["eot"]]
            sequence = torch.tensor([SETTINGS["prompt"] + kept])
            scores = full_scores(self.module, states[row : row + 1], sequence)
            wanted = kept + [SETTINGS["eot"]]
            steps = min(len(wanted), SETTINGS["tokens_max"])
            self.assertEqual(scores.argmax(dim=1)[:steps].tolist(), wanted[:steps])
            best = scores[:steps].max(dim=1).values.sum()
            self.assertAlmostEqual(float(total[row]), float(best), delta=1e-3)

    def test_a_row_does_not_depend_on_its_batch(self):
        states = encoded(4)
        together, totals, silent = self.scripted.decode(states)
        for row in range(4):
            alone, total, no_speech = self.scripted.decode(states[row : row + 1])
            length = alone.size(1)
            self.assertTrue(torch.equal(together[row, :length], alone[0]))
            self.assertTrue(torch.all(together[row, length:] == SETTINGS["eot"]))
            torch.testing.assert_close(totals[row], total[0], rtol=1e-5, atol=1e-5)
            torch.testing.assert_close(silent[row], no_speech[0], rtol=1e-5, atol=1e-6)

    def test_suppressed_tokens_never_come_and_first_ones_not_first(self):
        for seed in range(6):
            tokens = self.scripted.decode(encoded(8, seed))[0]
            self.assertFalse(set(tokens.flatten().tolist()) & set(SETTINGS["suppress"]))
            self.assertFalse(set(tokens[:, 0].tolist()) & set(SETTINGS["suppress_first"]))

    def test_decoding_ends_when_every_row_has_ended(self):
        # The end token's embedding is the sum of what the network likes, so it wins from the second
        # step on.
        self.module.decoder.embedding[SETTINGS["eot"]] = 0
        self.module.suppress_always[:] = float("-inf")
        self.module.suppress_always[SETTINGS["eot"]] = 0
        tokens, _, _ = torch.jit.script(self.module).decode(encoded(3))
        self.assertEqual(tokens.size(1), 1)

    def test_decoding_never_exceeds_its_limit(self):
        self.module.suppress_always[SETTINGS["eot"]] = float("-inf")
        tokens, _, _ = torch.jit.script(self.module).decode(encoded(2))
        self.assertEqual(tuple(tokens.shape), (2, SETTINGS["tokens_max"]))

    def test_audio_of_another_length_is_refused_with_what_to_do(self):
        with self.assertRaisesRegex(torch.jit.Error, "pad with zeros to 30 s"):
            self.scripted(torch.zeros(1, 16000))


class Encoding(unittest.TestCase):
    def test_attention_by_rows_is_softmax_over_all_keys(self):
        torch.manual_seed(1)
        block = whisper.EncoderBlock(32, 2).eval()
        block.query_rows = 7
        x = torch.randn(2, 40, 32)
        with torch.no_grad():
            query, key, value = block.qkv(x).view(2, 40, 3, 2, 16).permute(2, 0, 3, 1, 4)
            mixed = torch.softmax(query @ key.transpose(2, 3), dim=-1) @ value
            wanted = block.out(mixed.transpose(1, 2).reshape(2, 40, 32))
            torch.testing.assert_close(block.attend(x), wanted, rtol=1e-5, atol=1e-5)

    def test_teacher_layers_build_on_each_other_and_only_the_last_is_normed(self):
        torch.manual_seed(2)
        module = whisper.Teacher(80, DIMS).eval().requires_grad_(False)
        scripted = torch.jit.script(module)
        wave = torch.randn(1, whisper.WINDOW_SAMPLES) * 0.1
        first, last = scripted(wave, 1), scripted(wave, 2)
        self.assertEqual(tuple(first.shape), (1, 1500, 32))
        torch.testing.assert_close(
            module.encoder.norm(module.encoder.blocks[1](first)), last, rtol=1e-4, atol=1e-5
        )
        for layer in (0, 3):
            with self.assertRaisesRegex(torch.jit.Error, "layer must be from 1"):
                scripted(wave, layer)


if __name__ == "__main__":
    support.main()
