"""Errors of other libraries in one line."""

from __future__ import annotations

__all__ = ["one_line"]

LONGEST = 300


def one_line(error: BaseException) -> str:
    r"""What an error says, on one line of at most 300 characters; its type if it says nothing.

    Example:
      >>> one_line(OSError("cannot\n  read")), one_line(EOFError())
      ('cannot read', 'EOFError')
    """
    text = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, KeyError):
        text = f"it has no {text}"
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} ..."
