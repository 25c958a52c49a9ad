"""Kernels at the start of training and along the way."""

import math
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from toeplitz_theory.files import written_whole
from toeplitz_theory.tmm.mixers import ToeplitzKernel


def named_kernels(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yield the state-dict key and the parameter (count, n) of every stored kernel, in model order."""
    for name, module in model.named_modules():
        if isinstance(module, ToeplitzKernel):
            yield f"{name}.{'weight_raw' if module.positive else 'weight'}", module.stored


@torch.no_grad()
def draw_kernels(model: nn.Module, seed: int, init: str) -> None:
    """Draw every kernel anew, from a generator of its own that depends on seed, stack and place.

    The encoder of an autoencoder and a language model of the same shape and seed start from the same
    kernels, whatever else their constructors draw: comparing objectives must not compare seeds.
    """
    places: dict[str, int] = {}
    for key, weight in named_kernels(model):
        stack = "decoder" if "decoderblocks" in key else "encoder"
        place = places[stack] = places.get(stack, -1) + 1
        generator = torch.Generator().manual_seed(seed * 1_000_003 + place * 2 + (stack == "decoder"))
        n = weight.shape[1]
        drawn = torch.randn(weight.shape, generator=generator) * math.sqrt(2 / n)
        if init == "decaying":
            drawn = drawn / torch.arange(1, n + 1).sqrt()
        weight.copy_(drawn)


def kernel_file(folder: Path, step: int) -> Path:
    """Return where the kernels of a step are kept."""
    return folder / f"step-{step:06d}.safetensors"


def save_kernels(model: nn.Module, folder: Path, step: int) -> None:
    """Write the kernels of this step under their state-dict keys, whole or not at all."""
    kernels = {key: weight.detach().float().cpu().contiguous() for key, weight in named_kernels(model)}
    with written_whole(kernel_file(folder, step)) as partial:
        save_file(kernels, partial, metadata={"step": str(step), "format": "pt"})
