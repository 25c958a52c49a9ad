"""Timing that two benchmarks share: medians in milliseconds, and ratios taken in one run."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable


def median_ms(function: Callable[[], object], repeat: int = 7) -> float:
    """Return the median wall time of ``function()`` in milliseconds, after one unmeasured call."""
    function()
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return 1e3 * statistics.median(times)


def ratio(slow_ms: float, fast_ms: float) -> str:
    """Return how many times faster the second is, as a short text.

    >>> ratio(2600.0, 2.0)
    '1300x'
    """
    return f"{slow_ms / fast_ms:.3g}x"
