"""A progress bar on stderr."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

Item = TypeVar("Item")


def watched(items: Sequence[Item], wanted: bool, name: str) -> Iterable[Item]:
    """The items, with a bar called ``name`` on stderr while they are worked on, if it is wanted.

    Examples
    --------
    >>> list(watched([1, 2], False, "numbers"))
    [1, 2]
    """
    with advancing(len(items), wanted, name) as advance:
        for item in items:
            yield item
            advance(item)


@contextmanager
def advancing(total: int, wanted: bool, name: str) -> Iterator[Callable[[Any], Any]]:
    """Show a bar inside the block, if it is wanted; what is yielded moves it by one and returns its argument.

    Examples
    --------
    >>> with advancing(2, False, "numbers") as advance:
    ...     [advance(k) for k in range(2)]
    [0, 1]
    """
    if not wanted:
        yield lambda item: item
        return
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    seen = console.is_terminal or console.is_jupyter  # elsewhere a bar leaves an empty line
    with Progress(console=console, transient=True, disable=not seen) as bar:
        task = bar.add_task(name, total=total)

        def advance(item: Any) -> Any:
            bar.advance(task)
            return item

        yield advance
