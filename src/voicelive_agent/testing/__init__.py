"""Tools for testing an agent, a source or a sink: no cloud, no network, no sound card, no waiting.

These are the tools that this library tests itself with. A :class:`Conversation` is a person who talks to your
agent, in a vocabulary that reads like the conversation. Below it, ``connect(session)`` joins an agent to an
emulated session in memory; under :func:`run_virtual` minutes of conversation take a moment, since waiting costs
no time.

Everything is loaded on use: pytest imports this package in every run (see :mod:`.plugin`).
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .._conformance import check_sink, check_source
    from ._likeness import Like
    from ._memory import MemoryConnector, MemorySink, MemorySource, connect
    from ._story import ExpectationFailed
    from ._time import run_fast, run_virtual
    from .conversation import Conversation

__all__ = [
    "Conversation",
    "ExpectationFailed",
    "Like",
    "MemoryConnector",
    "MemorySink",
    "MemorySource",
    "check_sink",
    "check_source",
    "connect",
    "run_fast",
    "run_virtual",
]

_WHERE = {
    ".conversation": ("Conversation",),
    "._likeness": ("Like",),
    "._memory": ("MemoryConnector", "MemorySink", "MemorySource", "connect"),
    "._story": ("ExpectationFailed",),
    "._time": ("run_fast", "run_virtual"),
    ".._conformance": ("check_sink", "check_source"),
}
_MODULE_OF = {name: module for module, names in _WHERE.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_MODULE_OF[name], __name__), name)
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
