"""Turns that the client marks itself, and text that it streams: what was begun and is not complete.

Neither was recorded, and the documentation has little: a turn is answered with the events of the audio buffer, a
streamed text becomes an item of the user. Both are guesses.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ._checks import missing
from ._errors import ClientError


class AudioTurn:
    """The turn between ``input_audio.turn.start`` and ``.end`` or ``.cancel``. One is open at a time."""

    def __init__(self) -> None:
        self._open: str | None = None

    def start(self, turn_id: str) -> None:
        """Open a turn; raises ClientError while another one is open."""
        if self._open is not None:
            raise _bad_turn(f"turn '{self._open}' was not ended yet")
        self._open = turn_id

    def check(self, turn_id: str) -> None:
        """Raise ClientError unless this turn is open."""
        if turn_id != self._open:
            raise _bad_turn(f"no turn '{turn_id}' was started")

    def end(self, turn_id: str) -> None:
        """Close a turn; raises ClientError unless it is open."""
        self.check(turn_id)
        self._open = None

    def clear(self) -> None:
        """Forget the open turn."""
        self._open = None


def _bad_turn(problem: str) -> ClientError:
    return ClientError(f"Invalid value for 'turn_id': {problem}.", code="invalid_value", param="turn_id")


class TextStreams:
    """Text that comes in pieces, by the id of the item it becomes.

    Since 2026-07-15 the pieces carry that id; before, all of them were one text, whose id the service made.
    """

    def __init__(self, api_version: str) -> None:
        self._id_required = api_version >= "2026-07-15"
        self._texts: dict[str | None, dict[int, str]] = {}

    def add(self, message: Mapping[str, Any]) -> None:
        """Take a piece; raises ClientError where its id is missing."""
        parts = self._texts.setdefault(self._id_of(message), {})
        index = message.get("content_index") or 0
        parts[index] = parts.get(index, "") + message["delta"]

    def finish(self, message: Mapping[str, Any]) -> dict[str, Any]:
        """The user's item; raises ClientError where nothing was streamed under this id."""
        item_id = self._id_of(message)
        parts = self._texts.pop(item_id, None)
        if parts is None:
            name = "'input_text.done'" if item_id is None else f"'{item_id}'"
            raise ClientError(f"No text was streamed for {name}.", code="invalid_value", param="id")
        content = [{"type": "input_text", "text": parts[index]} for index in sorted(parts)]
        return {"id": item_id, "type": "message", "role": "user", "content": content}

    def _id_of(self, message: Mapping[str, Any]) -> str | None:
        item_id: str | None = message.get("id")
        if item_id is None and self._id_required:
            raise missing("id")
        return item_id
