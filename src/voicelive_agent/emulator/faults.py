"""Everything that can go wrong on purpose: fault scripts for the emulator, or for any connection of yours.

A script is a list of *when* and *action*, in Python or as JSON::

    FaultScript((Fault(When(at="sent", type="response.audio.delta", nth=3), Reset()),))
    [{"when": {"at": "sent", "type": "response.audio.delta", "nth": 3}, "action": "reset"}]

``serve(faults=...)`` plays it on sockets. :class:`ConnectionFaults` has the decisions alone: events and the time
in, what is to be done out.
"""

from __future__ import annotations

from ..errors import ConfigurationError
from ._fault_actions import (
    Close,
    Corrupt,
    Delay,
    Drop,
    Duplicate,
    DuplicateTranscript,
    Error,
    Expire,
    FaultAction,
    Fin,
    HalfOpen,
    Hang,
    NoPong,
    Pause,
    Redirect,
    Refuse,
    Reorder,
    Reset,
    Send,
    Silence,
    Slow,
    When,
)
from ._fault_connection import ConnectionFaults, Step
from ._fault_events import Frame
from ._fault_json import action_of
from ._fault_script import Fault, FaultScript, FaultSource, named_rows

__all__ = [
    "FAULTS_HEADER",
    "Close",
    "ConnectionFaults",
    "Corrupt",
    "Delay",
    "Drop",
    "Duplicate",
    "DuplicateTranscript",
    "Error",
    "Expire",
    "Fault",
    "FaultAction",
    "FaultPlan",
    "FaultScript",
    "FaultSource",
    "Fin",
    "Frame",
    "HalfOpen",
    "Hang",
    "NoPong",
    "Pause",
    "Redirect",
    "Refuse",
    "Reorder",
    "Reset",
    "Send",
    "Silence",
    "Slow",
    "Step",
    "When",
    "action_of",
    "named_rows",
]

FAULTS_HEADER = "x-voicelive-faults"
"""The header by which a connection asks for faults of its own: JSON, or the name of a script. Loopback only."""


class FaultPlan:
    """The faults of a server: one script for its connections, and named ones that a connection may ask for."""

    def __init__(self, script: FaultSource = ()) -> None:
        self.sets: dict[str, FaultScript] = {}
        """Named scripts, besides those that come with the package."""
        self.load(script)

    @property
    def script(self) -> FaultScript:
        """What happens to a connection that asks for nothing else."""
        return self._script

    @property
    def connections(self) -> int:
        """How many connections were tried since the script was set."""
        return self._connections

    def load(self, script: FaultSource) -> None:
        """Set the script for the connections to come; they are counted from 1 again."""
        self._script = FaultScript.of(script)
        self._connections = 0

    def connection(self, wanted: str | None = None) -> ConnectionFaults:
        """The faults of the next connection. ``wanted`` is the JSON of a script, or the name of one.

        Raises ConfigurationError for a ``wanted`` that is neither.
        """
        script = self._script if wanted is None else self._wanted(wanted.strip())
        self._connections += 1
        return ConnectionFaults(script, self._connections)

    def named(self, name: str) -> FaultScript:
        """The script of this name. Raises ConfigurationError, which lists them, if there is none."""
        if name in self.sets:
            return self.sets[name]
        if name not in named_rows():
            known = ", ".join(sorted({*self.sets, *named_rows()}))
            raise ConfigurationError(f"There is no fault script {name!r}.", hint=f"There are: {known}.")
        return FaultScript.named(name)

    def _wanted(self, wanted: str) -> FaultScript:
        if wanted.startswith(("[", "{")):
            return FaultScript.from_json(wanted, FAULTS_HEADER)
        return self.named(wanted)
