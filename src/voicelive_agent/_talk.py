"""``VoiceAgent.talk()``: a conversation with the sound card for programs that are not asynchronous."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import anyio

from .events import EndReason, Verdict

if TYPE_CHECKING:
    from ._agent import VoiceAgent
    from .audio import AudioSink, AudioSource

__all__ = ["talk"]


def talk(agent: VoiceAgent, source: AudioSource | None, sink: AudioSink | None) -> Verdict:
    """Hold one conversation, in an event loop of its own, until it ends or Ctrl-C does; how it ended.

    Microphone and speaker stand in for a source and a sink that are None; those given are not closed. Ctrl-C is
    how such a conversation usually ends, so it is no exception: silence, a proper goodbye, and ``stopped``. In
    another thread than the main one, Ctrl-C is not the affair of this.

    Raises what ``run()`` raises, :class:`~voicelive_agent.errors.AudioDeviceError` where there is no such device,
    and RuntimeError inside a running event loop.
    """
    if _in_event_loop():
        raise RuntimeError("talk() cannot wait inside a running event loop: use `await agent.run(source, sink)`.")
    try:
        return anyio.run(_converse, agent, source, sink)
    except KeyboardInterrupt:  # asyncio has cancelled the call, and waited for its cleanup
        return Verdict(EndReason.STOPPED, "Ctrl-C")


def _in_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


async def _converse(agent: VoiceAgent, source: AudioSource | None, sink: AudioSink | None) -> Verdict:
    async with AsyncExitStack() as devices:
        if sink is None:
            from .devices import Speaker

            sink = await devices.enter_async_context(Speaker())
        if source is None:
            from .devices import Microphone

            source = await devices.enter_async_context(Microphone())
        return await agent.run(source, sink)
