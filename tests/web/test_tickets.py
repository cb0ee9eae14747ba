"""Start tickets: once, soon, and for whom they were given."""

from __future__ import annotations

from typing import Any

import pytest

from voicelive_agent.web._tickets import TicketRefused, Tickets


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_ticket_is_good_once(clock: Clock) -> None:
    tickets = Tickets(clock)
    ticket = tickets.issue("10.0.0.1")
    tickets.redeem(ticket, "10.0.0.1")
    with pytest.raises(TicketRefused, match="unknown, used or too old"):
        tickets.redeem(ticket, "10.0.0.1")


def test_a_ticket_is_not_good_for_long(clock: Clock) -> None:
    tickets = Tickets(clock, lifetime_s=30)
    early, late = tickets.issue("a"), tickets.issue("a")
    clock.now += 29.9
    tickets.redeem(early, "a")
    clock.now += 0.1
    assert len(tickets) == 1
    with pytest.raises(TicketRefused, match="too old"):
        tickets.redeem(late, "a")
    assert len(tickets) == 0


def test_a_ticket_is_good_for_its_address_and_lost_at_another(clock: Clock) -> None:
    tickets = Tickets(clock)
    ticket = tickets.issue("10.0.0.1")
    with pytest.raises(TicketRefused, match="another address"):
        tickets.redeem(ticket, "10.0.0.2")
    with pytest.raises(TicketRefused):
        tickets.redeem(ticket, "10.0.0.1")


@pytest.mark.parametrize("nonsense", ["", "x", None, 3, [], {}, ["a"]])
def test_what_is_no_ticket_is_refused(clock: Clock, nonsense: Any) -> None:
    tickets = Tickets(clock)
    tickets.issue("a")
    with pytest.raises(TicketRefused):
        tickets.redeem(nonsense, "a")


def test_tickets_that_nobody_uses_do_not_pile_up(clock: Clock) -> None:
    tickets = Tickets(clock, limit=3)
    issued = [tickets.issue("a") for _ in range(5)]
    assert len(tickets) == 3
    with pytest.raises(TicketRefused):
        tickets.redeem(issued[1], "a")
    tickets.redeem(issued[2], "a")


def test_no_two_tickets_are_alike(clock: Clock) -> None:
    tickets = Tickets(clock)
    issued = {tickets.issue("a") for _ in range(200)}
    assert len(issued) == 200
    assert min(map(len, issued)) >= 32
