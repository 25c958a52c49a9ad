"""Ctrl-C on the command line: one line, exit code 130 and nothing half-written, whenever it is pressed.

The first one raises KeyboardInterrupt, so that what is open is closed. A second one, or libraries that keep
the first to themselves for a few seconds, end the process at once: files are written under temporary names,
which are removed here, so nothing can be left in halves.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from multiprocessing.process import BaseProcess

EXIT_CODE = 130
_PATIENCE = 5.0  # seconds for everything that is open to be closed
_interrupts: list[int] = []
_advice: list[str] = []
_lines: list[str] = []


def install() -> None:
    """Have Ctrl-C answered as the module says, unless whoever started this process has it ignored."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _answer)


def interrupted() -> bool:
    """Whether Ctrl-C was pressed since `install`."""
    return bool(_interrupts)


def advise(how_to_go_on: str) -> None:
    """Have the one line end with what is kept and how to go on."""
    _advice.append(how_to_go_on)


def say() -> None:
    """Print the one line, once."""
    if not _lines:
        _lines.append("; ".join(["toeplitz-theory: interrupted", *_advice[-1:]]) + "\n")
        restored = "\r\x1b[K\x1b[?25h" if os.isatty(2) else ""  # a progress bar hides the cursor
        with suppress(OSError):  # nobody to tell: the exit code does
            os.write(2, (restored + _lines[0]).encode())


def _answer(number: int, frame: object) -> None:
    _interrupts.append(number)
    if len(_interrupts) > 1:
        _leave()
    # Python would print a traceback for an interrupt that arrives where no exception can be raised.
    sys.unraisablehook = lambda unraisable: None
    if hasattr(signal, "setitimer"):
        signal.signal(signal.SIGALRM, _leave)
        signal.setitimer(signal.ITIMER_REAL, _PATIENCE)
    raise KeyboardInterrupt


def _leave(number: int = 0, frame: object = None) -> None:
    if files := sys.modules.get("toeplitz_theory.files"):
        files.remove_unfinished()
    say()
    os._exit(EXIT_CODE)


# Processes that work for this one.


def be_child() -> None:
    """Leave Ctrl-C, which reaches all processes, to the first one; told by it to end, do that in order."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))


def stop_children(children: Sequence[BaseProcess], patience: float) -> None:
    """End processes: ask all, give each so many seconds to let go of what it holds, then do not ask."""
    for child in children:
        child.terminate()
    for child in children:
        child.join(patience)
        child.kill()
