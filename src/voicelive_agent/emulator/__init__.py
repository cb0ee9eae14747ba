"""Voice Live on localhost: a session without I/O, and a thin server around it.

``EmulatorSession`` is the service as a pure object; ``serve`` puts it behind the service's URL. Both run without
any account, network or speech package; real ears, a brain and a voice plug in behind three small protocols.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._options import Job, Options
from .protocols import (
    Action,
    Annotate,
    Brain,
    Call,
    Ears,
    Fail,
    Invocation,
    Listener,
    Prompting,
    Say,
    Search,
    SpokenPiece,
    SpokenWord,
    TimedVoice,
    Transcript,
    Turn,
    Voice,
    Wait,
)

if TYPE_CHECKING:
    from .echo import EchoBrain
    from .faults import Fault, FaultScript
    from .mcp import HttpMcpClient, McpClient, McpError, McpResult, McpServer, McpTool
    from .openai_compatible import OpenAIBrain
    from .proxy import serve_proxy
    from .recording import Recorder, load_recording
    from .replay import ReplayOptions, replaying
    from .script import Script
    from .scripted import EnergyEars, ScriptedBrain, ToneVoice
    from .server import Server, serve
    from .session import EmulatorSession

__all__ = [
    "Action",
    "Annotate",
    "Brain",
    "Call",
    "Ears",
    "EchoBrain",
    "EmulatorSession",
    "EnergyEars",
    "Fail",
    "Fault",
    "FaultScript",
    "HttpMcpClient",
    "Invocation",
    "Job",
    "Listener",
    "McpClient",
    "McpError",
    "McpResult",
    "McpServer",
    "McpTool",
    "OpenAIBrain",
    "Options",
    "Prompting",
    "Recorder",
    "ReplayOptions",
    "Say",
    "Script",
    "ScriptedBrain",
    "Search",
    "Server",
    "SpokenPiece",
    "SpokenWord",
    "TimedVoice",
    "ToneVoice",
    "Transcript",
    "Turn",
    "Voice",
    "Wait",
    "load_recording",
    "replaying",
    "serve",
    "serve_proxy",
]

# Imported on use: the session needs numpy, the server aiohttp.
_LAZY = {
    "EchoBrain": "echo",
    "EmulatorSession": "session",
    "EnergyEars": "scripted",
    "Fault": "faults",
    "FaultScript": "faults",
    "HttpMcpClient": "mcp",
    "McpClient": "mcp",
    "McpError": "mcp",
    "McpResult": "mcp",
    "McpServer": "mcp",
    "McpTool": "mcp",
    "OpenAIBrain": "openai_compatible",
    "Recorder": "recording",
    "ReplayOptions": "replay",
    "Script": "script",
    "ScriptedBrain": "scripted",
    "Server": "server",
    "ToneVoice": "scripted",
    "load_recording": "recording",
    "replaying": "replay",
    "serve": "server",
    "serve_proxy": "proxy",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)
