"""``voicelive-agent emulator``: the local Voice Live service, until Ctrl-C."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass
from pathlib import Path

import anyio

from ..emulator import EmulatorSession, Options
from ..emulator.event_log import EventLog
from ..emulator.observers import Observer
from ..emulator.protocols import Brain, Ears, Voice
from ..emulator.scripted import EnergyEars, ScriptedBrain, ToneVoice
from ..emulator.server import Extension, MakeSession, serve
from ..emulator.speech import load_speech, missing_packages
from ..emulator.view import LiveView
from ..errors import ConfigurationError
from ._emulator_options import STDERR, Settings
from ._signals import received

__all__ = ["emulator"]

_KEY = "OPENAI_API_KEY"
_END = (signal.SIGINT, signal.SIGTERM)


def emulator(settings: Settings) -> int:
    """Serve until a signal says stop; the exit code. ConfigurationError for what keeps it from beginning."""
    with ExitStack() as files:
        view = None if settings.no_view else LiveView()
        observers = _observers(settings, view, files)
        if settings.proxy is not None:
            anyio.run(_serve_proxy, settings, settings.proxy, observers, view)
        else:
            anyio.run(_serve, settings, _plugs(settings), observers, view)
    return 0


# --- what it is made of ---------------------------------------------------------------------------------------


def _observers(settings: Settings, view: LiveView | None, files: ExitStack) -> list[Observer]:
    observers: list[Observer] = [] if view is None else [view]
    if settings.record is not None:
        from ..emulator.recording import Recorder

        observers.append(Recorder(settings.record, source="proxy" if settings.proxy else "emulator"))
    if settings.log_events == STDERR:
        observers.append(EventLog(sys.stderr))
    elif settings.log_events is not None:
        try:
            file = Path(settings.log_events).open("a", encoding="utf-8")  # noqa: SIM115  closed by ``files``
        except OSError as error:
            raise ConfigurationError(
                f"Cannot write to {settings.log_events}: {error.strerror or error}.",
                hint="Name another file with --log-events.",
            ) from error
        observers.append(EventLog(files.enter_context(file)))
    return observers


@dataclass(frozen=True, slots=True)
class _Plugs:
    """What answers: ears, brain and voice for all sessions, or what makes each of them."""

    ears: Ears | None = None
    brain: Brain | None = None
    voice: Voice | None = None
    make_session: MakeSession | None = None


def _plugs(settings: Settings) -> _Plugs:
    if settings.replay is not None:
        from ..emulator.recording import load_recording
        from ..emulator.replay import ReplayOptions, replaying

        try:
            recording = load_recording(settings.replay)
        except OSError as error:
            raise ConfigurationError(
                f"Cannot read {settings.replay}: {error.strerror or error}.", hint="Name a file of --record."
            ) from error
        sessions = replaying(recording, ReplayOptions(speed=settings.realtime_factor), on_mismatch=_tell)
        _say(f"Replaying {settings.replay}: a client that departs from it is told where.")
        return _Plugs(make_session=sessions)
    if settings.script is not None:
        return _scripted(settings, settings.script)
    ears, brain, voice = _speech(settings)
    return _Plugs(ears, _brain(settings) or brain, voice)


def _scripted(settings: Settings, path: str) -> _Plugs:
    from ..emulator.script import Script

    script = Script.load(path)
    has_words = script.ears() is not None
    if has_words and settings.ears_model is not None:
        raise ConfigurationError(
            f"--ears-model hears what is said, and {path} has transcripts of its own.",
            hint="Leave one of them out.",
        )
    ears, _, voice = _speech(settings)
    if not has_words:
        return _Plugs(ears, script, voice)
    from ..emulator.mcp import HttpMcpClient

    options, mcp = _options(settings), HttpMcpClient()
    # Each session has its own ears: they would take words from each other.
    return _Plugs(
        make_session=lambda model, query: EmulatorSession(
            model=model,
            query=query,
            ears=script.ears() or ears,
            brain=script,
            voice=voice,
            mcp=mcp,
            options=options,
        )
    )


def _options(settings: Settings) -> Options:
    refuses = settings.refuse_truncation
    return Options(
        profile=settings.profile,
        api_version=settings.api_version,
        latency=settings.latency,
        speed=1.0 if settings.speed is None else settings.speed,
        realtime_factor=settings.realtime_factor,
        update=settings.update,
        model_update=settings.model_update,
        update_first=settings.update_first,
        fixed_turn_detection=settings.fixed_turn_detection,
        second_create=settings.second_create,
        refuse_truncation=None if refuses is None else refuses == "yes",
        unknown_call=settings.unknown_call,
        error_event_ids=settings.error_event_ids == "yes",
        agent_failure=settings.agent_failure,
        max_session_s=settings.max_session_s,
    )


def _speech(settings: Settings) -> tuple[Ears, Brain, Voice]:
    chosen = settings.ears_model is not None or settings.voice is not None
    if settings.scripted:
        _say("Scripted: loudness for ears, rules for a brain, a tone for a voice.")
    elif chosen or not (missing := missing_packages()):
        _say("Loading ears, brain and voice ...")
        return load_speech(settings.ears_model, settings.voice)
    else:
        _say(f"Without speech (not installed: {', '.join(missing)}): scripted words, and a tone for a voice.")
        _say('For real ears, a brain and a voice:  pip install "voicelive-agent[emulator]"')
    return EnergyEars(), ScriptedBrain(), ToneVoice()


def _brain(settings: Settings) -> Brain | None:
    """The brain that was asked for; None if none was."""
    if settings.brain == "echo":
        from ..emulator.echo import EchoBrain

        return EchoBrain()
    if settings.brain == "rules":
        from ..emulator.speech.brain import RulesBrain

        return RulesBrain()
    if settings.brain is not None and settings.brain_model is not None:
        from ..emulator.openai_compatible import OpenAIBrain

        return OpenAIBrain(settings.brain, settings.brain_model, os.environ.get(_KEY))
    return None


# --- while it runs --------------------------------------------------------------------------------------------


async def _serve(settings: Settings, plugs: _Plugs, observers: list[Observer], view: LiveView | None) -> None:
    extensions: list[Extension] = [] if view is None else [view.extend]
    if settings.control:
        from ..emulator.control import control

        extensions.append(control)
    async with AsyncExitStack() as stack:
        serving = serve(
            settings.host,
            settings.port,
            make_session=plugs.make_session,
            api_key=settings.api_key,
            ears=plugs.ears,
            brain=plugs.brain,
            voice=plugs.voice,
            options=_options(settings),
            observers=observers,
            extensions=extensions,
            faults=settings.faults or (),
            allow_remote=settings.allow_remote,
        )
        try:
            server = await stack.enter_async_context(serving)
        except OSError as error:
            raise _cannot_listen(settings, error) from error
        signals = stack.enter_context(received(*_END))
        key = "its key only" if settings.api_key else "any key"
        _say(f"Voice Live emulator at {server.url} ({key}; any model; Ctrl-C ends it)")
        _say(f"For an agent:  AZURE_VOICELIVE_ENDPOINT={server.url}")
        if view is not None:
            _say(f"Live view:     {server.url}/")
        if settings.control:
            _say(f"Control API:   {server.url}/emulator/")
        await anext(signals)
    _say("Stopped.")


async def _serve_proxy(
    settings: Settings, upstream: str, observers: list[Observer], view: LiveView | None
) -> None:
    from ..emulator.proxy import serve_proxy

    async with AsyncExitStack() as stack:
        serving = serve_proxy(
            upstream, settings.host, settings.port, observers=observers, allow_remote=settings.allow_remote
        )
        try:
            proxy = await stack.enter_async_context(serving)
        except OSError as error:
            raise _cannot_listen(settings, error) from error
        signals = stack.enter_context(received(*_END))
        _say(f"Voice Live proxy at {proxy.url} for {upstream} (Ctrl-C ends it)")
        if view is not None:  # on a port of its own: the proxy passes every path on
            _say(f"Live view: {await stack.enter_async_context(view.serving())}/")
        await anext(signals)
    _say("Stopped.")


def _cannot_listen(settings: Settings, error: OSError) -> ConfigurationError:
    elsewhere = settings.host != Settings.host
    hint = "Choose others with --host and --port." if elsewhere else "Choose another one with --port."
    where = f"{settings.host}, port {settings.port}" if elsewhere else f"port {settings.port}"
    return ConfigurationError(f"Cannot listen on {where}: {error.strerror or error}.", hint=hint)


def _tell(mismatch: object) -> None:
    print(mismatch, file=sys.stderr, flush=True)


def _say(text: str) -> None:
    print(text, flush=True)
