"""Model surgery: every Toeplitz kernel replaced by one that is invertible, at once or after a delay."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch
from safetensors import SafetensorError
from threadpoolctl import threadpool_limits
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from toeplitz_theory.display import Displayed
from toeplitz_theory.errors import InputError, RunError, reason_of
from toeplitz_theory.names import shown
from toeplitz_theory.operators import Symbol
from toeplitz_theory.tmm.mixers import CausalKernels, ToeplitzKernel
from toeplitz_theory.training.model_kernels import named_kernels, stored_key
from toeplitz_theory.training.trained import TrainedModel, open_trained


@dataclass(frozen=True, repr=False)
class Replaced(Displayed):
    """What happened to one kernel.

    Attributes
    ----------
    key : str
        Its name in the state dict.
    index_before, index_after : int or None
        Proved Fredholm indices of the kernel as it was and as it is stored now; None where a zero lies on
        the circle or too close to tell. Rounding to the model's dtype can put a zero that belongs on the
        circle back inside: then ``index_after`` is not 0, and says so.
    distance : float
        ``||new - old|| / ||old||``.

    Examples
    --------
    >>> Replaced("mixer.weight", index_before=-2, index_after=0, distance=0.3).index_after
    0
    """

    key: str
    index_before: int | None
    index_after: int | None
    distance: float


Keep = Literal["nothing", "main-lag", "mean-delay", "deep-zeros"]


@torch.no_grad()
def make_invertible(model: nn.Module, keep: Keep = "nothing", near: float = 2.0) -> list[Replaced]:
    """Replace every Toeplitz kernel of a model, in place, by one with fewer zeros inside the circle.

    The new kernel amplifies every frequency as the old one does (up to what a delay pushes out at the end);
    what changes is the phase. The sign is the one closer to the old kernel. Of a kernel over channels, the
    one on the diagonal decides, and it alone is replaced. Comparing loss and retention before and after
    measures what the inner factors did.

    Parameters
    ----------
    model : nn.Module
        A model with Toeplitz kernels of `toeplitz_theory.tmm`.
    keep : {"nothing", "main-lag", "mean-delay", "deep-zeros"}
        What stays of the inner factor, which is a delay. Nothing: the outer factor, index 0. A main lag m:
        z^m times the outer factor, with the m at which that is closest to the kernel. The mean delay: the
        same with m = -index, the kernel's zeros inside. Deep zeros: only zeros nearer the circle than
        ``near / n`` are reflected, and the others, which are what delays, stay where they are.
    near : float
        Width of the ring of zeros to reflect, times n; used with deep zeros alone.

    Returns
    -------
    list of Replaced
        One for each kernel, in model order.

    Raises
    ------
    InputError
        If the model has no Toeplitz kernel, one that is zero or not finite, one whose zeros inside the circle
        cannot be counted where they must be, or one that its parameters cannot hold: made by a network, or
        positive by construction. Nothing is changed then.

    Examples
    --------
    >>> from toeplitz_theory.tmm import TMMConfig, TMMForCausalLM
    >>> shape = dict(vocab_size=8, hidden_size=4, num_hidden_layers=1, max_position_embeddings=8)
    >>> (replaced,) = make_invertible(TMMForCausalLM(TMMConfig(**shape)))
    >>> replaced.index_after
    0
    """
    if keep not in get_args(Keep):
        raise InputError(f"keep={shown(repr(keep))} is none of {', '.join(get_args(Keep))}")
    if not near > 0:
        raise InputError(f"near={near!r} must be positive")
    kernels = list(replaceable(model))
    if not kernels:
        raise InputError("the model has no Toeplitz kernel to replace")
    # All new kernels first: one that cannot be replaced must leave the model as it was.
    pairs = [replacement(key, taps, keep, near) for key, taps in kernels]
    replaced = []
    for (key, taps), (old, new) in zip(kernels, pairs, strict=True):
        taps.copy_(torch.from_numpy(new))
        stored = taps.double().cpu().numpy()
        before, after = (Symbol(kernel).fredholm_index().value for kernel in (old, stored))
        distance = float(np.linalg.norm(stored - old) / np.linalg.norm(old))
        replaced.append(Replaced(key, before, after, distance))
    return replaced


def replaceable(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yield key and taps (n,) of the kernels that decide about invertibility, as views of the parameters."""
    for name, module in model.named_modules():
        if isinstance(module, ToeplitzKernel) and not module.positive:
            yield stored_key(name, module), module.stored.detach()[-1]
        elif isinstance(module, CausalKernels):
            kind = "positive by construction" if isinstance(module, ToeplitzKernel) else "made by a network"
            raise InputError(f"{name}: kernels that are {kind} cannot be replaced by their outer factors")


def replacement(key: str, taps: Tensor, keep: Keep, near: float) -> tuple[np.ndarray, np.ndarray]:
    """Return a kernel and what takes its place, with the sign that is closer."""
    old = taps.double().cpu().numpy().copy()
    if not np.isfinite(old).all() or not old.any():
        raise InputError(f"{key}: a kernel that is zero or not finite has no outer factor")
    symbol, n = Symbol(old), len(old)
    if keep == "deep-zeros":
        new = _reflected(old, symbol.zeros().inside(), near / n)
    else:
        new, lag = np.array(symbol.outer().kernel), 0
        if keep == "main-lag":
            lag = int(np.argmax(np.abs(np.correlate(old, new, "full")[n - 1 :])))
        elif keep == "mean-delay":
            index = symbol.fredholm_index().value
            if index is None:
                raise InputError(
                    f"{key}: its zeros inside the circle cannot be counted, so it has no mean delay"
                )
            lag = min(-index, n - 1)
        new = np.concatenate([np.zeros(lag), new[: n - lag]])
    return old, new if old @ new >= 0 else -new


def _reflected(kernel: np.ndarray, inside: np.ndarray, width: float) -> np.ndarray:
    """Reflect the zeros inside the circle that are nearer to it than ``width``.

    On the circle that multiplies by factors of modulus 1, which no rounding can amplify.
    """
    points = 4 * len(kernel)
    z = np.exp(-2j * np.pi * np.arange(points) / points)
    values = np.fft.fft(kernel, points)
    for zero in inside[1 - np.abs(inside) < width]:
        values *= (1 - np.conj(zero) * z) / (zero - z)
    return np.fft.ifft(values).real[: len(kernel)]


# What surgery does to a trained model: its loss before, after, and after a random change as large.


_BATCH = 16


@dataclass(frozen=True, repr=False)
class SurgeryMeasured(Displayed):
    """Losses of a model around surgery, in nats per token, on its held-out documents.

    Attributes
    ----------
    before, after : float
        With the kernels as trained, and with what replaced them.
    control : float
        With each kernel moved as far as surgery moved it, in a random direction.
    unigram : float
        What knowing nothing but frequencies gives.
    tokens : int
        Tokens the losses are means over.
    replaced : tuple of Replaced
        What happened to each kernel.

    Examples
    --------
    >>> SurgeryMeasured(before=2.1, after=2.3, control=4.0, unigram=5.2, tokens=100, replaced=()).after
    2.3
    """

    before: float
    after: float
    control: float
    unigram: float
    tokens: int
    replaced: tuple[Replaced, ...]


def measure_surgery(
    folder: str | os.PathLike,
    recipe: str | os.PathLike | None = None,
    save: str | os.PathLike | None = None,
    seed: int = 0,
    keep: Keep = "nothing",
    near: float = 2.0,
) -> SurgeryMeasured:
    """Replace the kernels of a trained model by invertible ones, and measure its loss around it.

    Parameters
    ----------
    folder : path-like
        A model folder that `train` has written; it is left as it is.
    recipe : path-like, optional
        The recipe it was trained from, whose text is read again; the folder's ``recipe.toml`` by default.
    save : path-like, optional
        Folder to write the changed model into; it may not exist.
    seed : int
        Of the control's directions.
    keep, near
        As for `make_invertible`.

    Returns
    -------
    SurgeryMeasured

    Raises
    ------
    InputError
        When folder, recipe or text cannot be used, the tokenizer is not the one of the training, or
        the kernels cannot be replaced.
    RunError
        When the changed model cannot be written; nothing of it is left.

    Examples
    --------
    >>> from toeplitz_theory.training import measure_surgery
    >>> measure_surgery("models/tmm-next-token").after  # doctest: +SKIP
    """
    target = None if save is None else Path(save)
    if target is not None:
        _refuse_target(target)
    trained = open_trained(folder, recipe)
    # More threads than the training had only wait for each other.
    with threadpool_limits(limits=trained.recipe.training.threads):
        return _measured(trained, target, seed, keep, near)


def _refuse_target(target: Path) -> None:
    if os.path.lexists(target):
        raise InputError(f"{shown(target, 300)}: exists; name a new folder for the changed model")
    above = next(parent for parent in target.absolute().parents if os.path.lexists(parent))
    if not (above.is_dir() and os.access(above, os.W_OK | os.X_OK)):
        raise InputError(f"{shown(target, 300)}: {shown(above, 300)} takes no folder; name another place")


def _measured(
    trained: TrainedModel, target: Path | None, seed: int, keep: Keep, near: float
) -> SurgeryMeasured:
    model, sequences = trained.model, trained.tokens.datasets(trained.recipe)[1]
    text = torch.from_numpy(sequences.sequences.astype(np.int64))
    originals = [weight.detach().clone() for _, weight in named_kernels(model)]
    before = float(losses(model, text).mean())
    replaced = make_invertible(model, keep, near)
    after = float(losses(model, text).mean())
    if target is not None:
        _save(model, trained.tokenizer, target)
    _move(model, originals, replaced, seed)
    control = float(losses(model, text).mean())
    unigram = trained.tokens.baselines.unigram
    return SurgeryMeasured(before, after, control, unigram, sequences.sequences.size, tuple(replaced))


@torch.no_grad()
def losses(model: nn.Module, text: Tensor) -> np.ndarray:
    """Return the loss (sequences,) in nats per token: of the next token, or of an autoencoder's own."""
    device = next(iter(model.parameters())).device
    ahead = 0 if hasattr(model, "encoder_states") else 1
    parts = []
    for batch in text.to(device).split(_BATCH):
        logits = model(input_ids=batch).logits[:, : batch.shape[1] - ahead].float()
        loss = cross_entropy(logits.flatten(0, 1), batch[:, ahead:].flatten(), reduction="none")
        parts.append(loss.view(len(batch), -1).mean(dim=1).double().cpu())
    return torch.cat(parts).numpy()


@torch.no_grad()
def _move(model: nn.Module, originals: list[Tensor], replaced: Sequence[Replaced], seed: int) -> None:
    """Set each kernel to its original plus a random vector as long as the change that surgery made."""
    generator = torch.Generator().manual_seed(seed)
    for (_, weight), original, change in zip(named_kernels(model), originals, replaced, strict=True):
        weight.copy_(original)
        direction = torch.randn(original.shape[-1], generator=generator)
        length = change.distance * original[-1].norm()
        weight[-1] += direction * (length / direction.norm())


def _save(model, tokenizer, target: Path) -> None:
    """Write a model folder, whole or not at all."""
    place, hidden = target.parent, f".{target.name}."
    try:
        place.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=hidden, suffix=".partial", dir=place) as made:
            inside = Path(made) / target.name
            model.save_pretrained(inside)
            tokenizer.save_pretrained(inside)
            inside.rename(target)
    except (OSError, SafetensorError) as error:
        raise RunError(
            f"{shown(target, 300)}: cannot be written ({reason_of(error)}); name another folder, or make room"
        ) from error
