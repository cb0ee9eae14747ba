"""Whose requests are let in, and what a browser is told."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicelive_agent import ConfigurationError
from voicelive_agent.web._guard import LOOPBACK, Guard, Refused, security_headers


def lets_in(guard: Guard, host: str, origin: str | None) -> bool:
    headers = {"Host": host} | ({} if origin is None else {"Origin": origin})
    try:
        guard.check(headers)
    except Refused:
        return False
    return True


@pytest.mark.parametrize(
    ("host", "origin", "let_in"),
    [
        ("talk.example", "https://talk.example", True),
        ("talk.example", "http://talk.example", True),  # TLS may end at a proxy
        ("talk.example:8443", "https://talk.example:8443", True),
        ("TALK.example", "https://talk.EXAMPLE", True),
        ("talk.example", "https://talk.example:8443", False),
        ("talk.example", "https://evil.test", False),
        ("talk.example", "https://talk.example.evil.test", False),
        ("talk.example", "https://evil.test/talk.example", False),
        ("talk.example", "null", False),
        ("talk.example", "talk.example", False),
        ("talk.example", "", False),
        ("talk.example", None, False),
        ("", "null", False),
        ("", None, False),
        ("a b", "http://a b", False),
    ],
)
def test_a_page_of_another_site_is_not_let_in(host: str, origin: str | None, let_in: bool) -> None:
    assert lets_in(Guard(), host, origin) is let_in


def test_a_name_of_the_attackers_for_our_address_is_not_ours() -> None:
    guard = Guard(hosts=LOOPBACK)
    assert lets_in(guard, "localhost:8000", "http://localhost:8000")
    assert lets_in(guard, "[::1]:8000", "http://[::1]:8000")
    assert lets_in(guard, "127.0.0.1", "http://127.0.0.1")
    assert not lets_in(guard, "evil.test:8000", "http://evil.test:8000")
    assert not lets_in(guard, "127.0.0.1.evil.test", "http://127.0.0.1.evil.test")
    assert lets_in(Guard(), "evil.test:8000", "http://evil.test:8000"), "where every name is allowed"


def test_other_pages_can_be_let_in() -> None:
    guard = Guard.of(["https://Shop.example", "http://localhost:3000/"], ["talk.example:8443", "other.example"])
    assert lets_in(guard, "talk.example:8443", "https://shop.example")
    assert lets_in(guard, "other.example:99", "http://localhost:3000")
    assert not lets_in(guard, "talk.example:8444", "https://shop.example")
    assert not lets_in(guard, "talk.example:8443", "https://shop.example:8443")


def test_clients_that_are_no_browsers_can_be_let_in() -> None:
    guard = Guard(require_origin=False)
    assert lets_in(guard, "talk.example", None)
    assert not lets_in(guard, "talk.example", "https://evil.test")


@pytest.mark.parametrize(
    "origin", ["shop.example", "ftp://shop.example", "https://", "https://a/b", "https://a?b", "*"]
)
def test_what_is_no_origin_is_refused(origin: str) -> None:
    with pytest.raises(ConfigurationError, match="is no origin"):
        Guard.of([origin])


@pytest.mark.parametrize("host", ["", "https://a", "a/b", "*", "ä.example"])
def test_what_is_no_host_is_refused(host: str) -> None:
    with pytest.raises(ConfigurationError, match="is no host"):
        Guard.of([], [host])


@pytest.mark.parametrize(
    ("proxies", "forwarded", "address"),
    [
        (0, "203.0.113.7", "10.0.0.1"),
        (1, "203.0.113.7", "203.0.113.7"),
        (1, "203.0.113.7:51234", "203.0.113.7"),
        (1, "198.51.100.1, 203.0.113.7", "203.0.113.7"),  # what the client wrote itself comes first
        (2, "198.51.100.1, 203.0.113.7", "198.51.100.1"),
        (2, "203.0.113.7", "10.0.0.1"),
        (1, "[2001:db8::1]:443", "2001:db8::1"),
        (1, "2001:db8::1", "2001:db8::1"),
        (1, "unknown", "10.0.0.1"),
        (1, "", "10.0.0.1"),
        (1, " , ", "10.0.0.1"),
    ],
)
def test_the_address_is_what_a_trusted_proxy_saw(proxies: int, forwarded: str, address: str) -> None:
    assert Guard(proxies=proxies).address("10.0.0.1", {"X-Forwarded-For": forwarded}) == address


def test_a_browser_may_run_our_scripts_and_no_others() -> None:
    headers = security_headers("talk.example:8443")
    policy = dict(part.split(" ", 1) for part in headers["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == "'self'"
    assert policy["connect-src"] == "'self' ws://talk.example:8443 wss://talk.example:8443"
    assert policy["frame-ancestors"] == "'none'"
    assert "unsafe" not in headers["Content-Security-Policy"]
    assert headers["Permissions-Policy"].startswith("microphone=(self)")


@given(st.text())
def test_a_host_never_writes_policy(host: str) -> None:
    policy = security_headers(host)["Content-Security-Policy"]
    assert policy.count(";") == security_headers("")["Content-Security-Policy"].count(";")
    assert "\n" not in policy
    assert "\r" not in policy
