"""The agent's own requests, so that an answer to one is not mistaken for something else.

Every request carries an ``event_id``. A refusal names it (or, as seen from the service, leaves it null: then the
error's code or parameter tells which kind of request it answers, and the oldest of that kind is meant).
"""

from __future__ import annotations

from typing import Final, TypeVar

from . import _wire as wire

_MAX_OPEN: Final = 256  # what the service never answers is forgotten beyond this

_ANSWERS: Final[dict[str, tuple[type[wire.Request], ...]]] = {
    "response_cancel_not_active": (wire.CancelResponse,),
    "conversation_already_has_active_response": (wire.CreateResponse,),
    "invalid_value": (wire.TruncateItem,),
    "unsupported_content_type": (wire.TruncateItem,),
    "item_truncate_invalid_item_id": (wire.TruncateItem,),
    "item_delete_invalid_item_id": (wire.DeleteItem,),
    "input_audio_buffer_commit_empty": (wire.CommitInput,),
    "cannot_update_voice": (wire.UpdateSession,),
    "ec_not_supported": (wire.UpdateSession,),
    "invalid_ec_channels_requires_client": (wire.UpdateSession,),
    "invalid_ec_reference_channels": (wire.UpdateSession,),
    "invalid_ec_channels_format": (wire.UpdateSession,),
    "change_in_ec_channels_not_allowed": (wire.UpdateSession,),
}
"""Error codes that can only answer one kind of request."""

_R = TypeVar("_R", bound=wire.Request)


class Requests:
    """Numbers the requests of one conversation and remembers the open ones."""

    def __init__(self) -> None:
        self._count = 0
        self._open: dict[str, wire.Request] = {}

    def new_id(self) -> str:
        """An id that no other request or item of this conversation has."""
        self._count += 1
        return f"vla_{self._count}"

    def add(self, request: _R) -> _R:
        """A request goes out."""
        if len(self._open) >= _MAX_OPEN:
            del self._open[next(iter(self._open))]
        self._open[request.event_id] = request
        return request

    def refused(self, error: wire.ErrorInfo) -> wire.Request | None:
        """The own request that this error answers, if it answers one."""
        if error.event_id:
            return self._open.pop(error.event_id, None)
        kinds = _kinds(error)
        for event_id, request in self._open.items():
            if isinstance(request, kinds):
                return self._open.pop(event_id)
        return None

    def confirmed(self, kind: type[_R], subject: str = "") -> _R | None:
        """The oldest open request of this kind (about this item or response), which is answered now."""
        for event_id, request in self._open.items():
            if isinstance(request, kind) and (not subject or subject == _subject(request)):
                del self._open[event_id]
                return request
        return None


def _kinds(error: wire.ErrorInfo) -> tuple[type[wire.Request], ...]:
    """The kinds of request that this error can answer, going by what it says."""
    if (error.param or "").partition(".")[0] == "session":  # its codes are general ones
        return (wire.UpdateSession,)
    return _ANSWERS.get(error.code or "", ())


def _subject(request: wire.Request) -> str:
    """The item or response that a request is about."""
    match request:
        case wire.TruncateItem() | wire.DeleteItem():
            return request.item_id
        case wire.CreateItem():
            return str(request.item.get("id", ""))
        case wire.CancelResponse():
            return request.response_id
        case _:
            return ""
