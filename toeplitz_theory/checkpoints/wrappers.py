"""What training scripts save around the weights: their averages, the optimiser, counters."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from toeplitz_theory.checkpoints.checkpoint import Skipped
from toeplitz_theory.errors import InputError
from toeplitz_theory.names import shown

# By preference; averages of weights come after the weights.
_NAMES = (
    *("state_dict", "model_state_dict", "model_state", "model", "module", "net", "network"),
    *("params", "weights", "model_weights"),
)
_AVERAGES = re.compile(r"(.*_)?(ema|swa|averag\w*|shadow)(_.*)?", re.IGNORECASE)
_NO_WEIGHTS = re.compile(
    r"_.*|.*optim.*|.*sched.*|.*scaler.*|.*rng.*|.*loss.*|callbacks|loops|amp|args|config|hyper_parameters",
    re.IGNORECASE,
)
_DEPTH = 3  # {"state_dict": {"model": {...}}} occurs; deeper nesting is something else


@dataclass(frozen=True)
class Unwrapped:
    """A state dict, where it lay, and the other sets of weights beside it."""

    tensors: Mapping[str, Any]
    notes: tuple[str, ...] = ()
    skipped: tuple[Skipped, ...] = ()


def unwrap(saved: Mapping[Any, Any], source: str, is_tensor: Callable[[Any], bool]) -> Unwrapped:
    """Find the state dict: the mapping itself, or one inside it.

    Parameters
    ----------
    saved : mapping
        What was saved.
    source : str
        For messages.
    is_tensor : callable
        Whether a value is a tensor.

    Raises
    ------
    InputError
        If it holds several sets of weights of which none is named as the weights.
    """
    inner, notes, skipped = saved, [], []
    for _ in range(_DEPTH):
        if any(isinstance(name, str) and "." in name and is_tensor(inner[name]) for name in inner):
            break  # tensors by path: a state dict
        inside = [name for name, value in inner.items() if _may_be_weights(name, value, is_tensor)]
        if not inside:
            break
        name, *others = sorted(inside, key=_preference)
        if others and _preference(others[0]) == _preference(name):
            raise InputError(
                f"{source}: holds several sets of weights ({_some(inside)}), and no name says which are the "
                f"model's; pick one: tt.inspect(torch.load(path)['{shown(name, 40)}'])."
            )
        notes.append(f"weights found under '{shown(name)}'")
        skipped += [
            Skipped(
                other,
                f"other weights beside '{shown(name)}', which was read; to read them, hand them over alone",
            )
            for other in others
        ]
        inner = inner[name]
    return Unwrapped(inner, tuple(notes), tuple(skipped))


def _preference(name: str) -> tuple[bool, int]:
    plain = name.lower()
    return bool(_AVERAGES.fullmatch(plain)), _NAMES.index(plain) if plain in _NAMES else len(_NAMES)


def _may_be_weights(name: Any, value: Any, is_tensor: Callable[[Any], bool], depth: int = _DEPTH) -> bool:
    """Whether a mapping, under a name that weights may have, holds tensors, at most so deep inside."""
    if not isinstance(name, str) or _NO_WEIGHTS.fullmatch(name):
        return False
    if not isinstance(value, Mapping) or depth == 0:
        return False
    if any(isinstance(inner, str) and is_tensor(tensor) for inner, tensor in value.items()):
        return True
    return any(_may_be_weights(inner, part, is_tensor, depth - 1) for inner, part in value.items())


def _some(names: list[str]) -> str:
    return ", ".join(shown(name, 40) for name in names[:4]) + (", ..." if len(names) > 4 else "")
