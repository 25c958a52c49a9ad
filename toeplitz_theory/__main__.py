"""The program: ``toeplitz-theory``, and ``python -m toeplitz_theory`` for launchers that start a module."""

import os
import signal
import sys

from toeplitz_theory import interrupts


def main() -> None:
    """Run the command line in a process of its own, and leave with its exit code."""
    interrupts.install()
    try:
        _prepare_streams()
        os.environ["MPLBACKEND"] = "agg"  # figures become files; a backend that is not there would end it all
        from toeplitz_theory.cli import run

        code = run()
    except BaseException:
        # Libraries that are interrupted while they load raise errors of many kinds.
        if not interrupts.interrupted():
            raise
        code = interrupts.EXIT_CODE
    if code == interrupts.EXIT_CODE:
        interrupts.say()
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the interpreter, as it ends, would die of another one
    sys.exit(code)


def _prepare_streams() -> None:
    """Have closed streams take and drop what is printed, and poor encodings escape what they lack."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 (as long as we live)
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


if __name__ == "__main__":
    main()
