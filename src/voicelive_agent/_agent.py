"""The voice agent: configuration, tools and hooks. Each ``run()`` is one call with its own conversation."""

from __future__ import annotations

import difflib
import inspect
import itertools
import logging
import time
import warnings
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, Self, TypeVar

import anyio

from ._agent_session import SessionUse, fields_of
from ._agent_tools import ToolUse, policies
from ._call_audio import check_audio, with_audio
from ._combinations import Facts, check_combinations, check_tool_choice
from ._hooks import HOOKS, Hooks
from ._plan import Plan
from ._responding import Responding
from ._speech import Speech
from ._targets import as_target, backend_of, default_transcription, profile_of
from ._tool import Tool, collect_tools
from ._user_input import UserInput, text_of
from .audio import AudioSink, AudioSource, WireFormats
from .config import (
    DEFAULT_MODEL,
    Credential,
    ModelTarget,
    SessionConfig,
    Settings,
    Target,
    from_env,
)
from .errors import ConfigurationError, ConnectError, SessionLostError
from .events import EndReason, Event, HookFailed, SessionEnded, State, Verdict
from .history import History

if TYPE_CHECKING:
    from ._connection import Connector
    from ._shell import Shell

__all__ = ["VoiceAgent"]

logger = logging.getLogger("voicelive_agent")

SLOW_HOOK_S: Final = 0.050
"""A plain hook that holds the event loop for longer is named in a warning, once."""

_E = TypeVar("_E", bound=Event)
_AnyHook = Callable[[Any], Awaitable[None] | None]


class VoiceAgent(Hooks, UserInput, Responding, ToolUse, SessionUse):
    """An agent that people talk to. Subclass it: set the attributes, write tools, override hooks.

    ``endpoint`` is the URL of the Azure resource, or ``emulator``; without it the environment says
    (``AZURE_VOICELIVE_ENDPOINT`` ...). ``credential`` is a key or an asynchronous Entra credential, None means
    ``DefaultAzureCredential``; what is given is never closed here. ``target`` is the name of a model, a
    ``ModelTarget`` or an ``AgentTarget``. ``config`` is the session; its audio formats are chosen to suit the
    source and the sink. The class attributes are the defaults under these arguments.

    ``barge_in`` says what happens when the user talks over the agent: "service" follows the turn detection's
    ``interrupt_response``, "client" interrupts even where that is off. ``on_hook_error`` is "raise" (a hook's
    exception ends the call and comes out of ``run()``) or "report" (it becomes a ``HookFailed`` event).

    Raises :class:`~voicelive_agent.errors.ConfigurationError` for anything that cannot work.
    """

    instructions: ClassVar[str | None] = None
    """Who the agent is and how it behaves."""
    greeting: str | None = None
    """What it says first, word for word; None leaves the first word to the user."""
    voice: ClassVar[Any] = None
    """Its voice: a name, a voice object of ``voicelive_agent.config``, or a mapping."""
    target: ClassVar[str | Target | None] = None
    """Who answers."""
    config: ClassVar[SessionConfig | Mapping[str, Any] | None] = None
    """Everything else of the session."""

    def __init__(
        self,
        endpoint: str | Connector | None = None,
        credential: Credential | None = None,
        config: SessionConfig | Mapping[str, Any] | None = None,
        *,
        target: str | Target | None = None,
        tools: Iterable[Tool | Callable[..., Any]] = (),
        greeting: str | None = None,
        barge_in: Literal["service", "client"] = "service",
        on_hook_error: Literal["raise", "report"] = "raise",
        settings: Settings | None = None,
    ) -> None:
        base = settings if settings is not None else _settings(endpoint, credential)
        self._settings = replace(
            base,
            target=self._choose_target(base, target),
            session=self._choose_session(base.session, config),
        )
        self._settings.check()
        self._tools = collect_tools(self, tools)
        session, backend = self._session(), backend_of(self._settings.target)
        check_combinations(session, backend)  # again, with all tools
        check_tool_choice(session, backend)
        self._check_tool_limits()
        if greeting is not None:
            self.greeting = greeting
        if not isinstance(self.greeting, str | None):
            raise ConfigurationError(f"greeting={self.greeting!r:.80}:", hint="It is the text to say, or None.")
        if barge_in not in ("service", "client") or on_hook_error not in ("raise", "report"):
            raise ConfigurationError(
                f"barge_in={barge_in!r}, on_hook_error={on_hook_error!r}:",
                hint='barge_in is "service" or "client", on_hook_error is "raise" or "report".',
            )
        self._client_barge_in = barge_in == "client"
        self._raises = on_hook_error == "raise"
        self._callbacks: dict[type[Any], list[_AnyHook]] = {}
        self._slow: set[str] = set()
        self._tickets = itertools.count(1)
        self._shell: Shell | None = None
        self._running = False

    def __init_subclass__(cls, **arguments: Any) -> None:
        super().__init_subclass__(**arguments)
        for name in vars(cls):
            if name.startswith("on_") and not hasattr(VoiceAgent, name):
                for meant in difflib.get_close_matches(name, HOOKS.values(), n=1, cutoff=0.8):
                    warnings.warn(
                        f"{cls.__name__}.{name} is not a hook and will not be called; {meant} is.", stacklevel=2
                    )

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None, **arguments: Any) -> Self:
        """An agent configured by environment variables; ``arguments`` are those of the class.

        See :func:`voicelive_agent.config.from_env` for the names.
        """
        return cls(settings=from_env(environ), **arguments)

    def _choose_target(self, base: Settings, target: str | Target | None) -> Target:
        if target is not None:
            return as_target(target)
        if self.target is not None and base.target == ModelTarget(DEFAULT_MODEL):  # nobody chose another one
            return as_target(self.target)
        return base.target

    def _choose_session(
        self, base: SessionConfig, config: SessionConfig | Mapping[str, Any] | None
    ) -> SessionConfig:
        """The argument, else the class with what the environment changed; the attributes fill the gaps."""
        default = SessionConfig()
        if config is not None:
            base = SessionConfig.coerce(config)
        elif self.config is not None:
            chosen = {each.name: getattr(base, each.name) for each in fields(base)}
            changed = {name: value for name, value in chosen.items() if value != getattr(default, name)}
            base = replace(SessionConfig.coerce(self.config), **changed)
        changes: dict[str, Any] = {}
        if base.instructions is None and self.instructions is not None:
            changes["instructions"] = self.instructions
        if self.voice is not None and base.voice in (None, default.voice):
            changes["voice"] = self.voice
        return replace(base, **changes) if changes else base

    # --- a call ---

    async def run(self, source: AudioSource | None = None, sink: AudioSink | None = None) -> Verdict:
        """Hold one conversation, calling the hooks, until it ends; how it ended.

        Without a source nothing is heard, without a sink answers are text: ``run()`` is a text conversation.
        Ends when the source does (after everything was answered and heard), by :meth:`stop`, or by cancellation.

        Raises :class:`~voicelive_agent.errors.ConnectError` when no session could be opened,
        :class:`~voicelive_agent.errors.SessionLostError` when it ended and nobody asked for it, and what a hook,
        the source or the sink raised, as it was.
        """
        verdict = Verdict(EndReason.STOPPED)
        async with self.events(source, sink) as events:
            async for event in events:
                if isinstance(event, SessionEnded):
                    verdict = event.verdict
                await self._dispatch(event)
        if not verdict.ok:
            raise SessionLostError(verdict)
        return verdict

    def talk(self, source: AudioSource | None = None, sink: AudioSink | None = None) -> Verdict:
        """Hold one conversation with microphone and speaker, or with these, until it ends or Ctrl-C.

        The only synchronous entry, for scripts: inside of asynchronous code await :meth:`run`. Raises the same as
        that, :class:`~voicelive_agent.errors.AudioDeviceError` when there is no such device, and RuntimeError
        inside of an event loop. Ctrl-C is the usual end: the verdict's reason is ``stopped``.
        """
        from ._talk import talk

        return talk(self, source, sink)

    @asynccontextmanager
    async def events(
        self, source: AudioSource | None = None, sink: AudioSink | None = None
    ) -> AsyncGenerator[AsyncIterator[Event]]:
        """The same conversation as an iterator of events, without calling the hooks.

        The last event is ``SessionEnded``. Leaving the ``async for`` early does not end the call; leaving the
        ``async with`` does. Raises the same as :meth:`run`, except that an ending nobody asked for is told by
        the event alone. RuntimeError while another call of this agent runs.
        """
        if self._running:
            raise RuntimeError("This agent is in a call already: make another agent for another call.")
        self._running = True
        try:
            async with self._open(source, sink) as shell:
                yield shell.events
        finally:
            self._running = False

    @asynccontextmanager
    async def _open(self, source: AudioSource | None, sink: AudioSink | None) -> AsyncGenerator[Shell]:
        from ._shell import Shell

        plan, formats, settings = self._plan(source, sink)
        shell = self._shell = Shell(
            plan,
            source=source,
            sink=sink,
            formats=formats,
            approve=self._approval,
            report=not self._raises,
            agent=self,
        )
        shell.begin()
        failure: BaseException | None = None
        connecting = True
        try:
            async with anyio.create_task_group() as tasks:
                try:
                    if (connection := await shell.connect(self._connector(), settings)) is not None:
                        tasks.start_soon(shell.run, connection)
                    connecting = False
                    yield shell
                except BaseException as error:
                    shell.close(_verdict_of(error, connecting=connecting))
                    raise
                shell.close(Verdict(EndReason.STOPPED))
        except BaseExceptionGroup as group:  # what the consumer raised is to come out as it was
            failure = group.exceptions[0] if len(group.exceptions) == 1 else group
        failure = failure or shell.error
        if failure is not None:
            raise failure

    def _connector(self) -> Connector:
        if not isinstance(self._settings.endpoint, str):
            return self._settings.endpoint
        from ._service import AzureConnector

        return AzureConnector()

    def _session(self) -> dict[str, Any]:
        """The session as it is configured, with the agent's own tools."""
        session = self._settings.session.to_session()
        if self._tools:
            session["tools"] = [*session.get("tools", ()), *(tool.definition for tool in self._tools.values())]
        return session

    def _plan(self, source: AudioSource | None, sink: AudioSink | None) -> tuple[Plan, WireFormats, Settings]:
        """What the core is told, what the wire carries, and what the connection needs."""
        check_audio(source, sink)
        settings, session = self._settings, self._session()
        backend = backend_of(settings.target)
        session, formats = with_audio(session, source, sink, openai_voice=Facts(session, backend).openai_voice)
        if formats.input.channels == 2:
            settings = replace(settings, query={"features": "client_ec_reference:true"} | dict(settings.query))
        if (transcriber := default_transcription(settings.target)) is not None:
            session.setdefault("input_audio_transcription", {"model": transcriber})
        check_combinations(session, backend)
        plan = Plan(
            **fields_of(session, policies(self._tools), backend),
            profile=profile_of(settings.target),
            input_rate=formats.input.rate,
            input_frame_bytes=formats.input.frame_bytes,
            output_rate=formats.output.rate,
            output_sample_bytes=formats.output.frame_bytes,
            heard_estimated=bool(getattr(sink, "estimated", False)),
            client_barge_in=self._client_barge_in,
            max_tool_rounds=self.max_tool_rounds,
            approval_s=self.approval_timeout_s,
            continues_mcp=isinstance(settings.target, ModelTarget),
            greeting=self.greeting,
        )
        return plan, formats, settings

    # --- what can be asked for, from hooks and from any thread ---

    @property
    def state(self) -> State:
        """Where the conversation stands; CLOSED when there is none."""
        return self._shell.conversation.state if self._shell is not None and self._running else State.CLOSED

    @property
    def history(self) -> History:
        """What was said and heard in this call, or in the last one."""
        if self._shell is None:
            return History()
        self._shell.refresh()
        return self._shell.conversation.history

    def interrupt(self) -> None:
        """Stop talking, at once. RuntimeError when no call is running."""
        shell = self._current()
        shell.post(shell.conversation.interrupt)

    def say(self, text: str, *, uninterruptible: bool = False) -> Speech:
        """Say exactly this as soon as nothing else is being said; await the result to learn how it went.

        ``uninterruptible``: the service gets silence instead of the microphone until it was heard.
        RuntimeError when no call is running.
        """
        speech = Speech(text_of(text))
        self._current().say(next(self._tickets), speech, uninterruptible=uninterruptible)
        return speech

    def stop(self) -> None:
        """Ask for the end of the call: silence, and ``run()`` returns. Nothing happens when no call is running."""
        if self._running and self._shell is not None:
            self._shell.post(self._shell.conversation.close, Verdict(EndReason.STOPPED))

    # --- hooks ---

    def on(self, event_type: type[_E], callback: Callable[[_E], Awaitable[None] | None]) -> Callable[[], None]:
        """Call this at every event of that kind, after the hook; returns a function that undoes it."""
        if event_type not in HOOKS:
            raise TypeError(
                f"{event_type!r} is no event: use a class of voicelive_agent.events, such as UserSpoke."
            )
        callbacks = self._callbacks.setdefault(event_type, [])
        callbacks.append(callback)

        def undo() -> None:
            with suppress(ValueError):  # undone before
                callbacks.remove(callback)

        return undo

    async def _dispatch(self, event: Event) -> None:
        await self._call("on_event", self.on_event, event)
        name = HOOKS[type(event)]
        await self._call(name, getattr(self, name), event)
        for callback in list(self._callbacks.get(type(event), ())):
            await self._call(getattr(callback, "__qualname__", repr(callback)), callback, event)

    async def _call(self, name: str, hook: _AnyHook, event: Event) -> None:
        try:
            started = time.perf_counter()
            result = hook(event)
            self._note_slowness(name, time.perf_counter() - started)
            if inspect.isawaitable(result):
                await self._wait_for(name, result)
        except Exception as error:  # a hook's border: it is raised or reported
            if self._raises:
                raise
            logger.warning("Hook %s raised.", name, exc_info=True)
            if not isinstance(event, HookFailed | SessionEnded):  # of what follows these, the log tells
                await self._dispatch(HookFailed(name, error))

    async def _wait_for(self, name: str, result: Awaitable[None]) -> None:
        """Await a hook. One that hangs must not keep the end of the call from being told."""
        with anyio.CancelScope() as scope:
            if self._shell is not None and not self._shell.over:
                self._shell.hook = scope
            try:
                await result
            finally:
                if self._shell is not None:
                    self._shell.hook = None
        if scope.cancelled_caught:
            logger.warning("Hook %s still ran long after the end of the call, and was cancelled.", name)

    def _note_slowness(self, name: str, elapsed_s: float) -> None:
        if elapsed_s > SLOW_HOOK_S and name not in self._slow:
            self._slow.add(name)
            logger.warning(
                "Hook %s held the event loop for %.0f ms: make it async, or give the work to a thread.",
                name,
                elapsed_s * 1000,
            )


def _settings(endpoint: str | Connector | None, credential: Credential | None) -> Settings:
    """What the arguments say, or the environment where they say nothing."""
    if endpoint is None:
        settings = from_env()
        return settings if credential is None else replace(settings, credential=credential)
    if isinstance(endpoint, str) and endpoint.partition(":")[0] == "emulator":
        return from_env({"AZURE_VOICELIVE_ENDPOINT": endpoint})
    return Settings(endpoint=endpoint, credential=credential)


def _verdict_of(error: BaseException, *, connecting: bool) -> Verdict:
    """How a call ends that could not be opened, or that its consumer left by an exception."""
    if connecting and isinstance(error, ConnectError | ConfigurationError):
        from ._endings import verdict_of_failure

        return verdict_of_failure(error)
    if isinstance(error, Exception):
        return Verdict(EndReason.FAILED, f"{type(error).__name__}: {error}")
    return Verdict(EndReason.STOPPED)
