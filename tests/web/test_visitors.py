"""How many may talk at once."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import pytest

from voicelive_agent import ConfigurationError
from voicelive_agent.web._visitors import Full, Visitors, WebLimits


def test_a_place_is_taken_for_the_duration_of_a_call() -> None:
    visitors = Visitors(WebLimits(sessions=1))
    with visitors.admit("a"):
        assert len(visitors) == 1
        with pytest.raises(Full, match="All 1 places are taken") as full, visitors.admit("b"):
            pytest.fail("there was no place")
        assert full.value.code == "server_full"
    assert len(visitors) == 0
    with visitors.admit("b"):
        pass


def test_a_call_that_fails_gives_its_place_back() -> None:
    visitors = Visitors(WebLimits())
    with pytest.raises(KeyError), visitors.admit("a"):
        raise KeyError
    assert len(visitors) == 0


def test_one_address_has_not_all_the_places() -> None:
    visitors = Visitors(WebLimits(sessions=10, sessions_per_address=2))
    with ExitStack() as calls:
        calls.enter_context(visitors.admit("a"))
        calls.enter_context(visitors.admit("a"))
        with pytest.raises(Full, match="there are 2 calls already") as full:
            visitors.check("a")
        assert full.value.code == "address_full"
        calls.enter_context(visitors.admit("b"))
        assert len(visitors) == 3
    visitors.check("a")


def test_nobody_is_admitted_while_draining() -> None:
    visitors = Visitors(WebLimits())
    with visitors.admit("a"):
        visitors.draining = True
        with pytest.raises(Full, match="restarted") as full:
            visitors.check("b")
        assert full.value.code == "draining"
        assert len(visitors) == 1


@pytest.mark.parametrize("value", [0, -1, True, "5", None, float("nan")])
def test_limits_are_positive(value: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"WebLimits\.sessions is"):
        WebLimits(sessions=value)
