"""Models of one size that differ in how (or whether) they mix along time: what train_step.py compares.

``bare``      the same network without the mixing sub-layer: no norm, no projections, no residual there
``unmixed``   the sub-layer without its product: norm, residual and, with heads, both projections stay
``copied``    with kernels and biases too, the product replaced by a copy: what no product can be faster than
``auto``, ``fft``, ``dense`` ...    this package's model with that ``config.product``
``published``  the product as ``x @ W``, W filled from the kernel and masked to its upper triangle each step
``llama``     transformers' Llama with scaled dot product attention and as many weights
"""

import time

import torch
from _common import llama
from torch import Tensor, nn

from toeplitz_theory import TMMConfig, TMMForCausalLM
from toeplitz_theory.tmm.mixers import ToeplitzKernel
from toeplitz_theory.tmm.mixers.mixing import project_heads

WIDTH, LAYERS, VOCABULARY, BATCH = 128, 4, 1024, 8


class Passed(nn.Module):
    """A flat mixer without its product."""

    def forward(self, x: Tensor, *_) -> Tensor:
        return x


class Projected(nn.Module):
    """A mixer with heads without its products: the projections remain, one weight a head as stored."""

    def __init__(self, heads: int):
        super().__init__()
        self.inward = nn.ModuleList(nn.Linear(WIDTH, WIDTH // heads, bias=False) for _ in range(heads))
        self.outward = nn.Linear(WIDTH, WIDTH, bias=False)

    def forward(self, x: Tensor, *_) -> Tensor:
        return self.outward(project_heads(x, self.inward))


class Copied(Projected):
    """The same with kernels and biases, and a copy of the stream in place of the product."""

    def __init__(self, n: int, heads: int):
        super().__init__(heads)
        self.kernels = nn.ModuleList(ToeplitzKernel(n, bias=True) for _ in range(heads))
        for kernel in self.kernels:
            kernel.draw("kaiming")

    def forward(self, x: Tensor, *_) -> Tensor:
        heads = len(self.inward)
        stream = project_heads(x, self.inward) if heads > 1 else x
        taps = torch.cat([kernel.weight for kernel in self.kernels])
        bias = torch.stack([kernel.bias for kernel in self.kernels], -1)
        y = Copy.apply(stream, taps, bias[: x.shape[1]])
        return self.outward(y) if heads > 1 else y


class Copy(torch.autograd.Function):
    """What a product with its bias must read and write, and nothing computed but sums."""

    @staticmethod
    def forward(ctx, x, taps, bias):
        ctx.save_for_backward(x, taps)
        y = x.clone()
        y.unflatten(2, (len(taps), -1)).add_(bias[..., None])
        return y

    @staticmethod
    def backward(ctx, g):
        _, taps = ctx.saved_tensors
        return g.clone(), torch.zeros_like(taps), g.sum(0).unflatten(1, (len(taps), -1)).sum(2)


class Published(nn.Module):
    """``x @ W + b`` along time for each head, its W rebuilt and masked each step."""

    def __init__(self, n: int, heads: int):
        super().__init__()
        self.kernels = nn.ModuleList(ToeplitzKernel(n, bias=True) for _ in range(heads))
        self.inward = [nn.Linear(WIDTH, WIDTH // heads, bias=False) for _ in range(heads)]
        self.inward = nn.ModuleList(self.inward if heads > 1 else [nn.Identity()])
        self.outward = nn.Linear(WIDTH, WIDTH, bias=False) if heads > 1 else nn.Identity()
        self.register_buffer("lags", (torch.arange(n) - torch.arange(n)[:, None]) % n)

    def forward(self, x: Tensor, *_) -> Tensor:
        mixed = []
        for project, kernel in zip(self.inward, self.kernels, strict=True):
            matrix = torch.triu(kernel.weight[0][self.lags])
            mixed.append((project(x).transpose(1, 2) @ matrix + kernel.bias).transpose(1, 2))
        return self.outward(torch.cat(mixed, -1))


def toeplitz(n: int, heads: int, product: str) -> TMMForCausalLM:
    """Return this package's model."""
    config = TMMConfig(
        vocab_size=VOCABULARY,
        hidden_size=WIDTH,
        num_hidden_layers=LAYERS,
        num_heads=heads,
        max_position_embeddings=n,
        product=product,
    )
    return TMMForCausalLM(config)


def variant(name: str, n: int, heads: int) -> nn.Module:
    """Return a freshly initialised model by its name."""
    torch.manual_seed(0)
    if name == "llama":
        return llama(VOCABULARY, WIDTH, LAYERS, n).train()
    model = toeplitz(n, heads, name if name not in ("bare", "unmixed", "copied", "published") else "fft")
    for block in model.model.mixer_blocks:
        if name == "bare":
            block._mix_tokens = _nothing
            block.token_norm = block.token_mixing_layer = nn.Identity()
        elif name == "unmixed":
            block.token_mixing_layer = Passed() if heads == 1 else Projected(heads)
        elif name == "copied":
            block.token_mixing_layer = Copied(n, heads)
        elif name == "published":
            block.token_mixing_layer = Published(n, heads)
            for kernel in block.token_mixing_layer.kernels:
                nn.init.normal_(kernel.weight, std=(2 / n) ** 0.5)
                nn.init.zeros_(kernel.bias)
    return model.train()


def _nothing(x: Tensor, *_) -> Tensor:
    return x


class Stepper:
    """A model and its optimiser: each call is one step on fixed tokens; returns milliseconds."""

    def __init__(self, name: str, n: int, heads: int, batch: int = BATCH):
        self.model = variant(name, n, heads)
        self.optimiser = torch.optim.AdamW(self.model.parameters(), lr=1e-4, fused=True)
        self.tokens = torch.randint(0, VOCABULARY, (batch, n), generator=torch.Generator().manual_seed(1))

    def __call__(self) -> float:
        begin = time.process_time()
        self.optimiser.zero_grad(set_to_none=True)
        self.model(input_ids=self.tokens, labels=self.tokens, use_cache=False).loss.backward()
        self.optimiser.step()
        return 1e3 * (time.process_time() - begin)
