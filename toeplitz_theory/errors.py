"""The errors a user can meet, each with a message that says what is wrong and what to do."""


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
