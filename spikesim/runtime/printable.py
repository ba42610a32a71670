"""Text from a file, as it may be shown: what a terminal or a browser would obey is escaped, so that it is seen."""

__all__ = ["one_line", "printable"]


def printable(text: str, *, keep: str = "") -> str:
    """Escape whatever is not printable, as Python writes it: ``\\x1b``, ``\\n``, ``\\u202e``.

    Among these are control sequences, line breaks, marks of direction, invisible characters, and lone surrogates.

    Parameters
    ----------
    text : str
    keep : str
        Characters that stay as they are.

    Returns
    -------
    str
    """
    if text.isprintable():
        return text
    return "".join(
        letter if letter.isprintable() or letter in keep else letter.encode("unicode_escape").decode()
        for letter in text
    )


def one_line(value: object) -> str:
    """What is worth showing of an error or of a text from a file."""
    first = str(value).strip().split("\n")[0].strip().strip("'\"")
    return "".join(letter if letter.isprintable() else "?" for letter in first[:160]) or type(value).__name__
