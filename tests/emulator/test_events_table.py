"""The tables of docs/reference/emulator-events.md say what is true."""

from __future__ import annotations

import json
import re
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from voicelive_agent.emulator import Options
from voicelive_agent.emulator._client_events import CLIENT_EVENTS

from .scenarios import SCENARIOS

HERE = Path(__file__).parent
DOCUMENT = (HERE.parents[1] / "docs/reference/emulator-events.md").read_text("utf-8")
EVENTS: dict[str, Any] = json.loads((HERE.parent / "data/events.json").read_text("utf-8"))
IMPLEMENTED = {"yes", "on request", "as a guess"}
SOURCES = {"trace", "SDK", "docs", "guess", "place: guess"}


class Row(NamedTuple):
    event: str
    implemented: str
    checked_against: str
    test: str


def rows(heading: str) -> list[Row]:
    """The rows of the table under a heading."""
    section = DOCUMENT.split(f"## {heading}\n")[1].split("\n## ")[0]
    return [Row(*found) for found in re.findall(r"^\| `(.+?)` \| (.+?) \| (.+?) \| `(.+?)` \|$", section, re.M)]


TABLES = {"client": rows("Client events"), "server": rows("Server events")}
ROWS = [pytest.param(side, row, id=f"{side} {row.event}") for side, table in TABLES.items() for row in table]


@cache
def sent() -> frozenset[str]:
    """The types of all events of all scenarios."""
    return frozenset(event["type"] for scenario in SCENARIOS.values() for event in scenario())


@pytest.mark.parametrize("side", ["client", "server"])
def test_every_event_of_the_sdk_has_one_row(side: str) -> None:
    assert sorted(row.event for row in TABLES[side]) == sorted(EVENTS[side])


@pytest.mark.parametrize(("side", "row"), ROWS)
def test_a_row_names_a_test_that_mentions_its_event(side: str, row: Row) -> None:
    assert row.implemented in IMPLEMENTED
    assert set(re.split("[,;] ", row.checked_against)) <= SOURCES
    source = (HERE / row.test).read_text("utf-8")
    assert f'"{row.event}"' in source, f"{row.test} does not mention {row.event}"


@pytest.mark.parametrize(("side", "row"), ROWS)
def test_what_is_called_implemented_is(side: str, row: Row) -> None:
    assert row.event in (CLIENT_EVENTS if side == "client" else sent())


def test_nothing_is_sent_that_the_page_does_not_name() -> None:
    assert {kind for kind in sent() if f"`{kind}`" not in DOCUMENT} == set()


def test_the_switches_it_names_are_there() -> None:
    named = set(re.findall(r"`(\w+)`", DOCUMENT.split("a switch of `Options`")[1]))
    assert len(named) > 5
    assert named <= {field.name for field in fields(Options)}
