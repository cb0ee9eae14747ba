"""Limits: which there are, and the bookkeeping of bytes."""

from __future__ import annotations

import math
from dataclasses import fields

import pytest

from voicelive_agent.websocket import Limits
from voicelive_agent.websocket._limits import MESSAGE_COST, Budget, message_bytes


def test_defaults_let_every_dialect_work() -> None:
    limits = Limits()
    page = 50 * (960 * 2 + MESSAGE_COST)  # 20 ms at 48 kHz
    unmixed = 4 * 50 * (1_280 + 200 + MESSAGE_COST)  # four participants at 24 kHz in base64
    assert limits.bytes_per_s > 1.5 * page
    assert limits.bytes_per_s * 2 > unmixed
    assert limits.session_s is None


@pytest.mark.parametrize("name", [field.name for field in fields(Limits)])
@pytest.mark.parametrize("value", [0, -1, math.inf, math.nan])
def test_a_limit_is_a_positive_number(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{name} must be a positive number, not {value}"):
        Limits(**{name: value})  # type: ignore[arg-type]


def test_whoever_keeps_to_the_rate_may_go_on_for_ever() -> None:
    budget = Budget(1_000 + MESSAGE_COST, 1.0, now=5.0)
    assert all(budget.spend(1_000, 5.0 + second) for second in range(1_000))


def test_a_burst_is_what_was_not_said_before() -> None:
    budget = Budget(MESSAGE_COST, 4.0, now=0.0)
    assert [budget.spend(0, 100.0) for _ in range(5)] == [True] * 4 + [False]
    assert [budget.spend(0, 101.0), budget.spend(0, 103.0)] == [False, True], "what was owed is paid first"


def test_a_flood_of_empty_messages_is_a_flood() -> None:
    budget = Budget(250_000, 4.0, now=0.0)
    assert sum(budget.spend(0, 0.5) for _ in range(100_000)) < 4_000


@pytest.mark.parametrize(
    ("message", "size"), [("", 0), ("abc", 3), (b"abc", 3), ("äö", 4), ("€", 3), ("\ud800", 3)]
)
def test_a_message_has_the_size_it_has_on_the_wire(message: str | bytes, size: int) -> None:
    assert message_bytes(message) == size
