"""Whether a client says again what a recording says, and where not: JSON path by JSON path.

Ids that a client makes up are different every time. Wherever a recorded one stands for a new one, the two are
remembered as the same, and what was recorded later is understood and told with the new one.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from fnmatch import fnmatchcase
from typing import Any, Final, Literal

from .recording import Frame, Recording

__all__ = ["MISSING", "Difference", "Matcher", "Missing"]

_IDS = {
    "approval_request_id",
    "call_id",
    "event_id",
    "id",
    "item_id",
    "previous_item_id",
    "response_id",
    "turn_id",
}
_OPTIONAL_IDS = ("event_id", "id")
_NEVER_COMPARED = ("client_sdp",)  # an offer is new every time
_SHOWN = 120


class Missing(Enum):
    """Nothing at all, which is not the same as null."""

    MISSING = "nothing"


MISSING: Final[Literal[Missing.MISSING]] = Missing.MISSING


@dataclass(frozen=True, slots=True)
class Difference:
    """One place where two messages differ. ``path`` is like ``item.content.0.text``."""

    path: str
    expected: object
    got: object

    def __str__(self) -> str:
        return f"{self.path}: expected {shown(self.expected)}, got {shown(self.got)}"


def shown(value: object) -> str:
    """A value as JSON, short enough for a line."""
    if value is MISSING:
        return "nothing"
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 2]} …"


class Matcher:
    """Compares the messages of one live client with the recorded ones."""

    def __init__(self, recording: Recording, ignore: Sequence[str] = ()) -> None:
        self._ignore = ignore
        self._cut = recording.audio == "cut"
        self._client_made = _made_by_client(recording.frames)
        self._live: dict[str, str] = {}
        """Recorded ids of the client and the ones it has made up now."""

    def differences(self, expected: Mapping[str, Any], got: Mapping[str, Any]) -> list[Difference]:
        """Where a message is not what was recorded; empty if it is the same."""
        return list(self._mappings("", expected, got))

    def adopt(self, expected: object, got: object) -> None:
        """Take two messages for the same: the ids made up in them stand for each other from now on."""
        if isinstance(expected, Mapping) and isinstance(got, Mapping):
            for key, value in expected.items():
                new = got.get(key)
                if key in _IDS and isinstance(value, str) and isinstance(new, str):
                    if value in self._client_made:
                        self._live.setdefault(value, new)
                else:
                    self.adopt(value, new)
        elif isinstance(expected, list) and isinstance(got, list):
            for value, new in zip(expected, got, strict=False):
                self.adopt(value, new)

    def for_client(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """A recorded event with the ids that this client knows."""
        renamed: dict[str, Any] = self._renamed(event) if self._live else dict(event)
        return renamed

    def _renamed(self, value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: self._renamed(each) for key, each in value.items()}
        if isinstance(value, list):
            return [self._renamed(each) for each in value]
        return self._live.get(value, value) if isinstance(value, str) else value

    # --- Comparing ----------------------------------------------------------------------------------------

    def _mappings(self, path: str, expected: Mapping[str, Any], got: Mapping[str, Any]) -> Iterator[Difference]:
        for key in dict.fromkeys([*expected, *got]):
            place = f"{path}.{key}" if path else key
            if not self._ignored(key, place):
                yield from self._values(place, key, expected.get(key, MISSING), got.get(key, MISSING))

    def _ignored(self, key: str, place: str) -> bool:
        if key == "event_id" or key in _NEVER_COMPARED or (self._cut and key == "audio"):
            return True
        return any(fnmatchcase(place, pattern) for pattern in self._ignore)

    def _values(self, place: str, key: str, expected: object, got: object) -> Iterator[Difference]:
        if isinstance(expected, Mapping) and isinstance(got, Mapping):
            yield from self._mappings(place, expected, got)
        elif isinstance(expected, list) and isinstance(got, list):
            for index in range(max(len(expected), len(got))):
                pair = (_at(expected, index), _at(got, index))
                if not self._ignored("", f"{place}.{index}"):
                    yield from self._values(f"{place}.{index}", "", *pair)
        elif not self._same(key, expected, got):
            yield Difference(place, expected, got)

    def _same(self, key: str, expected: object, got: object) -> bool:
        if key in _IDS and isinstance(expected, str) and expected in self._client_made:
            if key in _OPTIONAL_IDS and got is MISSING:
                return True
            return isinstance(got, str) and self._live.get(expected, got) == got
        # In Python True == 1, in JSON not.
        return isinstance(expected, bool) == isinstance(got, bool) and expected == got


def _at(values: list[Any], index: int) -> object:
    return values[index] if index < len(values) else MISSING


def _made_by_client(frames: Iterable[Frame]) -> frozenset[str]:
    """The ids that the recorded client was the first to use."""
    made: set[str] = set()
    issued: set[str] = set()
    for frame in frames:
        used = set(_ids(frame.event))
        if frame.sender == "client":
            made |= used - issued
        else:
            issued |= used - made
    return frozenset(made)


def _ids(value: object) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, each in value.items():
            if key in _IDS and isinstance(each, str):
                yield each
            else:
                yield from _ids(each)
    elif isinstance(value, list):
        for each in value:
            yield from _ids(each)
