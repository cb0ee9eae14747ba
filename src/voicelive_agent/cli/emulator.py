"""``voicelive-agent emulator``: the local Voice Live service, until Ctrl-C."""

from __future__ import annotations

import signal
from contextlib import AsyncExitStack, suppress
from typing import Literal

import anyio

from ..emulator import Options
from ..emulator.protocols import Brain, Ears, Voice
from ..emulator.server import serve
from ..emulator.speech import load_speech, missing_packages
from ..errors import ConfigurationError


def emulator(port: int, *, api_key: str | None, latency: Literal["none", "service"], scripted: bool) -> int:
    """Serve until a signal says stop; the exit code."""
    speech: tuple[Ears, Brain, Voice] | tuple[None, None, None] = (None, None, None)
    if scripted:
        print("Scripted: loudness for ears, rules for a brain, a tone for a voice.")
    elif missing := missing_packages():
        print(f"Without speech (not installed: {', '.join(missing)}): scripted words, and a tone for a voice.")
        print('For real ears, a brain and a voice:  pip install "voicelive-agent[emulator]"')
    else:
        print("Loading ears, brain and voice ...", flush=True)
        speech = load_speech()
    anyio.run(_serve, port, api_key, Options(latency=latency), speech)
    return 0


async def _serve(
    port: int,
    api_key: str | None,
    options: Options,
    speech: tuple[Ears, Brain, Voice] | tuple[None, None, None],
) -> None:
    ears, brain, voice = speech
    async with AsyncExitStack() as stack:
        try:
            server = await stack.enter_async_context(
                serve(port=port, api_key=api_key, ears=ears, brain=brain, voice=voice, options=options)
            )
        except OSError as error:
            raise ConfigurationError(
                f"Cannot listen on port {port}: {error.strerror or error}.", hint="Choose another one with --port."
            ) from error
        key = "its key only" if api_key else "any key"
        print(f"Voice Live emulator at {server.url} ({key}; any model; Ctrl-C ends it)", flush=True)
        print(f"For an agent:  AZURE_VOICELIVE_ENDPOINT={server.url}", flush=True)
        await _signalled()
    print("Stopped.")


async def _signalled() -> None:
    """Wait for SIGTERM or Ctrl-C. Where loops have no signals (Windows), Ctrl-C interrupts the loop by itself."""
    with suppress(NotImplementedError):
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            async for _ in signals:
                return
    await anyio.sleep_forever()
