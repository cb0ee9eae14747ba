"""What a brain yields, checked before it becomes output: a plug-in's mistake fails its response, nothing else."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from .protocols import Action, Annotate, Call, Fail, Invocation, Say, Search, Wait


def checked(action: object) -> Action:
    """``action`` as an action with JSON in it; raises TypeError or ValueError where it is none."""
    match action:
        case Say(text=str(), realtime_factor=None):
            return action
        case Say(text=str(), realtime_factor=float() | int() as factor):
            if not factor > 0:
                raise ValueError(f"Say.realtime_factor must be greater than 0, not {factor!r}.")
            return action
        case Call(name=str(), arguments=Mapping() as arguments):
            return Call(action.name, _json(arguments, "Call.arguments"))
        case Wait(ms=float() | int() as ms):
            if not 0 <= ms < math.inf:
                raise ValueError(f"Wait.ms must be a finite number and not negative, not {ms!r}.")
            return action
        case Fail(message=str(), code=str()):
            return action
        case Search(kind="web" | "file", queries=Sequence() as queries, results=Sequence() as results):
            return Search(
                action.kind, _json(list(queries), "Search.queries"), _json(list(results), "Search.results")
            )
        case Annotate(annotation=Mapping() as annotation):
            return Annotate(_json(annotation, "Annotate.annotation"))
        case Invocation(delta=Mapping() as delta):
            return Invocation(_json(delta, "Invocation.delta"))
    raise TypeError(
        "The brain must yield Say or Call (or Wait, Fail, Search, Annotate, Invocation) with values of the "
        f"declared types, not {action!r:.60}."
    )


def _json(value: Any, name: str) -> Any:
    """A copy of ``value`` as the client will read it."""
    try:
        if isinstance(value, Mapping):
            value = dict(value)
        return json.loads(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"{name} cannot be written as JSON: {error}") from error
