"""A fault script: what goes wrong and when, from Python or JSON, and the named ones that come with the package."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias, get_args

from ..errors import ConfigurationError
from ._fault_actions import EventAction, FaultAction, HandshakeAction, When
from ._fault_json import action_of, action_to_json, shown, when_of, when_to_json

__all__ = ["Fault", "FaultScript", "FaultSource", "named_rows"]

_MAX_FAULTS = 1000
_ROWS = Path(__file__).parent / "faults.json"


@dataclass(frozen=True, slots=True)
class Fault:
    """One entry of a script. Raises ValueError for an action that cannot happen then."""

    when: When
    action: FaultAction

    def __post_init__(self) -> None:
        at, name = self.when.at, type(self.action).__name__
        if (at == "handshake") != isinstance(self.action, get_args(HandshakeAction)):
            happens = "only happens" if at != "handshake" else "never happens"
            raise ValueError(f"action: {name} {happens} at the handshake, not when it is {at!r}.")
        if isinstance(self.action, get_args(EventAction)) and at not in ("sent", "received", "audio"):
            raise ValueError(f"action: {name} needs an event: 'sent', 'received' or 'audio', not {at!r}.")


@dataclass(frozen=True, slots=True)
class FaultScript:
    """The faults of a server or a connection, in order; ``seed`` decides what happens with a probability."""

    faults: tuple[Fault, ...] = ()
    seed: int = 0

    @classmethod
    def of(cls, source: FaultSource) -> FaultScript:
        """The script that ``source`` describes.

        A script as it is; the list of entries ``{"when": ..., "action": ...}`` or ``{"seed": 1, "faults": [...]}``
        as parsed from JSON; a ``str``: the name of a script that comes with the package, or, ending in ``.json``,
        a file; a path: that file. Raises ConfigurationError, which names the entry and the field.
        """
        if isinstance(source, FaultScript):
            return source
        if isinstance(source, str) and not source.endswith(".json"):
            return cls.named(source)
        if isinstance(source, str | os.PathLike):
            return cls.from_json(_read(Path(source)), str(source))
        return cls._parsed(source, "faults")

    @classmethod
    def named(cls, name: str) -> FaultScript:
        """A script that comes with the package. Raises ConfigurationError, which lists them, for another name."""
        rows = named_rows()
        if name not in rows:
            raise ConfigurationError(
                f"There is no fault script {name!r}.", hint=f"There are: {', '.join(sorted(rows))}."
            )
        return cls._parsed(rows[name]["script"], name)

    @classmethod
    def from_json(cls, text: str | bytes, where: str = "faults") -> FaultScript:
        """The script in a JSON text. Raises ConfigurationError, which starts with ``where``."""
        try:
            given = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ConfigurationError(f"{where} is not valid JSON: {error}") from error
        return cls._parsed(given, where)

    @classmethod
    def _parsed(cls, given: object, where: str) -> FaultScript:
        seed: object = 0
        if isinstance(given, Mapping):
            if unknown := sorted(map(str, given.keys() - {"seed", "faults"})):
                raise ConfigurationError(f"{where}.{unknown[0]} is no field of a script: it has seed and faults.")
            seed, given = given.get("seed", 0), given.get("faults", [])
        if not isinstance(seed, int) or isinstance(seed, bool):
            raise ConfigurationError(f"{where}.seed must be an integer, not {shown(seed)}.")
        if not isinstance(given, Sequence) or isinstance(given, str | bytes):
            raise ConfigurationError(f"{where} must be a list of entries, not {shown(given)}.")
        if len(given) > _MAX_FAULTS:
            raise ConfigurationError(f"{where} has {len(given)} entries; there may be {_MAX_FAULTS}.")
        return cls(tuple(_entry(entry, f"{where}[{index}]") for index, entry in enumerate(given)), seed)

    def to_json(self) -> dict[str, Any]:
        """The script as :meth:`of` takes it, without what is the default."""
        entries = [
            {"when": when_to_json(fault.when), "action": action_to_json(fault.action)} for fault in self.faults
        ]
        return {"seed": self.seed, "faults": entries}


FaultSource: TypeAlias = FaultScript | Sequence[Mapping[str, Any]] | Mapping[str, Any] | str | os.PathLike[str]
"""What :meth:`FaultScript.of` makes a script of."""


def _entry(given: object, where: str) -> Fault:
    if isinstance(given, Fault):
        return given
    if not isinstance(given, Mapping):
        raise ConfigurationError(f"{where} must be an object with when and action, not {shown(given)}.")
    for name in ("when", "action"):
        if name not in given:
            raise ConfigurationError(f"{where}.{name} is missing.")
    if unknown := sorted(map(str, given.keys() - {"when", "action", "comment"})):
        raise ConfigurationError(f"{where}.{unknown[0]} is no field of an entry: it has when, action and comment.")
    when, action = when_of(given["when"], f"{where}.when"), action_of(given["action"], f"{where}.action")
    try:
        return Fault(when, action)
    except ValueError as error:
        raise ConfigurationError(f"{where}.{error}") from error


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"The fault script {path} cannot be read: {error}") from error


@cache
def named_rows() -> Mapping[str, Mapping[str, Any]]:
    """The failures that come with the package, by name: ``failure`` (what it is), ``script`` and ``client``
    (what one sees through the azure-ai-voicelive SDK)."""
    rows: dict[str, dict[str, Any]] = json.loads(_ROWS.read_text(encoding="utf-8"))
    return rows
