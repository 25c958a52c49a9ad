"""The token mixers side by side: parameters, a step of training, and a step of decoding early and late.

One size for all: width 128, 4 layers, vocabulary 1024, n = 1024; batch 4 in training, 1 in decoding; float32,
one thread, random weights. Mixers with heads have 4. Beside them the same network without mixing, and
transformers' Llama and Mamba2 with about as many weights.

Floors. Multiply-adds a token and layer, forward (three times that in a step): MLP and, where there are some,
projections 8 d^2 and 1 to 4 d^2; head V d = d^2 * 8 once. Mixing: Toeplitz d (n + 1) / 2 as a dense
triangle or about 2.5 * 2 * 2 log2(2n) d by FFT; k or 2 of them where there are as many; masked, as the
triangle; attention (n + 1) d; linear attention 2 d c + 64 d in blocks of 64 (c channels a head); Hyena 2 FFT
products of kernels of their own for every channel, generated anew each step (n (64^2 + 64 d) in all); state
spaces one such product (n d N in all). Decoding at position t, a layer: Toeplitz d t (online above some
hundred taps: flat), masked d t, attention 2 d t and as many numbers read; linear attention 2 d c; state
spaces 3 d N complex; both at every position alike.

What a cache holds includes the tables that online products make of the kernels, which do not depend on the
batch: they are most of it where every channel has a kernel of its own (Hyena).

Times are CPU time of the one thread; contenders take turns, and a ratio is the median over the turns of the
ratio within one turn.
"""

import statistics
import time
from typing import Any

import torch
from _common import llama, over, turns
from torch import Tensor, nn
from transformers import Mamba2Config, Mamba2ForCausalLM

from toeplitz_theory import TMMConfig, TMMForCausalLM

WIDTH, LAYERS, VOCABULARY, N, BATCH = 128, 4, 1024, 1024, 4
EARLY, BURST, ROUNDS = 32, 8, 8
CONTENDERS: dict[str, dict[str, Any]] = {
    "no mixing": {},
    "toeplitz": {},
    "toeplitz, 4 heads": {"num_heads": 4},
    "expanded": {"expanded": True},
    "kernel over 4 channels": {"kernel_size": 4},
    "positive, row-normalised": {"positive_kernels": True, "row_normalised": True},
    "frozen": {"mixer": "frozen_toeplitz"},
    "masked": {"mixer": "masked"},
    "attention": {"mixer": "attention", "num_heads": 4},
    "linear attention": {"mixer": "linear_attention", "num_heads": 4},
    "hyena": {"mixer": "hyena"},
    "ssm": {"mixer": "ssm"},
}
REFERENCES = ("llama", "mamba2")


class NoMixing(nn.Module):
    """In the place of a mixer: nothing."""

    def forward(self, x: Tensor, *_) -> Tensor:
        return torch.zeros_like(x)


def build(name: str) -> Any:
    """Return a contender with random weights."""
    torch.manual_seed(0)
    shape = {"vocab_size": VOCABULARY, "hidden_size": WIDTH, "num_hidden_layers": LAYERS}
    if name == "llama":
        return llama(VOCABULARY, WIDTH, LAYERS, N)
    if name == "mamba2":
        # Twice the width inside, so about 6 d^2 weights a layer.
        mamba = Mamba2Config(**shape, num_heads=8, head_dim=32, state_size=16, n_groups=1, chunk_size=64)
        return Mamba2ForCausalLM(mamba)
    model = TMMForCausalLM(TMMConfig(**shape, max_position_embeddings=N, **CONTENDERS[name]))
    if name == "no mixing":
        for block in model.model.mixer_blocks:
            block.token_mixing_layer, block.token_norm = NoMixing(), nn.Identity()
    return model


class Step:
    """A step of training of one contender, on fixed random tokens."""

    def __init__(self, name: str):
        self.model = build(name).train()
        self.optimiser = torch.optim.AdamW(self.model.parameters(), lr=1e-4)
        self.tokens = torch.randint(0, VOCABULARY, (BATCH, N), generator=torch.Generator().manual_seed(1))

    def __call__(self) -> float:
        """Take the step; return its milliseconds."""
        begin = time.thread_time()
        self.optimiser.zero_grad(set_to_none=True)
        self.model(input_ids=self.tokens, labels=self.tokens, use_cache=False).loss.backward()
        self.optimiser.step()
        return 1e3 * (time.thread_time() - begin)


class Decoder:
    """A model that has read some random tokens, and goes on one token a step."""

    def __init__(self, model: Any, start: int):
        self.model = model.eval()
        tokens = torch.randint(0, VOCABULARY, (1, start))
        self.name = "cache_params" if isinstance(model, Mamba2ForCausalLM) else "past_key_values"
        output = model(tokens, use_cache=True)
        self.past, self.token = output[self.name], tokens[:, :1]

    def __call__(self) -> float:
        """Take some steps; return the milliseconds of one, the first left out: its caches were cold."""
        self._step()
        begin = time.thread_time()
        for _ in range(BURST - 1):
            self._step()
        return 1e3 * (time.thread_time() - begin) / (BURST - 1)

    def _step(self) -> None:
        output = self.model(self.token, use_cache=True, **{self.name: self.past})
        self.token = output.logits[:, -1:].argmax(-1)

    def kilobytes(self) -> float:
        """Return how much the cache holds."""
        return _bytes_of(self.past.layers) / 1024


def _bytes_of(thing: Any, seen: set[int] | None = None) -> int:
    """Sum the storages of all tensors reachable from an object."""
    seen = set() if seen is None else seen
    if isinstance(thing, Tensor):
        storage = thing.untyped_storage()
        new = storage.data_ptr() not in seen
        seen.add(storage.data_ptr())
        return storage.nbytes() if new else 0
    if isinstance(thing, dict):
        return sum(_bytes_of(value, seen) for value in thing.values())
    if isinstance(thing, (list, tuple)):
        return sum(_bytes_of(value, seen) for value in thing)
    if id(thing) in seen or not hasattr(thing, "__dict__"):
        return 0
    seen.add(id(thing))
    return _bytes_of(vars(thing), seen)


def main() -> None:
    """Print one row for each contender."""
    torch.set_num_threads(1)
    names = [*CONTENDERS, *REFERENCES]
    training = turns({name: Step(name) for name in names}, rounds=7)
    with torch.no_grad():
        mixing = [name for name in names if name != "no mixing"]
        models = {name: build(name) for name in mixing}
        decoders = {f"{name} early": Decoder(model, EARLY) for name, model in models.items()}
        late = {f"{name} late": Decoder(model, N - BURST * (ROUNDS + 1)) for name, model in models.items()}
        decoding = turns(decoders | late, rounds=ROUNDS)
    bare = sum(parameter.numel() for parameter in build("no mixing").parameters())
    print(
        f"{'':>26} {'weights':>9} {'a layer':>8} {'step ms':>8} {'ratio':>6} {'token ms':>9} {'ratio':>6} "
        f"{'late/early':>10} {'cache KB':>9}"
    )
    for name in names:
        weights = sum(parameter.numel() for parameter in build(name).parameters())
        row = f"{name:>26} {weights:9d} {(weights - bare) // LAYERS:8d} "
        row += f"{statistics.median(training[name]):8.0f} {over(training, name, 'no mixing'):6.2f}"
        if name in models:
            key = f"{name} late"
            row += (
                f" {statistics.median(decoding[key]):9.2f} {over(decoding, key, 'toeplitz late'):6.2f} "
                f"{over(decoding, key, f'{name} early'):10.2f} {late[key].kilobytes():9.0f}"
            )
        print(row, flush=True)


if __name__ == "__main__":
    main()
