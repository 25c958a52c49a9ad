"""Tensors that may be kernels and are not named so: which they are, why not, and how to say it."""

from __future__ import annotations

import re

from toeplitz_theory.checkpoints.named_kernels import Refused, longest_axis
from toeplitz_theory.checkpoints.stores import TensorStore
from toeplitz_theory.names import shown

# Names of parameters that are no kernels, in models of any kind: a mapping with one is a model.
_PARAMETERS = re.compile(
    r"weight|bias|gamma|beta|running_\w+|num_batches_tracked|.*(embed|norm|bias)\w*", re.I
)
_LIKELY = re.compile(r"kernel|filter|conv|toep|mix|impulse|taps|ssm|(^|[._])[hk]($|[._])", re.I)


def may_be_kernels_at_hand(store: TensorStore) -> bool:
    """Whether every tensor of a mapping may be kernels: none is named as a model's parameters are."""
    leaves = [name.rpartition(".")[2] for name in store.infos]
    whole = [not info.why_no_values and 1 <= len(info.shape) <= 2 for info in store.infos.values()]
    return bool(leaves) and all(whole) and not any(_PARAMETERS.fullmatch(leaf) for leaf in leaves)


def how_to_name(store: TensorStore, source: str | None) -> str:
    """List the tensors that may be kernels, why they were not taken, and the call that takes the first."""
    groups: dict[str, list[str]] = {}
    for name, info in store.infos.items():
        if not info.why_no_values and max(info.shape, default=1) > 1:
            groups.setdefault(re.sub(r"(?<=\.)[0-9]+(?=\.|$)|^[0-9]+(?=\.)", "*", name), []).append(name)
    if not groups:
        return "no tensor has taps"
    shapes = {pattern: store.infos[names[0]].shape for pattern, names in groups.items()}
    ranked = sorted(groups, key=lambda pattern: _unlikeliness(pattern, shapes[pattern]))
    listed = [
        f"'{shown(pattern, 60)}' {shapes[pattern]}"
        f"{f' x {len(groups[pattern])}' if len(groups[pattern]) > 1 else ''}: "
        f"{_why_not(pattern, shapes[pattern])}"
        for pattern in ranked[:4]
    ]
    more = f"; and {len(ranked) - 4} more" if len(ranked) > 4 else ""
    best, options = ranked[0], ""
    if _PARAMETERS.fullmatch(best.rpartition(".")[2]) and not _is_likely(best):
        best = "NAME"
    elif _needs_axis(shapes[best]):
        options = ":axis=-1"
    model = "model" if source is None else repr(shown(source))
    return (
        f"candidates: {'; '.join(listed)}{more}. If a tensor holds kernels, say so: "
        f"tt.inspect({model}, kernels={shown(best + options)!r})"
    )


def _is_likely(name: str) -> bool:
    """Whether a parameter and its module are called like kernels."""
    return bool(_LIKELY.search(".".join(name.split(".")[-2:])))


def _unlikeliness(pattern: str, shape: tuple[int, ...]) -> tuple[bool, ...]:
    leaf = pattern.rpartition(".")[2]
    matrix = len(shape) == 2 and leaf == "weight"
    return (not _is_likely(pattern), leaf == "bias", matrix, len(shape) == 1)


def _why_not(pattern: str, shape: tuple[int, ...]) -> str:
    leaf = pattern.rpartition(".")[2]
    if leaf == "bias":
        return "a bias by its name"
    if _needs_axis(shape):
        return "no layout has this name, and which axis is time is not plain"
    return "a matrix by its name" if leaf == "weight" and len(shape) == 2 else "no layout has this name"


def _needs_axis(shape: tuple[int, ...]) -> bool:
    try:
        longest_axis(shape)
    except Refused:
        return True
    return False
