"""``--emulator``: Voice Live in this process, in a thread and an event loop of its own.

Of its own, so that its work does not delay the agent's, and that the user's code is loaded where no loop runs.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from ..emulator.protocols import Brain, Ears, Voice
from ..emulator.server import serve
from ..emulator.speech import load_speech, missing_packages
from ..emulator.threaded import in_thread

__all__ = ["ENDPOINT", "emulated"]

ENDPOINT: Final = "AZURE_VOICELIVE_ENDPOINT"


@contextmanager
def emulated(tell: Callable[[str], None]) -> Iterator[str]:
    """Serve the emulator, with real ears, brain and voice if they are installed; its URL.

    While it is served the environment names it as the endpoint.
    """
    speech: tuple[Ears, Brain, Voice] | tuple[None, None, None] = (None, None, None)
    if missing := missing_packages():
        tell(f'The emulator has no speech (not installed: {", ".join(missing)}): it hears "Hello." in everything')
        tell('and speaks in a tone. For real ears and a voice:  pip install "voicelive-agent[emulator]"')
    else:
        tell("Loading ears, brain and voice of the emulator ...")
        speech = load_speech()
    ears, brain, voice = speech
    with in_thread(serve(ears=ears, brain=brain, voice=voice)) as server, _environment(ENDPOINT, server.url):
        yield server.url


@contextmanager
def _environment(name: str, value: str) -> Iterator[None]:
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
