"""One thread for the linear algebra of small matrices, where more threads only wait for each other."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import local

from threadpoolctl import ThreadpoolController

_this_thread = local()
_controller: tuple[int, ThreadpoolController] | None = None


@contextmanager
def one_thread() -> Iterator[None]:
    """Run BLAS and OpenMP on one thread inside the block; the settings from before come back after it.

    On a busy machine the threads of a BLAS spin while they wait for a core: products of small matrices then
    take many times the time and all of the machine. Blocks may nest: the inner ones cost nothing, the
    outermost some 20 microseconds.

    Examples
    --------
    >>> from threadpoolctl import threadpool_info
    >>> import numpy as np
    >>> with one_thread():
    ...     with one_thread():
    ...         _ = np.ones((2, 2)) @ np.ones(2)
    ...     {pool["num_threads"] for pool in threadpool_info()}
    {1}
    """
    if getattr(_this_thread, "limited", False):
        yield
        return
    with _libraries().limit(limits=1):
        _this_thread.limited = True
        try:
            yield
        finally:
            _this_thread.limited = False


def _libraries() -> ThreadpoolController:
    """Return the libraries with thread pools; looked for again only after an import, which may bring one."""
    global _controller
    if _controller is None or _controller[0] != len(sys.modules):
        _controller = len(sys.modules), ThreadpoolController()
    return _controller[1]
