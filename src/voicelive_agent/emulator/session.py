"""Voice Live as a pure object: what the client sent and the time go in, what the service says and when comes out.

No I/O, no clock, no tasks, no threads. The aiohttp shell in :mod:`.server` and any test drive it the same way::

    session = EmulatorSession(model="gpt-4.1")
    session.start(now)
    session.receive('{"type": "response.create"}', now)
    for job in session.jobs():
        session.finish(job, job.run(), now)      # here or on a worker thread
    for event in session.poll(now):
        ...                                      # and again at session.deadline
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

from ._agents import Agent, FailingAgent, check_query
from ._avatar import Avatar
from ._client_events import client_event
from ._config import Config
from ._context import Context
from ._conversation import Conversation
from ._errors import ClientError, active_response, agent_failed, cancel_not_active, session_expired
from ._hearing import Hearing, Utterance
from ._ids import Ids
from ._items import Items
from ._mcp import McpClient, McpServers
from ._options import Job, Options
from ._profiles import delays_of, profile_of
from ._response import Response
from ._silence import Silences
from ._timeline import Timeline
from ._turn_input import AudioTurn
from .protocols import Brain, Ears, Voice
from .scripted import EnergyEars, ScriptedBrain, ToneVoice

__all__ = ["EmulatorSession"]

# Work done in one call, so that a large append does not hold up an event loop: a look by the listener takes about
# 1 ms, resampling alone far less.
_HEARD_MS_PER_CALL = 8 * 32
_STORED_MS_PER_CALL = 4000


@dataclass(slots=True)
class _Inbound:
    """A client message that was not handled yet."""

    message: dict[str, Any]
    ready_at: float
    rest: bytes | None = None
    """Of an append: the audio that was not processed yet."""


class EmulatorSession:
    """One session of the service, from session.created to the close.

    ``model`` and ``query`` are those of the URL. ``ears``, ``brain`` and ``voice`` default to scripted ones that
    need no packages. ``mcp`` reaches the MCP servers of the session; without it their tools cannot be listed. Ids
    are random; a ``seed`` makes them reproducible.
    """

    def __init__(
        self,
        *,
        model: str = "gpt-4.1",
        query: Mapping[str, str] | None = None,
        ears: Ears | None = None,
        brain: Brain | None = None,
        voice: Voice | None = None,
        options: Options | None = None,
        mcp: McpClient | None = None,
        seed: int | None = None,
    ) -> None:
        options, query = options or Options(), query or {}
        ids = Ids(seed)
        agent = Agent.of(query, ids)
        model = "" if agent else model  # the agent has one of its own
        profile = profile_of(model, options, query.get("profile"))
        if agent and options.agent_failure == "message":
            brain = FailingAgent()
        self._query = query
        self._agent = agent
        self._timeline = Timeline(ids)
        config = Config(model, query, profile, options, agent)
        self._context = Context(
            timeline=self._timeline,
            ids=ids,
            items=Items(),
            profile=profile,
            delays=delays_of(profile, options),
            options=options,
            config=config,
            avatar=Avatar(self._timeline, ids, config),
            brain=brain or ScriptedBrain(),
            voice=voice or ToneVoice(),
            conversation_id=ids.model("conv") if profile.realtime else "",
        )
        self._context.mcp = McpServers(self._context, mcp)
        self._session_id = self._context.model_id("sess")
        self._expires_at = 0
        self._hearing = Hearing(
            self._context,
            ears or EnergyEars(),
            on_interrupt=self._interrupt,
            on_committed=self._committed,
            on_words=self._words,
        )
        self._conversation = Conversation(self._context, self._hearing)
        self._turn = AudioTurn()
        self._handlers = self._handlers_of(self._conversation)
        self._inbox: deque[_Inbound] = deque()
        self._ready_at = 0.0
        self._active: Response | None = None
        self._waiting: deque[Response] = deque()
        self._silences = Silences(
            self._context, self._break_silence, lambda: bool(self._current) or self._hearing.user_speaking
        )
        self._closing: tuple[int, str] | None = None
        self._started = False

    # --- Driving ------------------------------------------------------------------------------------------

    def start(self, now: float, *, unix_time: float | None = None) -> None:
        """Begin: session.created is due at once. ``expires_at`` counts from ``unix_time`` (default: ``now``).

        With a query that opens no session, or an agent that fails, it is an error and the end instead.
        """
        self._started = True
        self._timeline.now = now
        try:
            check_query(self._query)
        except ClientError as error:
            self._close(error, 1008, "bad_request")
            return
        if self._agent and self._context.options.agent_failure == "initialization":
            self._close(agent_failed(self._agent.name), 1006, "")
            return
        limit = self._context.options.max_session_s
        lifetime = self._context.profile.lifetime_s if limit is None else limit
        self._expires_at = int((now if unix_time is None else unix_time) + lifetime)
        if limit is not None:
            self._timeline.at(now + limit, lambda: self._expire(limit))
        self._send_session("session.created")

    def receive(self, data: str | bytes, now: float) -> None:
        """Take one message of the client. Whatever is wrong with it becomes an ``error`` event."""
        if not self._started:
            raise RuntimeError("EmulatorSession.start() comes before receive().")
        if self._closing:
            return
        self._timeline.advance(now)
        try:
            message = _parsed(data)
        except ClientError as error:
            self._refuse(error, None)
            return
        delay = self._context.delays.update if message.get("type") == "session.update" else 0.0
        # One after the other: what follows a slow message waits for it.
        self._ready_at = max(self._ready_at, self._timeline.now + delay)
        self._inbox.append(_Inbound(message, self._ready_at))
        self._work()

    def poll(self, now: float) -> list[dict[str, Any]]:
        """The events due by ``now``, in order."""
        self._timeline.advance(now)
        self._work()
        return self._timeline.take()

    @property
    def deadline(self) -> float | None:
        """When :meth:`poll` has something to do next; None if nothing is scheduled."""
        scheduled = self._timeline.deadline
        if not self._inbox or self._hearing.deciding:
            return scheduled
        ready = max(self._inbox[0].ready_at, self._timeline.now)
        return ready if scheduled is None else min(ready, scheduled)

    def jobs(self) -> list[Job]:
        """The work that became ready since the last call; each job is handed out once."""
        jobs, self._context.jobs = self._context.jobs, []
        return jobs

    def finish(self, job: Job, result_or_error: object, now: float) -> None:
        """Hand back what ``job.run()`` returned, or the exception it raised."""
        self._timeline.advance(now)
        if not self._closing:
            job.then(result_or_error)
            self._timeline.advance(now)

    @property
    def closing(self) -> tuple[int, str] | None:
        """The WebSocket close code and reason, once the session wants to close (after its last events)."""
        return self._closing

    # --- Client messages ----------------------------------------------------------------------------------

    def _work(self) -> None:
        """Handle what the client sent, in order, as far as one call may."""
        heard_ms = 0.0
        while self._inbox and self._inbox[0].ready_at <= self._timeline.now and not self._hearing.deciding:
            inbound = self._inbox[0]
            if inbound.rest is not None:
                limit = _HEARD_MS_PER_CALL if self._hearing.detects_turns else _STORED_MS_PER_CALL
                if heard_ms >= limit:
                    break
                heard_ms += self._hear(inbound)
            else:
                self._handle(inbound)
            if not inbound.rest and self._inbox and not self._hearing.deciding:
                self._inbox.popleft()
            self._timeline.advance(self._timeline.now)

    def _hear(self, inbound: _Inbound) -> float:
        """Process the next part of an append; its length in milliseconds."""
        assert inbound.rest is not None
        if inbound.rest:
            self._context.config.audio_was_received()
        decoder = self._hearing.decoder
        size = decoder.rate * _HEARD_MS_PER_CALL // 1000 * decoder.frame_bytes
        part, inbound.rest = inbound.rest[:size], inbound.rest[size:]
        try:
            self._hearing.append(part)
        except Exception as error:  # noqa: BLE001  a plug-in: told to the client, and the end
            message = f"Turn detection failed. {type(error).__name__}: {error}"
            self._close(ClientError(message, code="server_error", type="server_error"), 1011, "server_error")
        return len(part) * 1000 / decoder.bytes_per_s

    def _handle(self, inbound: _Inbound) -> None:
        event_id = inbound.message.get("event_id")
        try:
            kind = client_event(inbound.message)
            first = self._context.options.update_first and not self._context.config.updated
            if first and kind != "session.update":
                raise ClientError("The first event of a session must be session.update.", param="type")
            self._handlers[kind](inbound.message)
            if kind in _APPENDS:
                inbound.rest = self._hearing.decoder.unpack(inbound.message["audio"])
        except ClientError as error:
            self._refuse(error, event_id if isinstance(event_id, str) else None)

    def _refuse(self, error: ClientError, event_id: str | None) -> None:
        shown = event_id if self._context.options.error_event_ids else None
        self._timeline.send("error", error=error.details(shown))

    def _expire(self, limit_s: float) -> None:
        self._close(session_expired(limit_s), 1001, "session_expired")

    def _close(self, error: ClientError, code: int, reason: str) -> None:
        """An error after which nothing more is said."""
        self._refuse(error, None)
        self._timeline.stop()
        self._inbox.clear()
        self._context.jobs.clear()
        self._closing = (code, reason)

    # --- Session ------------------------------------------------------------------------------------------

    def _send_session(self, type: str) -> None:
        self._timeline.send(type, session=self._context.config.echo(self._session_id, self._expires_at))

    def _update(self, message: Mapping[str, Any]) -> None:
        change = message["session"]
        notices = self._context.config.update(change)
        self._hearing.configure()
        self._send_session("session.updated")
        for notice in notices:
            self._timeline.send("warning", warning=asdict(notice))
        self._context.mcp.configure(self._context.config["tools"])

    def _connect_avatar(self, message: Mapping[str, Any]) -> None:
        self._context.avatar.connect(message["client_sdp"])

    def _clear_output(self, message: Mapping[str, Any]) -> None:
        self._context.avatar.clear()

    def _create_item(self, message: Mapping[str, Any]) -> None:
        item = self._conversation.create(message)
        if item.get("role") == "user":
            self._silences.broken()

    # --- Input audio --------------------------------------------------------------------------------------

    def _commit_audio(self, message: Mapping[str, Any]) -> None:
        self._hearing.commit()

    def _clear_audio(self, message: Mapping[str, Any]) -> None:
        self._hearing.clear()

    def _clear_input(self, message: Mapping[str, Any]) -> None:
        self._turn.clear()
        self._hearing.clear()

    def _append_audio(self, message: Mapping[str, Any]) -> None:
        """Nothing but to hear the audio."""

    def _start_turn(self, message: Mapping[str, Any]) -> None:
        self._turn.start(message["turn_id"])

    def _append_to_turn(self, message: Mapping[str, Any]) -> None:
        self._turn.check(message["turn_id"])

    def _end_turn(self, message: Mapping[str, Any]) -> None:
        self._turn.end(message["turn_id"])
        self._hearing.commit()

    def _cancel_turn(self, message: Mapping[str, Any]) -> None:
        self._turn.end(message["turn_id"])
        self._hearing.clear()

    def _interrupt(self) -> None:
        """Speech started: whatever is being answered is not wanted any more."""
        self._cancel_all("turn_detected")

    def _committed(self, utterance: Utterance) -> None:
        """A realtime model answers at once; a cascade needs the words first."""
        self._silences.broken()
        if utterance.automatic and self._context.profile.realtime:
            self._answer()

    def _words(self, utterance: Utterance, text: str) -> None:
        if utterance.automatic and text and not self._context.profile.realtime:
            self._answer()
        self._proceed()
        if not self._current:
            self._silences.begin()

    # --- Responses ----------------------------------------------------------------------------------------

    @property
    def _current(self) -> list[Response]:
        return [*([self._active] if self._active else []), *self._waiting]

    def _answer(self) -> None:
        """Answer a turn by itself, unless another answer is under way."""
        if all(response.cancelled for response in self._current):
            self._waiting.append(self._response({}, automatic=True))
            self._proceed()

    def _break_silence(self, silence_ms: float) -> None:
        """Let the brain speak though the user says nothing."""
        self._waiting.append(self._response({}, automatic=True, silence_ms=silence_ms))
        self._proceed()

    def _create_response(self, message: Mapping[str, Any]) -> None:
        request = dict(message.get("response") or {})
        additional = message.get("additional_instructions")
        if additional:
            given = request.get("instructions")
            base = self._context.config["instructions"] if given is None else given
            request["instructions"] = f"{base}\n{additional}" if base else additional
        current = self._current
        if current:
            second = self._context.options.second_create
            if second == "error" or request.get("cancel_previous") is False:
                raise active_response(current[0].id)
        response = self._response(request, automatic=False)
        for item in request.get("append_input_items") or ():
            self._conversation.add(item)
        self._cancel_all("client_cancelled")
        self._waiting.append(response)
        self._proceed()

    def _response(self, request: Mapping[str, Any], *, automatic: bool, silence_ms: float = 0.0) -> Response:
        return Response(
            self._context, request, automatic=automatic, on_done=self._response_done, silence_ms=silence_ms
        )

    def _cancel_response(self, message: Mapping[str, Any]) -> None:
        wanted = message.get("response_id")
        current = [response for response in self._current if not response.cancelled]
        if not current or (wanted is not None and wanted != current[0].id):
            raise cancel_not_active()
        current[0].cancel("client_cancelled")
        self._proceed()

    def _cancel_all(self, reason: str) -> None:
        for response in self._current:
            if not response.cancelled:
                response.cancel(reason)

    def _proceed(self) -> None:
        """Begin the next response if it is its turn, and let it think as soon as all was heard."""
        words_first = not self._context.profile.realtime
        if self._active is None and self._waiting and not (words_first and self._hearing.pending):
            self._active = self._waiting.popleft()
            self._active.begin()
            if self._active.automatic and not self._active.cancelled and self._talked_over:
                # The user went on talking while the words were worked out: tentative, as if it had never been.
                self._active.cancel("turn_detected")
        if self._active is not None and not self._hearing.pending:
            self._active.think()

    @property
    def _talked_over(self) -> bool:
        turn = self._context.config.turn
        return turn is not None and turn.interrupt_response and self._hearing.user_speaking

    def _response_done(self, response: Response) -> None:
        self._active = None
        self._context.avatar.rest()
        self._proceed()
        if not self._current:
            self._silences.begin()

    def _handlers_of(self, conversation: Conversation) -> Mapping[str, _Handler]:
        """What each event of the client does."""
        return {
            "session.update": self._update,
            "session.avatar.connect": self._connect_avatar,
            "input_audio_buffer.append": self._append_audio,
            "input_audio_buffer.commit": self._commit_audio,
            "input_audio_buffer.clear": self._clear_audio,
            "conversation.item.create": self._create_item,
            "conversation.item.retrieve": conversation.retrieve,
            "conversation.item.delete": conversation.delete,
            "conversation.item.truncate": conversation.truncate,
            "response.create": self._create_response,
            "response.cancel": self._cancel_response,
            "output_audio_buffer.clear": self._clear_output,
            "input_text.delta": conversation.text_delta,
            "input_text.done": conversation.text_done,
            "input_audio.turn.start": self._start_turn,
            "input_audio.turn.append": self._append_to_turn,
            "input_audio.turn.end": self._end_turn,
            "input_audio.turn.cancel": self._cancel_turn,
            "input_audio.clear": self._clear_input,
        }


_Handler: TypeAlias = Callable[[Mapping[str, Any]], None]
_APPENDS = ("input_audio_buffer.append", "input_audio.turn.append")


def _parsed(data: str | bytes) -> dict[str, Any]:
    """The JSON object in a client's message."""
    try:
        message = json.loads(data, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise ClientError(f"The message is not valid JSON: {error}", code="invalid_json") from error
    if not isinstance(message, dict):
        raise ClientError("The message is not a JSON object.", code="invalid_json")
    return message


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
