"""``voicelive-agent serve``: a web page that talks to an agent, on one port."""

from __future__ import annotations

import functools
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass, field
from typing import Final

import anyio

from .._agent import VoiceAgent
from ..errors import ConfigurationError, VoiceLiveError
from ..web import WebLimits, create_app
from ..web._guard import LOOPBACK
from ..web.aiohttp_app import APP, serving
from ._reload import Watch, files_blamed, forget, users_modules
from ._session import told
from ._signals import received
from ._target import Target, find, parse
from .talk import Assistant, to_emulator

__all__ = ["Options", "serve"]

IS_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says."""

    target: str | None = None
    host: str = "127.0.0.1"
    port: int = 8000
    emulator: bool = False
    reload: bool = False
    origins: Sequence[str] = ()
    hosts: Sequence[str] = ()
    proxies: int = 0
    title: str | None = None
    limits: WebLimits = field(default_factory=WebLimits)

    @property
    def is_local(self) -> bool:
        """Whether only this machine can connect: then whoever does is the developer."""
        return self.host in IS_LOOPBACK


def serve(options: Options) -> int:
    """Serve until somebody ends it; the exit code. Raises VoiceLiveError for what keeps it from beginning."""
    target = None if options.target is None else parse(options.target)
    if options.reload and target is None:
        raise ConfigurationError(
            "--reload waits for a change of your code.", hint="Name it: voicelive-agent serve hello.py --reload."
        )
    with ExitStack() as stack:
        url = None
        if options.emulator:
            from ._emulated import emulated

            url = stack.enter_context(emulated(_say))
        agents = _Agents(target, url)
        return anyio.run(_Server(options, agents).run)


class _Agents:
    """Makes the agents, of the code as it was last loaded."""

    def __init__(self, target: Target | None, url: str | None) -> None:
        self._target = target
        self._url = url
        self._before = set(sys.modules)
        self._make: Callable[[], VoiceAgent] = Assistant.from_env
        self.watch = Watch()
        self.load()

    @property
    def name(self) -> str:
        """What is served."""
        return "the built-in agent" if self._target is None else str(self._target)

    def __call__(self) -> VoiceAgent:
        return to_emulator(self._make(), self._url)

    def load(self) -> None:
        """Load the code, anew if it was. ConfigurationError if that fails; then the old code stays."""
        if self._target is None:
            return
        sys.dont_write_bytecode = True  # bytecode is compared by the second: two changes within one would be one
        root, read_ns = self._target.root, time.time_ns()
        forget(users_modules(root, self._before))
        try:
            self._make = find(self._target).make
        except VoiceLiveError as error:
            self.watch.add(files_blamed(error, root), read_ns=read_ns)
            raise
        finally:
            self.watch.add([*self._target.files, *users_modules(root, self._before).values()], read_ns=read_ns)


class _Server:
    def __init__(self, options: Options, agents: _Agents) -> None:
        self._options = options
        self._agents = agents
        # A name that points here without being ours is how a page of somebody else's would get in.
        hosts = [*options.hosts, *LOOPBACK] if options.is_local else options.hosts or None
        self._app = create_app(
            agents,
            limits=options.limits,
            origins=options.origins,
            hosts=hosts,
            proxies=options.proxies,
            title=options.title or "Voice agent",
            details=options.is_local,
        )
        self._code = 0

    async def run(self) -> int:
        """Serve until there is a signal; the exit code."""
        host, port = self._options.host, self._options.port
        try:
            async with AsyncExitStack() as stack:
                url = await stack.enter_async_context(serving(self._app, host, port))
                signals = stack.enter_context(received(signal.SIGINT, signal.SIGTERM))
                tasks = await stack.enter_async_context(anyio.create_task_group())
                _say(f"Talk to {self._agents.name}: {url}")
                _say("Ctrl-C ends it.")
                if self._options.reload:
                    tasks.start_soon(self._reload)
                tasks.start_soon(self._obey, signals, tasks.cancel_scope)
                await anyio.sleep_forever()
        except OSError as error:
            if error.errno is None:
                raise
            raise ConfigurationError(
                f"Cannot listen on {host}, port {port}: {error.strerror or error}.",
                hint="Choose another one with --host and --port.",
            ) from error
        return self._code

    async def _obey(self, signals: AsyncIterator[signal.Signals], scope: anyio.CancelScope) -> None:
        """The first signal lets nobody in and lets calls finish; the second ends them."""
        number = await anext(signals)
        self._code = 0 if number == signal.SIGTERM else 128 + number
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._end_now, signals, tasks.cancel_scope)
            if calls := self._app[APP].sessions:
                _say(f"Waiting for {calls} calls to end. Ctrl-C again ends them now.")
            await self._app[APP].drain()
            tasks.cancel_scope.cancel()
        scope.cancel()

    async def _end_now(self, signals: AsyncIterator[signal.Signals], scope: anyio.CancelScope) -> None:
        await anext(signals)
        scope.cancel()

    async def _reload(self) -> None:
        """New visitors get the new code; whoever talks goes on with the old one."""
        while True:
            changed = await self._agents.watch.changed()
            names = ", ".join(file.name for file in changed)
            try:
                self._agents.load()
            except VoiceLiveError as error:
                _say(f"Changed: {names}. The code before that stays in use.\n{told(error)}")
            else:
                _say(f"Changed: {names}. The next visitor gets the new code.")


_say = functools.partial(print, flush=True)
