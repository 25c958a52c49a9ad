"""The command ``toeplitz-theory``: which commands exist, and what an error looks like to whoever typed one.

Each command lives in its own module under ``toeplitz_theory.commands`` and imports what it needs when it
runs, so that ``--help`` and a typing error cost a tenth of a second.

Exit codes: 0 fine; 1 the work failed; 2 bad usage or unreadable input (one line on stderr); 130 interrupted.
"""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from toeplitz_theory.commands import compare, figures, inspect, models, surgery, train
from toeplitz_theory.errors import InputError, ToeplitzTheoryError

# Some releases of Typer carry a copy of Click, others use Click itself; these are the right classes in both.
_UsageError = typer.BadParameter.__bases__[0]
_ClickError = _UsageError.__bases__[0]

app = typer.Typer(
    name="toeplitz-theory",
    help="Inspect the Toeplitz layers of a trained model: index, Jensen deficit, condition number, nullity.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _module in (inspect, compare, models, train, surgery, figures):
    app.command(_module.NAME, epilog=f"Example:  {_module.EXAMPLE}")(_module.command)


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


def _complain(message: str) -> None:
    one_line = " ".join(message.split())
    print(f"toeplitz-theory: {one_line}", file=sys.stderr)


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
        _complain(str(error))
        return 2
    except ToeplitzTheoryError as error:
        _complain(str(error))
        return 1
    except (typer.Abort, KeyboardInterrupt):
        _complain("interrupted")
        return 130
    except _ClickError as error:  # type: ignore[misc]
        # Asked for nothing: the help is the answer, and it is already complete.
        if type(error).__name__ == "NoArgsIsHelpError":
            print(error.format_message(), file=sys.stderr)
        else:
            _complain(f"{error.format_message()} (--help shows an example)")
        return 2
    except BrokenPipeError:
        return _reader_left()
    except SystemExit as error:
        # Typer turns a closed pipe into this; anything else that exits means it.
        if isinstance(error.__context__, BrokenPipeError):
            return _reader_left()
        raise
    if code == 130:
        # Typer has caught the interrupt and made it a number.
        _complain("interrupted")
    return int(code or 0)


def _reader_left() -> int:
    """Whoever read our output (`| head`) has seen enough; keep Python from complaining at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return 0


def main() -> None:
    """Entry point of the installed script."""
    sys.exit(run())


if __name__ == "__main__":
    main()
