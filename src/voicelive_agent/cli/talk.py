"""``voicelive-agent talk``: a conversation with an agent, by microphone and speaker or between files."""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import ClassVar, Final

from .._agent import VoiceAgent
from ..errors import ConfigurationError, VoiceLiveError
from ..tools import tool
from ._keys import open_keyboard
from ._options import Audio
from ._reload import Watch, files_blamed, forget, users_modules
from ._screen import open_screen
from ._session import Session, told
from ._target import Target, find, parse

__all__ = ["Assistant", "Options", "talk", "to_emulator"]

KEYS: Final = "Keys: space interrupts, m mutes, q hangs up."


class Assistant(VoiceAgent):
    """The agent that is there when nobody brings one."""

    instructions: ClassVar[str | None] = (
        "You are a friendly assistant. You speak with people, so answer briefly, and without lists."
    )
    greeting: str | None = "Hello! What can I do for you?"

    @tool
    def current_time(self) -> str:
        """What time it is."""
        return f"{datetime.now():%H:%M}"


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says."""

    target: str | None = None
    audio: Audio = field(default_factory=Audio)
    emulator: bool = False
    reload: bool = False
    plain: bool = False


def talk(options: Options) -> int:
    """Talk until somebody hangs up; the exit code. Raises VoiceLiveError for what keeps a call from beginning."""
    target = None if options.target is None else parse(options.target)
    if options.reload and target is None:
        raise ConfigurationError(
            "--reload waits for a change of your code.", hint="Name it: voicelive-agent talk hello.py --reload."
        )
    with ExitStack() as stack:
        url = None
        if options.emulator:
            from ._emulated import emulated

            url = stack.enter_context(emulated(lambda text: print(text, flush=True)))
        return (
            _again_and_again(options, target, url)
            if target is not None and options.reload
            else _once(options, target, url)
        )


def _once(options: Options, target: Target | None, url: str | None) -> int:
    agent = to_emulator(Assistant.from_env() if target is None else find(target).make(), url)
    session = _session(options, agent, target)
    code = session.run()
    error = session.failure
    if error is None:
        return code or 0
    if isinstance(error, BrokenPipeError) or (isinstance(error, VoiceLiveError) and not session.began):
        raise error
    print(f"voicelive-agent: {told(error)}", file=sys.stderr)
    return 1


def _again_and_again(options: Options, target: Target, url: str | None) -> int:
    """A call with the code as it is, and another one whenever it has changed."""
    sys.dont_write_bytecode = True  # bytecode is compared by the second: two changes within one would be one
    root, before = target.root, set(sys.modules)
    watch = Watch()
    while True:
        agent, failure, read_ns = None, None, time.time_ns()
        try:
            agent = to_emulator(find(target).make(), url)
        except VoiceLiveError as error:
            failure = error
            watch.add(files_blamed(error, root), read_ns=read_ns)
        modules = users_modules(root, before)
        watch.add([*target.files, *modules.values()], read_ns=read_ns)
        code = _session(options, agent, target, watch=watch, failure=failure).run()
        if code is not None:
            return code
        forget(modules)


def _session(
    options: Options,
    agent: VoiceAgent | None,
    target: Target | None,
    *,
    watch: Watch | None = None,
    failure: VoiceLiveError | None = None,
) -> Session:
    screen, keyboard = open_screen(plain=options.plain), open_keyboard()
    notes = []
    if agent is not None:
        of = f" of {target}" if target is not None else ""
        on = ", on the emulator" if options.emulator else ""
        notes.append(f"{type(agent).__name__}{of}{on}.")
        if options.emulator and options.audio.echoes:
            hint = "use headphones, --echo-reference or --half-duplex."
            notes.append(f"The emulator cancels no echo of what it has sent: {hint}")
    if keyboard is not None and not screen.live:
        notes.append(KEYS)
    return Session(
        agent, options.audio, screen=screen, keyboard=keyboard, watch=watch, notes=notes, failure=failure
    )


def to_emulator(agent: VoiceAgent, url: str | None) -> VoiceAgent:
    """Point an agent at the emulator, though it may have been made with another endpoint."""
    if url is not None:
        agent._settings = replace(agent._settings, endpoint=url, credential=None)
    return agent
