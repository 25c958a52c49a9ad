"""The errors a user can meet, each with a message that says what is wrong and what to do."""

from numbers import Integral
from typing import Any

from toeplitz_theory.names import shown


class ToeplitzTheoryError(Exception):
    """Base of every error this package raises on purpose."""


class InputError(ToeplitzTheoryError, ValueError):
    """Something handed in cannot be used: a path, a file, a kernel, a recipe.

    The message is one line that names the thing, says what is wrong with it and what to do. The
    command line prints it to stderr and exits with 2.
    """


class NumericalError(ToeplitzTheoryError, ArithmeticError):
    """The accuracy asked for cannot be had; the message says which can."""


class RunError(ToeplitzTheoryError):
    """Work that was under way could not go on, through nothing wrong in what was handed in.

    A full disk, for example. The message says what is kept and how to go on; the command line exits with 1.
    """


def reason_of(error: Exception) -> str:
    """An error in one line; with its kind in front, where it was not raised for a reader.

    Examples
    --------
    >>> reason_of(NumericalError("no zero")), reason_of(MemoryError("32 GiB"))
    ('no zero', 'MemoryError: 32 GiB')
    """
    message = shown(" ".join(str(error).split()), 300)
    return message if isinstance(error, ToeplitzTheoryError) else f"{type(error).__name__}: {message}"


def whole_number(value: Any, least: int, most: int | None, refusal: str) -> int:
    """A whole number in its range, of numpy too; InputError with ``refusal`` for others and booleans.

    Examples
    --------
    >>> whole_number(3, 1, None, "")
    3
    >>> whole_number(True, 0, None, "n = True: give a number of steps")
    Traceback (most recent call last):
        ...
    toeplitz_theory.errors.InputError: n = True: give a number of steps
    """
    number = int(value) if isinstance(value, Integral) and not isinstance(value, bool) else least - 1
    if number < least or (most is not None and number > most):
        raise InputError(refusal)
    return number
