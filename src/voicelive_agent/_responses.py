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
_SOMETHING_ELSE: Final = ("instructions", "pre_generated_assistant_message")
MAX_ATTEMPTS: Final = 3
"""How often something is asked for that the service cuts off because the user speaks."""


@dataclass(slots=True)
class Want:
    """A response that somebody here asked for."""

    params: Mapping[str, Any] = field(default_factory=dict)
    ticket: int | None = None  # of say(): somebody waits for how it goes
    uninterruptible: bool = False
    silent: bool = False  # out of band: for whoever asked, neither heard nor in the conversation
    event_id: str = ""
    attempts: int = 0
    rounds: int = 0  # of calls whose results it speaks about, one because of the other
    depth: int = 0  # of calls that it was asked for in the midst of: a tool may wait for it
    filler: bool = False  # said while a tool runs, and of no use any later
    unwanted: bool = False  # it is asked for already, and yet not to be said any more

    @property
    def answers(self) -> bool:
        """Whether this answers what was said before, rather than saying something else."""
        something_else = self.silent or any(name in self.params for name in _SOMETHING_ELSE)
        return not something_else or self.rounds > 0


@dataclass(slots=True)
class Response:
    """One answer, from response.created until its last sample was heard."""

    id: str
    want: Want | None
    progress_at: float
    dropped: bool = False  # nothing of it is to be played any more
    interrupted: bool = False  # something of it was (or might have been) heard before it was dropped
    written: bool = False  # text, not audio: there is nothing to hear
    text: str = ""  # of one that is silent
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

    @property
    def silent(self) -> bool:
        """Whether nobody is to notice it: out of band."""
        return self.want is not None and self.want.silent

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
        self.holds = 0  # scopes in which nothing is to be interrupted
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
        live = [r for r in (self.open, *self.audible) if r is not None and not r.dropped]
        asked = self.in_flight is not None and self._protects(self.in_flight)
        return asked or any(self.protects(response) for response in live)

    def hold(self, change: int) -> None:
        """A scope in which nothing is to be interrupted begins (+1) or ends (-1)."""
        self.holds += change

    def protects(self, response: Response) -> bool:
        """Whether the user cannot interrupt this response."""
        return self._protects(response.want or Want())

    def _protects(self, want: Want) -> bool:
        return want.uninterruptible or (self.holds > 0 and not want.silent)

    def want_answer(self) -> None:
        """What the user said or typed is to be answered; one answer covers all that came before it."""
        if not any(want.answers for want in self.wants):
            self.wants.append(Want())

    def put_back(self, want: Want) -> None:
        """It has to wait, and is the next one, if it is still wanted; a filler would come too late."""
        if not want.filler and not want.unwanted:
            self.wants.appendleft(want)

    def create(self, want: Want, event_id: str, now: float) -> wire.CreateResponse:
        """Ask for this response now."""
        want.event_id = event_id
        want.attempts += 1
        self.in_flight, self.in_flight_at = want, now
        metadata = {**want.params.get("metadata", {}), _TAG: event_id}
        return wire.CreateResponse(event_id=event_id, response={**want.params, "metadata": metadata})

    def postpone(self, now: float) -> None:
        """The response.create was refused since the service has an open one: ask again when that is done."""
        if self.in_flight is not None:
            self.put_back(self.in_flight)
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
        tag, asked = (metadata or {}).get(_TAG), self.in_flight
        # What comes without any metadata may be the service's own, and that must not become silent.
        if asked is not None and (tag == asked.event_id or (tag is None and not asked.silent)):
            want, self.in_flight = asked, None
        self.open = Response(response_id, want, now)
        return self.open

    def covered(self) -> list[int]:
        """The service answers by itself: that answers what we had asked to be answered before, too.

        The tickets of those who wait for one of these answers, which is none of its own any more.
        """
        covered = [want for want in self.wants if want.answers and want.event_id]
        self.wants = deque(want for want in self.wants if want not in covered)
        return [want.ticket for want in covered if want.ticket is not None]

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
