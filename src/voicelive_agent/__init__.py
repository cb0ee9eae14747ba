"""Voice agents on Azure AI Voice Live: barge-in, what was really heard, any transport, and a local emulator.

Everything is loaded on use, so that importing this package costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._agent import VoiceAgent
    from ._speech import Speech
    from .audio import AudioFormat, AudioSink, AudioSource
    from .config import AgentTarget, ModelTarget, SessionConfig, Settings
    from .devices import Microphone, Speaker
    from .errors import (
        AudioFileError,
        AuthenticationError,
        ConfigurationError,
        ConnectError,
        SessionLostError,
        ToolError,
        VoiceLiveError,
    )
    from .events import (
        AgentSpoke,
        EndReason,
        Event,
        Interrupted,
        ServiceFailed,
        SessionEnded,
        SessionStarted,
        State,
        StateChanged,
        ToolCalled,
        ToolFinished,
        TurnEnded,
        UserSpoke,
        Verdict,
    )
    from .files import FileSource, WavSink, WavSource
    from .history import History, HistoryItem
    from .tools import Tool, ToolContext, tool

_WHERE = {
    "_agent": ("VoiceAgent",),
    "_speech": ("Speech",),
    "audio": ("AudioFormat", "AudioSink", "AudioSource"),
    "config": ("AgentTarget", "ModelTarget", "SessionConfig", "Settings"),
    "devices": ("Microphone", "Speaker"),
    "errors": (
        "AudioFileError",
        "AuthenticationError",
        "ConfigurationError",
        "ConnectError",
        "SessionLostError",
        "ToolError",
        "VoiceLiveError",
    ),
    "events": (
        "AgentSpoke",
        "EndReason",
        "Event",
        "Interrupted",
        "ServiceFailed",
        "SessionEnded",
        "SessionStarted",
        "State",
        "StateChanged",
        "ToolCalled",
        "ToolFinished",
        "TurnEnded",
        "UserSpoke",
        "Verdict",
    ),
    "files": ("FileSource", "WavSink", "WavSource"),
    "history": ("History", "HistoryItem"),
    "tools": ("Tool", "ToolContext", "tool"),
}
_MODULE_OF = {name: module for module, names in _WHERE.items() for name in names}

__version__ = "0.1.0"
__all__ = [
    "AgentSpoke",
    "AgentTarget",
    "AudioFileError",
    "AudioFormat",
    "AudioSink",
    "AudioSource",
    "AuthenticationError",
    "ConfigurationError",
    "ConnectError",
    "EndReason",
    "Event",
    "FileSource",
    "History",
    "HistoryItem",
    "Interrupted",
    "Microphone",
    "ModelTarget",
    "ServiceFailed",
    "SessionConfig",
    "SessionEnded",
    "SessionLostError",
    "SessionStarted",
    "Settings",
    "Speaker",
    "Speech",
    "State",
    "StateChanged",
    "Tool",
    "ToolCalled",
    "ToolContext",
    "ToolError",
    "ToolFinished",
    "TurnEnded",
    "UserSpoke",
    "Verdict",
    "VoiceAgent",
    "VoiceLiveError",
    "WavSink",
    "WavSource",
    "tool",
]


def __getattr__(name: str) -> Any:
    try:
        module = _MODULE_OF[name]
    except KeyError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
    value = globals()[name] = getattr(import_module(f".{module}", __name__), name)
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
