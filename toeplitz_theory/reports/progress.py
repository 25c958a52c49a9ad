"""A progress bar on stderr."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeVar

Item = TypeVar("Item")


def watched(items: Sequence[Item], wanted: bool, name: str) -> Iterable[Item]:
    """The items, with a bar called ``name`` on stderr while they are worked on, if it is wanted.

    Examples
    --------
    >>> list(watched([1, 2], False, "numbers"))
    [1, 2]
    """
    if not wanted:
        return items
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    seen = console.is_terminal or console.is_jupyter  # elsewhere a bar leaves an empty line
    return track(items, name, console=console, transient=True, disable=not seen)
