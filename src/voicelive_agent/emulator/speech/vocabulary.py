"""Lists of words, written as a line of words."""

from __future__ import annotations

__all__ = ["vocabulary"]


def vocabulary(line: str) -> tuple[str, ...]:
    """The words of ``line``, in order."""
    return tuple(line.split())
