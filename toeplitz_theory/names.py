"""Strings that come from elsewhere (tensors, files, recipes), made fit to print and to put into tables."""

from __future__ import annotations


def printable(text: object) -> str:
    r"""Return a string with everything escaped that a terminal would obey, or could not show.

    Parameters
    ----------
    text : object
        Turned into a string.

    Returns
    -------
    str
        One line: control characters, line ends, marks of direction and halves of characters are escaped.

    Examples
    --------
    >>> printable("layer\x1b[31m.weight")
    'layer\\x1b[31m.weight'
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text))


def shown(name: object, most: int = 120) -> str:
    r"""Return a foreign name `printable`, with its middle left out where it is long.

    Everything that a file or another program named goes through here before a person reads it: escape
    sequences would be obeyed by the terminal, and a name of a megabyte would hide the message.

    Parameters
    ----------
    name : object
        Turned into a string.
    most : int
        Length that is not exceeded.

    Returns
    -------
    str
        One line.

    Examples
    --------
    >>> shown("layer\x1b[31m.weight")
    'layer\\x1b[31m.weight'
    >>> shown("w" * 1000, most=9)
    'www...www'
    """
    text = str(name)
    if len(text) > 2 * most:
        text = text[:most] + text[-most:]
    text = printable(text)
    half = (most - 3) // 2
    return text if len(text) <= most else f"{text[:half]}...{text[-half:]}"
