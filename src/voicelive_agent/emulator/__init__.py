"""Voice Live on localhost: a session without I/O, and a thin server around it.

``EmulatorSession`` is the service as a pure object; ``serve`` puts it behind the service's URL. Both run without
any account, network or speech package; real ears, a brain and a voice plug in behind three small protocols.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._options import Job, Options
from .protocols import Action, Brain, Call, Ears, Listener, Say, Transcript, Turn, Voice

if TYPE_CHECKING:
    from .scripted import EnergyEars, ScriptedBrain, ToneVoice
    from .server import Server, serve
    from .session import EmulatorSession

__all__ = [
    "Action",
    "Brain",
    "Call",
    "Ears",
    "EmulatorSession",
    "EnergyEars",
    "Job",
    "Listener",
    "Options",
    "Say",
    "ScriptedBrain",
    "Server",
    "ToneVoice",
    "Transcript",
    "Turn",
    "Voice",
    "serve",
]

# Imported on use: the session needs numpy, the server aiohttp.
_LAZY = {
    "EmulatorSession": "session",
    "EnergyEars": "scripted",
    "ScriptedBrain": "scripted",
    "Server": "server",
    "ToneVoice": "scripted",
    "serve": "server",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)
