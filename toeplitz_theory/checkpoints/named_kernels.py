"""Kernels that the caller names, in models of any kind: which tensors they are, and how they are laid out."""

from __future__ import annotations

import fnmatch
import os
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from toeplitz_theory.checkpoints.checkpoint import Skipped, ToeplitzLayer
from toeplitz_theory.checkpoints.dtypes import can_widen, is_complex, is_rounded, is_scaled
from toeplitz_theory.checkpoints.layouts import notes_on, softplus_of
from toeplitz_theory.checkpoints.stores import TensorStore, is_torch
from toeplitz_theory.display import Displayed
from toeplitz_theory.errors import InputError
from toeplitz_theory.files import read_text
from toeplitz_theory.names import shown

_SOFTPLUS = "softplus"
_LONGEST = 1 << 20  # bytes of a .toml file
_OPTIONS = "axis=N, reversed, transform=softplus, heads=0-3, residual=false"


@dataclass(frozen=True, repr=False)
class Kernels(Displayed):
    """How a tensor holds causal kernels, where its name does not say so.

    Parameters
    ----------
    axis : int, optional
        The axis that time runs along; without it the longest one, and of a live ``torch.nn.Conv1d`` the last.
        All others count kernels, in order. Where two axes are equally long it must be said.
    reversed : bool, optional
        Whether the last tap multiplies the present, as in the weight of a ``torch.nn.Conv1d``, which stores
        correlations. Without it False, and True where the weight is that of a live ``Conv1d``.
    heads : sequence of int, optional
        Which of the kernels to read, by number; all by default.
    transform : "softplus" or callable, optional
        What the layer makes of the stored numbers before it multiplies by them. A callable is given the array
        (kernels, n), first lag first, and returns one of as many rows.
    residual : bool
        Whether the layer stands in a residual connection; where False no ``index_residual`` is computed.

    Raises
    ------
    InputError
        If an option is none of these.

    Examples
    --------
    >>> import numpy as np, toeplitz_theory as tt
    >>> state = {"filter.h": np.array([[2.0, 1.0], [1.0, 1.0], [0.0, 0.0]]), "filter.bias": np.ones(2)}
    >>> report = tt.inspect(state, kernels={"filter.h": tt.Kernels(axis=0, heads=[0])})
    >>> report.rows[0].kernel.tolist(), report.rows[0].index.value
    ([2.0, 1.0, 0.0], 0)
    """

    axis: int | None = None
    reversed: bool | None = None
    heads: Sequence[int] | None = None
    transform: str | Callable[[np.ndarray], Any] | None = None
    residual: bool = True

    def __post_init__(self) -> None:
        whole = (int, np.integer)
        if self.axis is not None and (isinstance(self.axis, bool) or not isinstance(self.axis, whole)):
            raise InputError(f"kernels: axis = {shown(repr(self.axis))}: give the number of an axis")
        if self.reversed not in (None, True, False) or not isinstance(self.residual, bool):
            raise InputError("kernels: reversed and residual are true or false")
        if not (self.transform in (None, _SOFTPLUS) or callable(self.transform)):
            raise InputError(
                f'kernels: transform = {shown(repr(self.transform))}: give "softplus", or a function of the '
                "array (kernels, n)"
            )
        if self.heads is not None:
            listed = isinstance(self.heads, (Sequence, np.ndarray)) and not isinstance(
                self.heads, (str, bytes)
            )
            if not listed or not all(isinstance(h, whole) and not isinstance(h, bool) for h in self.heads):
                raise InputError(
                    f"kernels: heads = {shown(repr(self.heads))}: list the numbers of the kernels to read"
                )


Naming = (
    str
    | os.PathLike[str]
    | Kernels
    | Sequence[str]
    | Mapping[str, Kernels | Mapping[str, Any]]
    | Callable[[str, np.ndarray], Any]
)


class Refused(Exception):
    """Why one tensor is not read."""


def patterns_of(kernels: Any) -> dict[str, Kernels]:
    """Return how to read the tensors of each name or pattern, from any form of ``kernels=`` but a function.

    Examples
    --------
    >>> patterns_of("blocks.*.filter:axis=0,reversed")["blocks.*.filter"].reversed
    True
    """
    if isinstance(kernels, Kernels):
        return {"*": kernels}
    if isinstance(kernels, os.PathLike) or (isinstance(kernels, str) and kernels.endswith(".toml")):
        return _from_toml(Path(kernels))
    if isinstance(kernels, str):
        return dict([_parsed(kernels)])
    if isinstance(kernels, Mapping):
        return {_as_pattern(name): _as_kernels(name, how) for name, how in kernels.items()}
    if isinstance(kernels, Sequence) and kernels and all(isinstance(entry, str) for entry in kernels):
        return {name: how for entry in kernels for name, how in patterns_of(entry).items()}
    raise InputError(
        f"kernels = {shown(repr(kernels), 60)}: give a name or pattern, a list of them, a .toml file, a "
        "mapping from names to tt.Kernels(...), or a function of name and array"
    )


def _as_pattern(name: Any) -> str:
    if not isinstance(name, str):
        raise InputError(f"kernels: {shown(repr(name), 60)} is no name or pattern of a tensor")
    return name


def _as_kernels(name: str, how: Any) -> Kernels:
    if isinstance(how, Kernels):
        return how
    known = [field.name for field in fields(Kernels)]
    if not isinstance(how, Mapping):
        raise InputError(f"kernels: {shown(name)} is given a {type(how).__name__}; give tt.Kernels(...)")
    unknown = [key for key in how if key not in known]
    if unknown:
        raise InputError(
            f"kernels: {shown(name)} has the option {shown(unknown[0], 40)}; there are {', '.join(known)}"
        )
    return Kernels(**how)


def _from_toml(path: Path) -> dict[str, Kernels]:
    try:
        document = tomllib.loads(read_text(path, _LONGEST, "check the path"))
    except InputError as error:
        raise InputError(f"kernels: {error}") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"kernels: {shown(path)} is not TOML ({shown(error)})") from None
    if not document:
        raise InputError(
            f'kernels: {shown(path)} names no tensor; write ["blocks.*.filter"] and options below'
        )
    return patterns_of(document)


def _parsed(text: str) -> tuple[str, Kernels]:
    """Read ``PATTERN`` or ``PATTERN:OPTION,OPTION``."""
    pattern, colon, listed = text.partition(":")
    if not pattern or (colon and not listed):
        raise InputError(f"kernels {shown(repr(text))}: write PATTERN or PATTERN:OPTIONS ({_OPTIONS})")
    options: dict[str, Any] = {}
    for option in filter(None, listed.split(",")):
        key, equals, value = option.strip().partition("=")
        if key == "axis" and re.fullmatch(r"-?[0-9]{1,4}", value):
            options[key] = int(value)
        elif key in ("reversed", "residual") and value in ("true", "false", *([""] if not equals else [])):
            options[key] = value != "false"
        elif key == "transform" and value == _SOFTPLUS:
            options[key] = value
        elif key == "heads" and re.fullmatch(r"[0-9]{1,7}(-[0-9]{1,7})?", value):
            first, _, last = value.partition("-")
            options[key] = range(int(first), int(last or first) + 1)
        else:
            raise InputError(
                f"kernels {shown(repr(text))}: no option {shown(option, 40)}; there are {_OPTIONS}"
            )
    return pattern, Kernels(**options)


def named_layers(
    store: TensorStore, kernels: Naming, convolutions: Mapping[str, Any] | None = None
) -> tuple[list[ToeplitzLayer], list[Skipped], int]:
    """Read the tensors that the caller says are kernels.

    Parameters
    ----------
    store : TensorStore
        The tensors by name.
    kernels : str, path, Kernels, sequence, mapping or callable
        As in `load`.
    convolutions : mapping, optional
        From the names of the weights of live ``Conv1d`` modules to these modules.

    Returns
    -------
    layers, skipped, ignored
        As `find_layers` returns them. A pattern that no tensor matches is among what is skipped.
    """
    layers: list[ToeplitzLayer] = []
    skipped: list[Skipped] = []
    asked = 0
    matches = _matches_of_function if _is_function(kernels) else _matches_of_patterns
    for name, how in matches(store, kernels, skipped):
        asked += 1
        try:
            layers += _layers_of(store, name, how, (convolutions or {}).get(name))
        except Refused as reason:
            skipped.append(Skipped(name, str(reason)))
    return layers, skipped, len(store.infos) - asked


def _is_function(kernels: Any) -> bool:
    return callable(kernels) and not isinstance(kernels, (Kernels, str, Mapping))


def _matches_of_patterns(
    store: TensorStore, kernels: Any, skipped: list[Skipped]
) -> Iterator[tuple[str, Kernels]]:
    """The tensors that patterns name, each with how the first pattern that does reads it."""
    patterns = patterns_of(kernels)
    used = set()
    for name in store.infos:
        matching = [p for p in patterns if p == name] or [p for p in patterns if fnmatch.fnmatchcase(name, p)]
        used |= set(matching)
        if matching:
            yield name, patterns[matching[0]]
    skipped += [Skipped(pattern, "no tensor is named so") for pattern in patterns if pattern not in used]


def _matches_of_function(
    store: TensorStore, kernels: Any, skipped: list[Skipped]
) -> Iterator[tuple[str, Kernels | np.ndarray]]:
    """The tensors of which a function of name and array makes kernels, or says how they are held."""
    for name, info in store.infos.items():
        if info.why_no_values:
            continue
        answer = kernels(name, store.values(name))
        if answer is not None:
            yield name, answer if isinstance(answer, Kernels) else _as_array(answer)


def _layers_of(
    store: TensorStore, name: str, how: Kernels | np.ndarray, convolution: Any
) -> Iterator[ToeplitzLayer]:
    info = store.infos[name]
    if info.why_no_values:
        raise Refused(info.why_no_values)
    if isinstance(how, Kernels):
        if convolution is not None:
            how = _of_convolution(how, convolution)
        values = store.values(name)
        if is_rounded(values, info.dtype):
            raise Refused("it holds integers of 2**53 and more, which float64 would round")
    else:
        values, how = how, Kernels()
    rows, places = _rows(values, how)
    said = f"named as kernels by the caller: {places}"
    softplus = how.transform == _SOFTPLUS
    if how.transform is not None and is_scaled(info.dtype):
        raise Refused(f"its kernels are made of values stored as {info.dtype}, without their scale")
    numbers = range(len(rows)) if how.heads is None else [int(head) for head in how.heads]
    outside = [head for head in numbers if not 0 <= head < len(rows)]
    if outside:
        raise Refused(f"heads: there is no kernel {outside[0]} of {len(rows)}")
    stored = rows
    if softplus:
        if np.iscomplexobj(rows):
            raise Refused("its values are complex, and the softplus is of real ones")
        rows, said = softplus_of(rows), f"{said}; kernel = softplus of what is stored"
    elif callable(how.transform):
        rows, said = _transformed(rows, how.transform), f"{said}; transformed by the caller's function"
    for head in numbers:
        notes = notes_on(stored[head] if softplus else rows[head], info.dtype, softplus)
        yield ToeplitzLayer(
            layer=name,
            head=None if len(rows) == 1 else head,
            kernel=rows[head],
            dtype=info.dtype,
            key=name,
            layout="named",
            note="; ".join([said, *notes]),
            residual=how.residual,
        )


def _of_convolution(how: Kernels, module: Any) -> Kernels:
    """How the weight of a live ``torch.nn.Conv1d`` is read where the caller does not say."""
    if (step := (*module.stride, *module.dilation)) != (1, 1):
        raise Refused(
            f"a Conv1d of stride {step[0]} and dilation {step[1]}; tt.probe(...) asks the module itself"
        )
    if module.in_channels != module.groups:
        raise Refused("a Conv1d that mixes channels; tt.probe(...).matrix_symbol is its symbol")
    return replace(
        how,
        axis=-1 if how.axis is None else how.axis,
        reversed=True if how.reversed is None else how.reversed,
    )


def _rows(values: np.ndarray, how: Kernels) -> tuple[np.ndarray, str]:
    """Return the kernels (count, n), lag 0 first, and in words where they lay."""
    shape = values.shape
    if not values.ndim or not values.size:
        raise Refused(f"shape {shape} holds no taps")
    if how.axis is not None and not -values.ndim <= how.axis < values.ndim:
        raise Refused(f"axis={how.axis}: its shape {shape} has {values.ndim} axes")
    axis = longest_axis(shape) if how.axis is None else how.axis % values.ndim
    inferred = how.axis is None and values.ndim > 1
    rows = np.moveaxis(values, axis, -1).reshape(-1, shape[axis])
    places = f"time along axis {axis} of {shape}{', its longest' if inferred else ''}, "
    places += "last tap at lag 0" if how.reversed else "first tap at lag 0"
    return rows[:, ::-1] if how.reversed else rows, places


def longest_axis(shape: tuple[int, ...]) -> int:
    if len(shape) == 3 and shape[1] == 1 < shape[2] < shape[0]:
        raise Refused(
            f"shape {shape} is that of a Conv1d, whose time runs along the last axis, which is not the "
            "longest: say axis=-1 (and reversed, if it is a Conv1d), or axis=0"
        )
    n = max(shape)
    if n > 1 and shape.count(n) > 1:
        raise Refused(f"shape {shape} has two longest axes: say along which time runs, axis=0 or axis=-1")
    return shape.index(n) if n > 1 else len(shape) - 1


def _transformed(rows: np.ndarray, transform: Callable[[np.ndarray], Any]) -> np.ndarray:
    made = _as_array(transform(rows.copy()))
    if made.ndim != 2 or len(made) != len(rows) or not made.size:
        raise Refused(f"transform made an array of shape {made.shape} of one of shape {rows.shape}")
    return made


def _as_array(answer: Any) -> np.ndarray:
    """What a function of the caller's returned, as an array of float64 or complex128."""
    if is_torch(answer):
        answer = answer.detach().cpu().resolve_conj().resolve_neg()
        answer = (answer.double() if answer.is_floating_point() else answer).numpy()
    try:
        array = np.asarray(answer)
    except ValueError:
        array = np.asarray(None)
    if not (can_widen(array.dtype.name) or is_complex(array.dtype.name)):
        raise InputError(
            f"kernels: the function returned a {type(answer).__name__}, no array of numbers; return kernels "
            "(count, n), tt.Kernels(...), or None"
        )
    return array.astype(np.complex128 if np.iscomplexobj(array) else np.float64)
