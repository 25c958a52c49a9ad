"""The command ``toeplitz-theory``: which commands exist, and what an error looks like to whoever typed one.

Each command lives in its own module under ``toeplitz_theory.commands`` and imports what it needs when it
runs, so that ``--help`` and a typing error cost a tenth of a second.

Exit codes: 0 fine; 1 the work failed; 2 bad usage or unreadable input (one line on stderr); 130 interrupted.
"""

from __future__ import annotations

import contextlib
import os
import sys
from typing import Annotated

import typer

from toeplitz_theory import interrupts
from toeplitz_theory.commands.compare import compare
from toeplitz_theory.commands.figures import figures
from toeplitz_theory.commands.inspect import inspect
from toeplitz_theory.commands.models import models
from toeplitz_theory.commands.retention import retention
from toeplitz_theory.commands.surgery import surgery
from toeplitz_theory.commands.sweep import sweep
from toeplitz_theory.commands.train import train
from toeplitz_theory.errors import InputError, ToeplitzTheoryError
from toeplitz_theory.names import shown

# Some releases of Typer carry a copy of Click, others use Click itself; these are the right classes in both.
_UsageError = typer.BadParameter.__bases__[0]
_ClickError = _UsageError.__bases__[0]
_LONGEST_MESSAGE = 2000  # characters: what hides the next prompt is read by nobody

app = typer.Typer(
    name="toeplitz-theory",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _command in (inspect, compare, models, train, sweep, surgery, retention, figures):
    app.command()(_command)


def _print_version(asked: bool) -> None:
    if asked:
        from toeplitz_theory import __version__

        typer.echo(f"toeplitz-theory {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Inspect the Toeplitz layers of a trained model: index, Jensen deficit, condition number, nullity."""


def run(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code; errors have been printed.

    Parameters
    ----------
    arguments : list of str, optional
        What follows the program's name; ``sys.argv[1:]`` when not given.

    Returns
    -------
    int
        0, 1, 2 or 130, as the module's docstring says.

    Examples
    --------
    >>> run(["--version"])  # doctest: +ELLIPSIS
    toeplitz-theory ...
    0
    """
    try:
        code = app(args=arguments, standalone_mode=False)
        sys.stdout.flush()
    except InputError as error:
        return _complain(str(error), 2)
    except ToeplitzTheoryError as error:
        return _complain(str(error), 1)
    except (typer.Abort, KeyboardInterrupt):
        code = interrupts.EXIT_CODE
    except _ClickError as error:  # type: ignore[misc]
        # Asked for nothing: the help is the answer, and it is already complete.
        if type(error).__name__ == "NoArgsIsHelpError":
            print(error.format_message(), file=sys.stderr)
            return 2
        return _complain(f"{error.format_message()} (--help shows an example)", 2)
    except OSError as error:
        return _complain_about(error)
    except MemoryError:
        return _complain("out of memory; free some, or give a smaller model", 1)
    except SystemExit as error:
        # Typer turns a closed pipe into this; anything else that exits means it.
        if isinstance(error.__context__, BrokenPipeError):
            return _complain_about(error.__context__)
        raise
    if code == interrupts.EXIT_CODE:
        interrupts.say()
    return int(code or 0)


def _complain(message: str, code: int) -> int:
    with contextlib.suppress(OSError):  # nobody to tell: the exit code does
        print(f"toeplitz-theory: {shown(' '.join(message.split()), _LONGEST_MESSAGE)}", file=sys.stderr)
    return code


def _complain_about(error: OSError) -> int:
    """Answer what no command foresaw: mostly an output that takes no more."""
    if error.filename is not None:
        return _complain(f"{error.filename}: {error.strerror}; check the path", 2)
    # Keep Python from complaining once more when it flushes at exit.
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if isinstance(error, BrokenPipeError):
        return 0  # whoever read our output (`| head`) has seen enough
    return _complain(f"the output cannot be written: {error.strerror or error}", 1)
