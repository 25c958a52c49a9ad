"""Ask a module itself what it does: its impulse responses, and how far it is from a causal convolution."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from toeplitz_theory.checkpoints.stores import is_torch
from toeplitz_theory.display import Displayed
from toeplitz_theory.errors import InputError, reason_of, whole_number

if TYPE_CHECKING:
    from toeplitz_theory.operators import MatrixSymbol, Symbol

Response = Callable[[np.ndarray], np.ndarray]
_ROWS = 16  # inputs at a time
_SEED = 0x7031


@dataclass(frozen=True, eq=False, repr=False)
class Probe(Displayed):
    """What a module answered: residuals that say how far it is from a causal convolution, and its taps.

    All residuals are relative: norm of what should vanish over norm of the outputs it is a part of; 0 to
    rounding for a causal convolution, of order 1 for anything else. What the module adds to its outputs
    whatever the input, ``offset``, is taken off first.

    Parameters
    ----------
    linear : float
        ``f(a x + b y) - a f(x) - b f(y)`` at random x and y.
    causal : float
        What inputs from time s on change before s, for several s.
    shift_invariant : float
        What the response to a later input differs by from the delayed response, for several delays.
    depthwise : float
        What channels receive from other channels; above ``tolerance`` the layer mixes channels.
    taps : ndarray, shape (n, channels) or (n, outputs, channels)
        ``taps[k, c]`` of channel c, or of a layer that mixes channels ``taps[k, i, j]``: what output i
        receives of input j, k steps back.
    offset : ndarray, shape (n, outputs)
        Response to zeros.
    tolerance : float
        Square root of the unit roundoff of the module's numbers: residuals above it are no rounding.
    dtype : str
        Of the module's inputs.
    cut : float
        Sum of moduli of the taps that were left away at the end (``tail``), at most, over all channels.
    unsettled : float
        Share of the sum of moduli of the taps that lies in the last eighth of the n asked for, at most over
        all channels: where it is not small, the response may go on beyond n.

    Examples
    --------
    >>> probe(lambda x: 2.0 * x, n=4, channels=2).symbols[1].kernel.tolist()
    [2.0, 0.0, 0.0, 0.0]
    """

    linear: float
    causal: float
    shift_invariant: float
    depthwise: float
    taps: np.ndarray = field(repr=False)
    offset: np.ndarray = field(repr=False)
    tolerance: float
    dtype: str
    cut: float = 0.0
    unsettled: float = 0.0

    @property
    def why_not(self) -> str:
        """Why the module is no causal convolution, with the residuals that say so; empty where it is one."""
        named = {"linear": self.linear, "causal": self.causal, "shift-invariant": self.shift_invariant}
        broken = [
            f"not {name} (relative residual {value:.2g})"
            for name, value in named.items()
            if not value <= self.tolerance
        ]
        return f"{', '.join(broken)}: no kernel does what it does" if broken else ""

    @property
    def mixes(self) -> bool:
        """Whether channels receive from other channels, so that the symbol is a matrix."""
        return self.taps.ndim == 3

    @cached_property
    def symbols(self) -> tuple[Symbol, ...]:
        """The symbol of each channel; InputError where there is none, or the layer mixes channels."""
        from toeplitz_theory.operators import Symbol

        self._check()
        if self.mixes:
            raise InputError(
                f"the module mixes channels (relative residual {self.depthwise:.2g}): use .matrix_symbol"
            )
        return tuple(Symbol(kernel) for kernel in self.taps.T)

    @cached_property
    def matrix_symbol(self) -> MatrixSymbol:
        """The symbol of the whole layer, a square matrix; InputError where there is none."""
        from toeplitz_theory.operators import MatrixSymbol

        self._check()
        if self.mixes:
            return MatrixSymbol(self.taps)
        return MatrixSymbol(self.taps[:, :, None] * np.eye(self.taps.shape[1]))

    def _check(self) -> None:
        if self.why_not:
            raise InputError(self.why_not)

    @property
    def note(self) -> str:
        """How the taps were come by, in one line."""
        residuals = (
            f"probed in {self.dtype}, relative residuals: linear {self.linear:.1g}, "
            f"causal {self.causal:.1g}, shift-invariant {self.shift_invariant:.1g}"
        )
        cut = f"; cut where the taps after it sum to at most {self.cut:.2g}" if self.cut else ""
        if not self.cut and self.unsettled > self.tolerance:
            share = f"{self.unsettled:.2g} of the sum of its taps lies in the last eighth"
            cut = f"; {share}: it may go on beyond n"
        return residuals + cut


def probe(
    module: Any,
    n: int,
    channels: int,
    *,
    time_axis: int = 1,
    dtype: Any = None,
    tail: float = 0.0,
) -> Probe:
    """Feed impulses to a module, check that it is a causal convolution, and return its kernels.

    Parameters
    ----------
    module : callable
        From inputs of shape (B, t, channels) to outputs (B, t, outputs); of a tuple of outputs the first is
        taken, and of outputs longer than the inputs their beginning. A ``torch.nn.Module`` is called in
        evaluation mode with tensors of its own type and device; anything else with numpy arrays.
    n : int
        How many time steps to feed, and so how many taps there are.
    channels : int
        Channels of the inputs.
    time_axis : int
        1, or 2 for modules such as ``torch.nn.Conv1d`` whose inputs are (B, channels, t).
    dtype : torch or numpy dtype, optional
        Type of the inputs: that of the module's first parameter, or float64. A torch type makes tensors for a
        callable that is no module. Taps are as exact as this type: ``module.double()`` is sharper.
    tail : float
        Kernels of an infinite response end where the moduli of all later taps sum to at most this share of
        the whole, in every channel; ``Probe.cut`` says how much that was.

    Returns
    -------
    Probe
        Residuals always; ``.symbols`` or ``.matrix_symbol`` where they are rounding.

    Raises
    ------
    InputError
        If the module cannot be called so, or returns something else.

    Notes
    -----
    Whether channels mix is found with two inputs for each binary digit of the channel's number, so that every
    pair of channels is told apart once. A layer that does not mix them takes one pass more, another one an
    impulse for each channel. About ``16 + 2 log2(channels)`` sequences of length n are fed besides.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy.signal import lfilter
    >>> answer = probe(lambda x: lfilter([1.0], [1.0, -0.5], x, axis=1), n=64, channels=1, tail=1e-12)
    >>> answer.shift_invariant < 1e-14, len(answer.symbols[0])
    (True, 40)
    """
    for name, value in (("n", n), ("channels", channels)):
        whole_number(value, 1, None, f"{name} = {value!r}: give a whole number, 1 or more")
    if time_axis not in (1, 2):
        raise InputError(f"time_axis = {time_axis!r}: 1 for inputs (B, t, channels), 2 for (B, channels, t)")
    if not (isinstance(tail, (int, float)) and 0 <= tail < 1):
        raise InputError(f"tail = {tail!r}: give a share of the sum of the taps, in [0, 1)")
    if not callable(module):
        raise InputError(f"cannot probe a {type(module).__name__}: give a module or a function of an array")
    with _caller(module, time_axis, dtype) as (call, name, unit):
        return measure(checked(call, n), n, channels, name, unit, tail)


def measure(call: Response, n: int, channels: int, dtype: str, unit: float, tail: float = 0.0) -> Probe:
    """Return what `call`, from float64 (B, n, channels) to (B, n, outputs), answers."""
    offset = call(np.zeros((1, n, channels)))[0]

    def respond(x: np.ndarray) -> np.ndarray:
        return np.concatenate([call(x[at : at + _ROWS]) - offset for at in range(0, len(x), _ROWS)])

    random = np.random.default_rng(_SEED)
    tolerance = math.sqrt(unit)
    linear, causal, shifted = _residuals(respond, random, n, channels)
    outputs = offset.shape[1]
    depthwise = _leak(respond, random, n, channels) if outputs == channels else math.inf
    if depthwise <= tolerance:
        impulse = np.zeros((1, n, channels))
        impulse[:, 0] = 1.0
        taps = respond(impulse)[0]
    else:
        impulses = np.zeros((channels, n, channels))
        impulses[np.arange(channels), 0, np.arange(channels)] = 1.0
        taps = respond(impulses).transpose(1, 2, 0)
    taps, cut, unsettled = _without_tail(taps, tail)
    return Probe(linear, causal, shifted, depthwise, taps, offset, tolerance, dtype, cut, unsettled)


def _residuals(
    respond: Response, random: np.random.Generator, n: int, channels: int
) -> tuple[float, float, float]:
    """How far the module is from linear, causal and shift-invariant."""
    x, y = random.standard_normal((2, n, channels))
    a, b = -1.75, 0.625  # of both signs, so that what is linear on either side of 0 alone is told apart
    delays = sorted({1, 2, n // 3, n // 2, n - 1} & set(range(1, n)))
    begun = np.array([np.where(np.arange(n)[:, None] < s, x, 0.0) for s in delays]).reshape(-1, n, channels)
    late = np.array([np.concatenate([np.zeros((s, channels)), x[: n - s]]) for s in delays])
    of_x, of_y, of_sum = respond(np.stack([x, y, a * x + b * y]))
    linear = _share(of_sum - a * of_x - b * of_y, np.stack([a * of_x, b * of_y]))
    if not delays:
        return linear, 0.0, 0.0
    causal = max(
        _share((of_x - of_begun)[:s], of_x) for s, of_begun in zip(delays, respond(begun), strict=True)
    )
    shifted = max(
        _share(of_late[s:] - of_x[: n - s], of_x)
        for s, of_late in zip(delays, respond(late.reshape(-1, n, channels)), strict=True)
    )
    return linear, causal, shifted


def _leak(respond: Response, random: np.random.Generator, n: int, channels: int) -> float:
    """What channels receive from others: every pair of them is told apart by a digit of its numbers."""
    number = np.arange(channels)
    halves = [
        number >> digit & 1 == side for digit in range(max(channels - 1, 0).bit_length()) for side in (0, 1)
    ]
    if not halves:
        return 0.0
    x = random.standard_normal((n, channels))
    answers = respond(np.array([np.where(half, x, 0.0) for half in halves]))
    return max(_share(y[:, ~half], y) for y, half in zip(answers, halves, strict=True))


def _share(part: np.ndarray, whole: np.ndarray) -> float:
    """Norm over norm; 0 of nothing, inf of something that is not finite."""
    of_part, of_whole = float(np.linalg.norm(part)), float(np.linalg.norm(whole))
    if not (math.isfinite(of_part) and math.isfinite(of_whole)):
        return math.inf
    return of_part / of_whole if of_whole else (math.inf if of_part else 0.0)


def _without_tail(taps: np.ndarray, tail: float) -> tuple[np.ndarray, float, float]:
    """Taps up to where all later ones are at most the share `tail` of the whole; what they are; unsettled."""
    rest = np.cumsum(np.abs(taps)[::-1], axis=0)[::-1]  # rest[k]: sum of the moduli from tap k on
    whole = np.where(rest[0] > 0, rest[0], 1.0)
    n = len(taps)
    unsettled = float((rest[n - max(1, n // 8)] / whole).max()) if n > 1 else 0.0
    if not tail:
        return taps, 0.0, unsettled
    small = (rest <= tail * rest[0]).reshape(n, -1).all(axis=1)
    length = max(1, int(np.argmax(small)) if small.any() else n)
    return taps[:length], float(rest[length].max()) if length < n else 0.0, unsettled


@contextmanager
def _caller(module: Any, time_axis: int, dtype: Any) -> Iterator[tuple[Response, str, float]]:
    """A function of float64 arrays (B, t, channels), the type it computes in and its unit roundoff."""
    is_module = callable(getattr(module, "named_modules", None))
    if is_module or type(dtype).__module__ == "torch" or str(dtype).startswith("torch."):
        with _torch_caller(module, time_axis, dtype, is_module) as caller:
            yield caller
        return
    kind = np.dtype(np.float64 if dtype is None else dtype)
    if kind.kind not in "fc":
        raise InputError(f"dtype = {kind}: give a type of floating-point numbers")

    def call(x: np.ndarray) -> np.ndarray:
        return _time_second(np.asarray(first_of(module(_time_second(x.astype(kind), time_axis)))), time_axis)

    yield call, kind.name, float(np.finfo(kind).eps) / 2


@contextmanager
def _torch_caller(
    module: Any, time_axis: int, dtype: Any, is_module: bool
) -> Iterator[tuple[Response, str, float]]:
    import torch

    own = [*module.parameters(), *module.buffers()] if is_module else []
    like = next((p for p in own if p.is_floating_point() or p.is_complex()), torch.empty(0).double())
    kind = like.dtype if dtype is None else dtype
    if not isinstance(kind, torch.dtype) or not (kind.is_floating_point or kind.is_complex):
        raise InputError(
            f"dtype = {kind}: give a type of floating-point numbers, of torch for a torch module"
        )

    def call(x: np.ndarray) -> np.ndarray:
        tensor = torch.from_numpy(np.array(_time_second(x, time_axis))).to(like.device, kind)
        answer = first_of(module(tensor))
        if not is_torch(answer):
            raise InputError(f"the module returned a {type(answer).__name__}, not a tensor")
        wide = answer.to(torch.complex128 if answer.is_complex() else torch.float64)
        return _time_second(wide.cpu().resolve_conj().numpy(), time_axis)

    with evaluating(module if is_module else None), torch.no_grad():
        yield call, str(kind).removeprefix("torch."), torch.finfo(kind).eps / 2


@contextmanager
def evaluating(module: Any) -> Iterator[None]:
    """Dropout and its like off, and every module's mode as it was afterwards."""
    modes = {} if module is None else {part: part.training for part in module.modules()}
    try:
        for part in modes:
            part.training = False
        yield
    finally:
        for part, mode in modes.items():
            part.training = mode


def _time_second(x: np.ndarray, time_axis: int) -> np.ndarray:
    return np.swapaxes(x, 1, 2) if time_axis == 2 and x.ndim == 3 else x


def first_of(answer: Any) -> Any:
    """The first of several outputs."""
    if isinstance(answer, (tuple, list)) and answer:
        return answer[0]
    return next(iter(answer.values())) if isinstance(answer, dict) and answer else answer


def checked(call: Response, n: int) -> Response:
    """Name what goes wrong in a call, and what is wrong with its answer."""

    def checking(x: np.ndarray) -> np.ndarray:
        try:
            y = call(x)
        except InputError:
            raise
        except Exception as error:
            raise InputError(
                f"the module failed on inputs of shape {x.shape}, counted as (B, t, channels): "
                f"{reason_of(error)}; is n, channels, time_axis or dtype another?"
            ) from error
        if y.ndim != 3 or len(y) != len(x) or y.shape[1] < n or y.dtype.kind not in "fc":
            raise InputError(
                f"the module made an array of shape {y.shape} of inputs of shape {x.shape}, counted as "
                "(B, t, channels): pad it on the left so that there is an output at each time"
            )
        return y[:, :n]

    return checking
