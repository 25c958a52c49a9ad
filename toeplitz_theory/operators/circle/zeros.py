"""All zeros of a symbol in proved discs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial

import flint
import numpy as np

from toeplitz_theory.errors import InputError
from toeplitz_theory.operators.bits import to_acb
from toeplitz_theory.operators.circle.aberth import float_zeros
from toeplitz_theory.operators.circle.discs import Disc, decided, disjoint, isolated, stored_zeros
from toeplitz_theory.operators.circle.exact import SharedZeros, has_multiple_zeros, to_integers
from toeplitz_theory.operators.kernels import Exact, Taps
from toeplitz_theory.operators.results import Zeros

ISOLATED_UP_TO = 1100  # taps: isolating all zeros of a longer kernel takes seconds


def all_zeros(taps: Taps) -> Zeros:
    """Return every zero with its multiplicity, sorted by modulus."""
    if taps.is_zero:
        raise InputError("the symbol is identically 0: every number is a zero")
    scaled = taps.scaled()
    core, lead = scaled.exact, scaled.lead
    origin = [Disc(flint.acb(0), flint.arb(0), lead)] if lead else []
    isolated = _isolated(core.values.tobytes(), core.values.dtype.char, core.low)
    if isolated is None:
        near = float_zeros(scaled.values)
        near = np.full(core.values.size - 1, complex(np.nan, np.nan)) if near is None else near
        values = np.concatenate([np.zeros(lead, complex), near])
        outside = np.arange(values.size) >= lead
        return Zeros(values, np.where(outside, np.inf, 0.0), outside.astype(np.int8) - 1)
    values, radii, sides = stored_zeros(origin + isolated.discs)
    order = np.argsort(np.abs(values), kind="stable")
    return Zeros(values[order], radii[order], sides[order], isolated.settled)


@dataclass
class Isolated:
    """Disjoint discs that hold all zeros, and whether all that meet the circle hold a zero exactly on it."""

    discs: list[Disc]
    settled: bool


@lru_cache(maxsize=8)  # it takes up to seconds, and index, deficit and factors all ask
def _isolated(values: bytes, kind: str, low: Exact) -> Isolated | None:
    """Isolate the zeros of taps whose first and last are not 0.

    A real polynomial with multiple zeros is taken apart into squarefree factors over the integers first.
    """
    taps = Taps(np.frombuffer(values, kind), low)
    if taps.values.size == 1:
        return Isolated([], True)
    if np.iscomplexobj(taps.values) or not has_multiple_zeros(taps):
        shared = None if np.iscomplexobj(taps.values) else partial(SharedZeros.of, taps)
        return _decided(to_acb(taps), taps.scaled().values, shared)
    whole = Isolated([], True)
    for factor, multiplicity in to_integers(taps).factor_squarefree()[1]:
        top = factor.height_bits()
        near = np.array([int(c) / (1 << top) for c in factor])
        part = _decided([flint.acb(c) for c in factor], near, partial(SharedZeros, factor))
        if part is None:
            return None
        whole.discs += [Disc(disc.middle, disc.radius, disc.count * int(multiplicity)) for disc in part.discs]
        whole.settled = whole.settled and part.settled
    return whole if disjoint(whole.discs) else None


def _decided(
    exact: list[flint.acb], near: np.ndarray, shared: Callable[[], SharedZeros] | None
) -> Isolated | None:
    """Isolate the zeros of a polynomial, in discs as small as it takes to decide their sides.

    If exact arithmetic puts as many different zeros on the circle as there are discs across it, of one zero
    each, then each disc's zero is one of them. Of a complex polynomial it gives angles, not a count.
    """
    discs = isolated(near, exact)
    if discs is None:
        return None
    for attempt in (False, True):
        discs = decided(discs, exact) if attempt else discs
        across = [disc for disc in discs if not disc.side]
        angles = np.angle([complex(disc.middle) for disc in across])
        single = shared is not None and all(disc.count == 1 for disc in across)
        if not across or (single and shared is not None and shared().count_on_circle(angles) == len(across)):
            return Isolated(discs, True)
    return Isolated(discs, False)
