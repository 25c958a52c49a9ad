"""Names that come from elsewhere (tensors, files, recipes), made fit to print."""

from __future__ import annotations


def printable(text: str) -> str:
    r"""Return the text with every control character, and half of a surrogate pair, escaped.

    Examples
    --------
    >>> printable("layer\x1b[31m.weight")
    'layer\\x1b[31m.weight'
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def shown(name: object, most: int = 120) -> str:
    r"""Return a foreign name with its control characters escaped, its middle left out where it is long.

    Everything a file or another program named goes through here before a person reads it: escape sequences
    would be obeyed by the terminal, and a name of a megabyte would hide the message.

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
    text = printable(str(name)[: 4 * most])
    if len(text) <= most and len(str(name)) <= 4 * most:
        return text
    half = (most - 3) // 2
    return f"{text[:half]}...{printable(str(name)[-half:])[-half:]}"
