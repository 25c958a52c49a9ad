"""A progress bar for work that turns out to be long."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Any, TypeVar

Item = TypeVar("Item")

# Seconds of work after which a progress bar is worth the flicker.
_PATIENCE = 1.0


def watched(items: Sequence[Item], wanted: bool, name: str) -> Iterator[Item]:
    """The items one by one, with a progress bar on stderr when it is wanted and they take over a second.

    Parameters
    ----------
    items : sequence
        What is worked on.
    wanted : bool
        Whether to show anything.
    name : str
        What the bar calls them.

    Yields
    ------
    item
        In order.

    Examples
    --------
    >>> list(watched([1, 2], True, "numbers"))
    [1, 2]
    """
    start = time.monotonic()
    bar = task = None
    with ExitStack() as stack:
        for done, item in enumerate(items):
            if wanted and bar is None and done and time.monotonic() - start > _PATIENCE:
                bar = stack.enter_context(_progress_bar())
                task = bar.add_task(name, total=len(items), completed=done)
            if bar is not None and task is not None:
                bar.update(task, completed=done)
            yield item


def _progress_bar() -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
