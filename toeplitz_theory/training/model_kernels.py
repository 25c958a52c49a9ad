"""Kernels at the start of training and along the way."""

import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from toeplitz_theory.checkpoints.loading import CONFIG_KEY
from toeplitz_theory.errors import InputError
from toeplitz_theory.files import written_whole
from toeplitz_theory.tmm.mixers import CausalKernels, ToeplitzKernel

# Of the configuration, into the files of kernels, which do not say otherwise what they are kernels of.
_OF_THE_MODEL = ("model_type", "mixer", "row_normalised")


def named_kernels(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yield the state-dict key and the parameter (count, n) of every stored kernel, in model order."""
    for name, module in model.named_modules():
        if isinstance(module, ToeplitzKernel):
            yield stored_key(name, module), module.stored


def stored_key(name: str, module: ToeplitzKernel) -> str:
    """Return the state-dict key of a module's kernels."""
    return f"{name}.{module.stored_name}"


def tracked_kernels(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yield what a run keeps: stored kernels under their state-dict key, made ones as ``.kernels``."""
    for name, module in model.named_modules():
        if isinstance(module, ToeplitzKernel):
            yield stored_key(name, module), whole(module.stored)
        elif isinstance(module, CausalKernels):
            yield f"{name}.kernels", effective(module)


def local(weight: Tensor) -> Tensor:
    """Return the part of a parameter that this process holds: all of it, unless it is sharded."""
    return weight.to_local() if isinstance(weight, DTensor) else weight


def whole(weight: Tensor) -> Tensor:
    """Return a parameter whole, gathered from all processes where it is sharded; differentiable."""
    return weight.full_tensor() if isinstance(weight, DTensor) else weight


def effective(module: CausalKernels) -> Tensor:
    """Return the kernels (count, n) that a module multiplies by, whole, differentiable in its parameters."""
    if isinstance(module, ToeplitzKernel):
        return module.taps_of(whole(module.stored))
    if any(isinstance(weight, DTensor) for weight in module.parameters()):
        raise InputError(
            f"the kernels of {type(module).__name__} cannot be made from sharded weights; "
            'set training.sharding to "none"'
        )
    return module.kernels()


def mean_over_kernels(model: nn.Module, quantity: Callable[[Tensor], Tensor]) -> Tensor:
    """Return the mean over all kernels of ``quantity``, which gives (count,) numbers for taps (count, n)."""
    by_size: dict[int, list[Tensor]] = {}
    for module in model.modules():
        if isinstance(module, CausalKernels):
            taps = effective(module)
            by_size.setdefault(taps.shape[-1], []).append(taps)
    return torch.cat([quantity(torch.cat(rows)) for rows in by_size.values()]).mean()


def kernels_can_learn(model: nn.Module) -> bool:
    """Return whether any parameter that a kernel is made of has a gradient."""
    modules = (module for module in model.modules() if isinstance(module, CausalKernels))
    return any(weight.requires_grad for module in modules for weight in module.sources())


@torch.no_grad()
def draw_kernels(model: nn.Module, seed: int, init: str) -> None:
    """Draw every stored kernel anew, from a generator of its own that depends on seed, stack and place.

    The encoder of an autoencoder and a language model of the same shape and seed start from the same
    kernels, whatever else their constructors draw: comparing objectives must not compare seeds.
    """
    places: dict[str, int] = {}
    for name, module in model.named_modules():
        if not isinstance(module, ToeplitzKernel):
            continue
        stack = "decoder" if "decoderblocks" in name else "encoder"
        place = places[stack] = places.get(stack, -1) + 1
        generator = torch.Generator().manual_seed(seed * 1_000_003 + place * 2 + (stack == "decoder"))
        if module.positive:
            module.draw(init, generator)
        else:
            _draw_free(module.stored, init, generator)


def _draw_free(weight: Tensor, init: str, generator: torch.Generator) -> None:
    # As the shipped models were drawn, digit for digit.
    n = weight.shape[1]
    drawn = torch.randn(weight.shape, generator=generator) * math.sqrt(2 / n)
    if init == "decaying":
        drawn = drawn / torch.arange(1, n + 1).sqrt()
    weight.copy_(drawn)


def kernel_file(folder: Path, step: int) -> Path:
    """Return where the kernels of a step are kept."""
    return folder / f"step-{step:06d}.safetensors"


@torch.no_grad()
def save_kernels(model: nn.Module, folder: Path, step: int, write: bool = True) -> None:
    """Write the kernels of this step under their state-dict keys, whole or not at all.

    Every process of a run calls it, since sharded kernels are gathered; one has ``write``.
    """
    kernels = {key: taps.detach().float().cpu().contiguous() for key, taps in tracked_kernels(model)}
    if not write or not kernels:
        return
    metadata = {"step": str(step), "format": "pt"}
    config = getattr(model, "config", None)
    if config is not None:
        metadata[CONFIG_KEY] = json.dumps({name: getattr(config, name) for name in _OF_THE_MODEL})
    with written_whole(kernel_file(folder, step)) as partial:
        partial.write_bytes(_with_sorted_header(save(kernels, metadata=metadata)))


def _with_sorted_header(file: bytes) -> bytes:
    """Put the header of a safetensors file in order: as it comes, equal metadata differ from run to run."""
    size = int.from_bytes(file[:8], "little")
    header = json.dumps(json.loads(file[8 : 8 + size]), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + file[8 + size :]
