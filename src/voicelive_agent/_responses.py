"""One owner of responses: who asked for which, which one is open, and which may still be heard.

At most one ``response.create`` is out and none while a response is open, so "conversation already has an active
response" cannot happen by our doing. Responses that the service makes by itself are adopted. What was dropped or
has ended is known by id for ever (the last thousand): its late messages are nobody's.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from . import _wire as wire

_MAX_GONE: Final = 1_000
_TAG: Final = "vla"  # key of our metadata, which the service echoes in response.created


@dataclass(slots=True)
class Want:
    """A response that somebody here asked for."""

    params: Mapping[str, Any] = field(default_factory=dict)
    ticket: int | None = None  # of say(): somebody waits for how it goes
    uninterruptible: bool = False
    event_id: str = ""

    @property
    def answers(self) -> bool:
        """Whether this answers what was said before, rather than saying a given text."""
        return not self.params


@dataclass(slots=True)
class Response:
    """One answer, from response.created until its last sample was heard."""

    id: str
    want: Want | None
    progress_at: float
    dropped: bool = False  # nothing of it is to be played any more
    interrupted: bool = False  # something of it was (or might have been) heard before it was dropped
    written: bool = False  # text, not audio: there is nothing to hear
    items: list[str] = field(default_factory=list)  # its messages, in order
    calls: dict[str, wire.ItemInfo] = field(default_factory=dict)
    ended: wire.ResponseInfo | None = None
    response_ms: int | None = None
    endpoint_ms: int | None = None
    barge_in_ms: int | None = None
    heard: bool = False  # its first sample was heard

    @property
    def ticket(self) -> int | None:
        return self.want.ticket if self.want is not None else None

    @property
    def uninterruptible(self) -> bool:
        return self.want is not None and self.want.uninterruptible

    def mention(self, item_id: str) -> bool:
        """A message of this response exists. Whether that is news."""
        news = item_id not in self.items
        if news:
            self.items.append(item_id)
        return news


class Responses:
    """All responses of one conversation."""

    def __init__(self) -> None:
        self.wants: deque[Want] = deque()
        self.in_flight: Want | None = None  # response.create is sent, response.created not yet received
        self.in_flight_at = 0.0
        self.open: Response | None = None
        self.audible: list[Response] = []  # ended, and not yet heard to the end
        self.blocked_at: float | None = None  # the service says that it has an open one that we do not know
        self._gone: dict[str, None] = {}

    @property
    def busy(self) -> bool:
        """Whether a response.create would now be refused."""
        return self.open is not None or self.in_flight is not None or self.blocked_at is not None

    @property
    def coming(self) -> bool:
        """Whether something will yet be said (or refused)."""
        expected = self.open is not None and not self.open.dropped
        return expected or self.in_flight is not None or bool(self.wants)

    @property
    def uninterruptible(self) -> bool:
        """Whether what is being said, or is about to be, must not be interrupted."""
        live = [self.open, *self.audible]
        asked = self.in_flight is not None and self.in_flight.uninterruptible
        return asked or any(r is not None and r.uninterruptible and not r.dropped for r in live)

    def create(self, want: Want, event_id: str, now: float) -> wire.CreateResponse:
        """Ask for this response now."""
        want.event_id = event_id
        self.in_flight, self.in_flight_at = want, now
        return wire.CreateResponse(event_id=event_id, response={**want.params, "metadata": {_TAG: event_id}})

    def postpone(self, now: float) -> None:
        """The response.create was refused since the service has an open one: ask again when that is done."""
        if self.in_flight is not None:
            self.wants.appendleft(self.in_flight)
            self.in_flight = None
        self.blocked_at = now

    def give_up(self) -> int | None:
        """Nothing will come of the response.create. The ticket of whoever waits for it."""
        want, self.in_flight = self.in_flight, None
        return want.ticket if want is not None else None

    def created(self, info: wire.ResponseInfo, now: float) -> Response | None:
        """A response was created; None if that is old news."""
        if info.id in self._gone or (self.open is not None and self.open.id == info.id):
            return None
        return self._adopt(info.id, info.metadata, now)

    def _adopt(self, response_id: str, metadata: Mapping[str, Any] | None, now: float) -> Response:
        self.blocked_at = None
        want: Want | None = None
        tag = (metadata or {}).get(_TAG)
        if self.in_flight is not None and tag in (None, self.in_flight.event_id):
            want, self.in_flight = self.in_flight, None
        self.open = Response(response_id, want, now)
        return self.open

    def covered(self) -> None:
        """The service answers by itself: that answers what we had asked to be answered before, too."""
        self.wants = deque(want for want in self.wants if not (want.answers and want.event_id))

    def find(self, response_id: str, now: float) -> Response | None:
        """The response that a message belongs to, adopted if its creation was not seen; None for late ones."""
        if self.open is not None and self.open.id == response_id:
            self.open.progress_at = now
            return self.open
        if self.open is not None or response_id in self._gone:
            return None
        return self._adopt(response_id, None, now)

    def retire(self, response: Response) -> None:
        """Nothing more comes of this response; its late messages are nobody's."""
        self.blocked_at = None
        if self.open is response:
            self.open = None
        self._gone[response.id] = None
        if len(self._gone) > _MAX_GONE:
            del self._gone[next(iter(self._gone))]
