"""Values that somebody has written into a file, and what is said where one of them is wrong."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import ConfigurationError

__all__ = ["Where", "near", "only", "positive", "shown", "text_of", "whole"]


@dataclass(frozen=True, slots=True)
class Where:
    """A place in a file, for what is said about it."""

    file: str
    line: int | None = None
    path: tuple[str, ...] = ()

    def at(self, line: int | None) -> Where:
        """The same place, in this line."""
        return Where(self.file, line, self.path)

    def inside(self, container: Any, key: str | int, name: str | None = None) -> Where:
        """The place of a value in a mapping or a list."""
        line = self.lines(container).get(key, self.line)
        return Where(self.file, line, (*self.path, name or str(key if isinstance(key, str) else key + 1)))

    @staticmethod
    def lines(container: Any) -> Mapping[str | int, int]:
        """The lines of a container's values, where it was read with them."""
        return getattr(container, "lines", {})

    def wrong(self, fault: str, fix: str) -> ConfigurationError:
        """The error that names this place, what is wrong there, and the fix."""
        where = [self.file, *([f"line {self.line}"] if self.line else []), *self.path]
        return ConfigurationError(f"{', '.join(where)}: {fault}.", hint=fix)


def only(given: Mapping[str, Any], known: Sequence[str], where: Where) -> None:
    """Refuse other keys than these."""
    for key in given:
        if key not in known:
            fix = f"Known here: {', '.join(known)}.{near(key, known)}"
            raise where.inside(given, str(key)).wrong("is not known", fix)


def near(word: object, known: Sequence[str] | Mapping[str, Any]) -> str:
    """A question that offers the known word next to this one; empty where none is near."""
    [nearest, *_] = [*difflib.get_close_matches(str(word), list(known), 1), ""]
    return f" Did you mean {nearest!r}?" if nearest else ""


def shown(value: object) -> str:
    """A value, as an error shows it."""
    return "nothing" if value is None else f"{value!r:.40}"


def text_of(value: Any, where: Where) -> str:
    """A text."""
    if isinstance(value, str):
        return value
    fix = "Put it in quotes: YAML takes yes, no, on, off and numbers for something else."
    raise where.wrong(f"must be a text, not {shown(value)}", fix)


def positive(value: Any, where: Where) -> float:
    """A number above 0."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 0 < value < math.inf:
        raise where.wrong(f"must be a number greater than 0, not {shown(value)}", "Write for example 500.")
    return float(value)


def whole(value: Any, where: Where) -> int:
    """1, 2, 3 ..."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise where.wrong(f"must be 1, 2, 3 ..., not {shown(value)}", "1 is the first time the user speaks.")
    return value
