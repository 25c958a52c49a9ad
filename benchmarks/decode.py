"""Decoding: time per token early and late in a long context, and against caches that are read whole.

Width 256, 4 layers, vocabulary 1024, batch 1, float32, one thread, random weights, n = 16,384. Every model
takes the same steps: one token in, logits out, the next token their argmax. Contenders:

- ``online``: this package's cached step above a few hundred taps;
- ``history``: its plain form, a dot product with all inputs so far, kept in place;
- ``time-major``: the same dot product at its best, one matrix-vector product with a preallocated (n, d)
  history;
- ``published``: the same with history and logits joined anew each step, as the published cached decoder does;
- ``llama dynamic`` / ``llama static``: transformers' Llama of the same number of weights, its cache growing
  or allocated once.

Floors per token at position 16,384, of 4 layers together. Weights: 9.4 MB read, 4.7 M multiply-adds, for
every model here. Online: 48 inputs a channel read by the step itself (0.2 MB, 0.05 M multiply-adds), a
dense level of 1,536 lags on average (1.6 M multiply-adds), an FFT level of two transforms of length 2048 a
channel every 1024 steps with 14 products of spectra (0.2 M operations; 0.1 MB). History: 67 MB read, 16.8 M
multiply-adds. Llama: 134 MB of keys and values read, 33.6 M multiply-adds. At 10 GB/s the bytes alone are
0.9 ms (online), 7.6 ms (history), 14 ms (Llama).

Times are CPU time of the one thread, which other load on the machine does not enter (it does enter through
caches and memory); the contenders take turns, a few steps each, so that slow minutes hit all alike.
"""

import statistics
import time
from typing import Any

import torch
from _common import llama
from torch import nn
from transformers import DynamicCache, StaticCache

from toeplitz_theory import TMMConfig, TMMForCausalLM
from toeplitz_theory.tmm.cache import blocks_for
from toeplitz_theory.tmm.online import OnlineConvolution

N, WIDTH, LAYERS, VOCABULARY = 16_384, 256, 4, 1024
EARLY, WINDOW, ROUNDS = 256, 1024, 8


def toeplitz_model(decoding: str, heads: int = 1) -> TMMForCausalLM:
    """Return a random model of the measured size."""
    torch.manual_seed(0)
    config = TMMConfig(
        vocab_size=VOCABULARY,
        hidden_size=WIDTH,
        num_hidden_layers=LAYERS,
        num_heads=heads,
        max_position_embeddings=N,
        decoding=decoding,
    )
    return TMMForCausalLM(config).eval()


class Decoder:
    """A model somewhere in a context, one token a step, and the milliseconds its steps took."""

    def __init__(self, model: nn.Module, cache):
        self.model: Any = model
        self.cache = cache
        self.token = torch.zeros(1, 1, dtype=torch.long)
        self.times: list[float] = []

    def step(self) -> torch.Tensor:
        """Return the logits of the next token."""
        return self.model(self.token, past_key_values=self.cache, use_cache=True).logits

    def run(self, steps: int) -> None:
        """Take and time some steps."""
        for _ in range(steps):
            begin = time.thread_time()
            self.token = self.step()[:, -1:].argmax(-1)
            self.times.append(1e3 * (time.thread_time() - begin))


class JoinedHistory(Decoder):
    """The dot product with a plain history; ``joined`` makes history and logits anew each step."""

    def __init__(self, model: TMMForCausalLM, start: int, joined: bool):
        super().__init__(model, None)
        self.position, self.joined = start, joined
        length = start if joined else N
        self.histories = [torch.randn(1, length, WIDTH) for _ in range(LAYERS)]
        self.logits = torch.randn(1, start, VOCABULARY)
        blocks = self.model.model.mixer_blocks
        self.reversed = [block.token_mixing_layer.weight.detach().flip(-1) for block in blocks]

    def step(self) -> torch.Tensor:
        """Return the logits of the next token."""
        x = self.model.model.embed_tokens(self.token)
        for index, block in enumerate(self.model.model.mixer_blocks):
            x = block._mix_channels(x)
            inputs = block.token_norm(x)
            if self.joined:
                past = self.histories[index] = torch.cat([self.histories[index], inputs], 1)
            else:
                past = self.histories[index]
                past[:, self.position] = inputs[:, 0]
                past = past[:, : self.position + 1]
            y = self.reversed[index][:, -past.shape[1] :] @ past
            x = x + y + block.token_mixing_layer.bias[self.position]
        self.position += 1
        logits = self.model.lm_head(self.model.model.norm(x))
        if self.joined:
            self.logits = torch.cat([self.logits, logits], 1)
        return logits


def prefilled(decoding: str, start: int, heads: int = 1) -> Decoder:
    """Return a Toeplitz model that has read ``start`` random tokens."""
    model = toeplitz_model(decoding, heads)
    tokens = torch.randint(0, VOCABULARY, (1, start))
    return Decoder(model, model(tokens, use_cache=True, logits_to_keep=1).past_key_values)


def llama_at(start: int, static: bool) -> Decoder:
    """Return a Llama with random keys and values of ``start`` tokens: their values do not change its cost."""
    torch.manual_seed(0)
    model = llama(VOCABULARY, WIDTH, LAYERS, N).eval()
    cache = StaticCache(config=model.config, max_cache_len=N) if static else DynamicCache(config=model.config)
    for layer in range(LAYERS):
        cache.update(*torch.randn(2, 1, 4, start, WIDTH // 4), layer)
    return Decoder(model, cache)


def measure(decoders: dict[str, tuple[Decoder, int]]) -> None:
    """Let the decoders take turns, each its number of steps in all."""
    for decoder, _ in decoders.values():
        decoder.run(3)
        decoder.times.clear()
    for _ in range(ROUNDS):
        for decoder, steps in decoders.values():
            decoder.run(steps // ROUNDS)


def show(decoders: dict[str, tuple[Decoder, int]], reference: str) -> None:
    """Print mean, median, 99th percentile and largest time a step, and means over that of ``reference``."""
    means = {name: statistics.mean(decoder.times) for name, (decoder, _) in decoders.items()}
    print(
        f"{'':>24} {'steps':>6} {'mean':>8} {'median':>8} {'p99':>8} {'max':>8} {'tokens/s':>9} {'ratio':>6}"
    )
    for name, (decoder, steps) in decoders.items():
        times = sorted(decoder.times)
        middle, high = times[len(times) // 2], times[int(0.99 * len(times))]
        print(
            f"{name:>24} {steps:6d} {means[name]:8.3f} {middle:8.3f} {high:8.3f} {times[-1]:8.3f} "
            f"{1e3 / means[name]:9.0f} {means[name] / means[reference]:6.2f}"
        )


def push_microseconds(n: int, heads: int, batch: int, decoding: str, steps: int = 512) -> float:
    """Return the mean CPU time of one mixer's step, around the middle of its n positions."""
    stream = OnlineConvolution(torch.randn(heads, n), blocks_for(n, decoding))
    x = torch.randn(batch, n, heads, WIDTH // heads)
    start = max(1, (n - steps) // 2)
    stream.load(x[:, :start])
    begin = time.thread_time()
    for position in range(start, min(n, start + steps)):
        stream.push(x[:, position : position + 1])
    return 1e6 * (time.thread_time() - begin) / (min(n, start + steps) - start)


def show_crossover() -> None:
    """Print where the online step becomes cheaper than the history: what ``decoding="auto"`` goes by."""
    print("\nmicroseconds a step of one mixer: history / online (least of 3)")
    sizes = (256, 512, 1024, 2048, 4096)
    print(f"{'heads, batch':>14} " + " ".join(f"{n:>11}" for n in sizes))
    for heads, batch in ((1, 1), (4, 1), (1, 4), (4, 4), (1, 16)):
        cells = []
        for n in sizes:
            both = [
                min(push_microseconds(n, heads, batch, decoding) for _ in range(3))
                for decoding in ("history", "online")
            ]
            cells.append(f"{both[0]:5.0f}/{both[1]:5.0f}")
        print(f"{heads:>9}, {batch:>3} " + " ".join(cells))


def main() -> None:
    """Print milliseconds of CPU time a token."""
    torch.set_num_threads(1)
    late, few = N - WINDOW - 16, 64
    with torch.no_grad():
        decoders = {
            "online, 256": (prefilled("online", EARLY), WINDOW),
            "online, 16384": (prefilled("online", late), WINDOW),
            "4 heads online, 256": (prefilled("online", EARLY, heads=4), WINDOW),
            "4 heads online, 16384": (prefilled("online", late, heads=4), WINDOW),
            "history, 256": (prefilled("history", EARLY), few),
            "history, 16384": (prefilled("history", N - 2 * few), few),
            "time-major, 16384": (JoinedHistory(toeplitz_model("history"), N - 2 * few, joined=False), few),
            "published, 16384": (JoinedHistory(toeplitz_model("history"), N - 2 * few, joined=True), few),
            "llama dynamic, 256": (llama_at(EARLY, static=False), few),
            "llama dynamic, 16384": (llama_at(N - 2 * few, static=False), few),
            "llama static, 16384": (llama_at(N - 2 * few, static=True), few),
        }
        measure(decoders)
    show(decoders, "online, 16384")
    means = {name: statistics.mean(decoder.times) for name, (decoder, _) in decoders.items()}
    for heads in ("", "4 heads "):
        growth = means[f"{heads}online, 16384"] / means[f"{heads}online, 256"]
        print(f"{heads or '1 head '}growth from position 256 to 16384: {growth:.2f} (target 1.3)")
    with torch.no_grad():
        show_crossover()


if __name__ == "__main__":
    main()
