"""What an agent tells: immutable values with names to rely on."""

from __future__ import annotations

import dataclasses
import inspect
import re
import typing
from typing import Any

import pytest

from voicelive_agent import events
from voicelive_agent.events import EVENT_TYPES, EndReason, Event, State, Verdict

PUBLIC = [value for name, value in vars(events).items() if dataclasses.is_dataclass(value) and name[0] != "_"]


def made(kind: Any) -> Any:
    return kind(*[field.name for field in dataclasses.fields(kind)])


def test_every_event_is_in_the_union_and_exported() -> None:
    assert set(EVENT_TYPES) == set(PUBLIC) - {Verdict}
    assert typing.get_args(Event) == EVENT_TYPES
    assert {kind.__name__ for kind in EVENT_TYPES} <= set(events.__all__)


def test_the_exported_names_exist_and_are_sorted() -> None:
    assert all(hasattr(events, name) for name in events.__all__)
    order = sorted(events.__all__, key=lambda name: (not name.isupper(), name))
    assert events.__all__ == order


@pytest.mark.parametrize("kind", [*EVENT_TYPES, Verdict])
def test_an_event_is_an_immutable_value(kind: Any) -> None:
    event = made(kind)
    assert event == made(kind)
    assert not hasattr(event, "__dict__")
    for field in dataclasses.fields(kind):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(event, field.name, "another")


@pytest.mark.parametrize("kind", EVENT_TYPES)
def test_an_event_says_what_it_is(kind: Any) -> None:
    first = (inspect.getdoc(kind) or "").splitlines()[0]
    assert re.fullmatch(r"[A-Z].*[.:]", first) or len(first) > 100


@pytest.mark.parametrize("kind", EVENT_TYPES)
def test_durations_are_whole_milliseconds(kind: Any) -> None:
    for name, hint in typing.get_type_hints(kind).items():
        assert not name.endswith(("_s", "_seconds", "duration"))
        if name.endswith("_ms"):
            assert hint in (int, int | None)


def test_states_and_reasons_are_called_by_their_values() -> None:
    for member in [*State, *EndReason]:
        assert member.value == member.name.lower()


@pytest.mark.parametrize("reason", EndReason)
def test_only_what_somebody_asked_for_is_a_good_ending(reason: EndReason) -> None:
    assert Verdict(reason).ok is (reason.value in ("stopped", "source_finished", "hung_up"))
