"""What dialects share: reading JSON, base64 and numbers that a stranger wrote."""

from __future__ import annotations

import base64
import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicelive_agent.audio import AudioFormat
from voicelive_agent.events import DtmfReceived
from voicelive_agent.websocket import Dialect
from voicelive_agent.websocket._position import Position
from voicelive_agent.websocket.dialect import decoded, encoded, is_count, parsed, shown, to_json


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "not JSON"),
        ("{", "not JSON"),
        ("[1]", "JSON, but no object"),
        ("null", "JSON, but no object"),
        ('"type"', "JSON, but no object"),
        ('{"a": NaN}', "there is no NaN in JSON"),
        ('{"a": -Infinity}', "there is no -Infinity in JSON"),
        ('{"a": ' + "9" * 5_000 + "}", "not JSON"),
        ("[" * 60_000, "JSON nested too deeply"),
        ('{"a":' * 10_000, "JSON nested too deeply"),
    ],
)
def test_garbage_is_refused_in_words(text: str, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        parsed(text)


def test_an_object_is_read() -> None:
    assert parsed('{"type": "text", "text": "\\u00fc", "n": [1, 2.5, null]}') == {
        "type": "text",
        "text": "ü",
        "n": [1, 2.5, None],
    }


@given(st.text())
def test_no_text_is_worse_than_a_value_error(text: str) -> None:
    with contextlib.suppress(ValueError):
        assert parsed(text) == json.loads(text)


def test_json_goes_out_in_ascii() -> None:
    assert to_json({"a": "ü\ud800", "b": None}) == '{"a":"\\u00fc\\ud800","b":null}'


@given(st.binary())
def test_audio_goes_through_base64(audio: bytes) -> None:
    assert decoded(encoded(audio), 1) == audio


@pytest.mark.parametrize(
    ("payload", "fault"),
    [
        (None, "no base64 text"),
        (5, "no base64 text"),
        ("a", "not base64"),
        ("!!!!", "not base64"),
        ("äöü", "not base64"),
        (base64.b64encode(bytes(3)).decode(), "3 bytes are no whole samples"),
    ],
)
def test_what_is_no_audio_is_refused_in_words(payload: Any, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        decoded(payload, 2)


@pytest.mark.parametrize(
    ("value", "counts"),
    [
        (0, True),
        (2**53, True),
        (2**53 + 1, False),
        (-1, False),
        (True, False),
        (1.0, False),
        (float("inf"), False),
        ("1", False),
        (None, False),
        ([1], False),
    ],
)
def test_what_can_be_counted_with(value: Any, counts: bool) -> None:
    assert is_count(value) is counts


def test_a_strangers_value_is_shown_in_short() -> None:
    assert shown("a" * 100) == "'" + "a" * 39
    assert shown(None) == "None"
    assert shown(1.5) == "1.5"
    assert shown({"secret": "x"}) == "a dict"


def test_a_dialect_of_ones_own_says_what_it_lacks() -> None:
    class Mine(Dialect[str]):
        """Nothing yet."""

    mine = Mine(AudioFormat(rate=8_000))
    assert (mine.format.rate, mine.start) == (8_000, None)
    assert list(mine.describe(DtmfReceived("1"))) == []
    assert mine.ping(0.0) is None
    with pytest.raises(NotImplementedError):
        mine.receive("", 0.0)
    with pytest.raises(NotImplementedError):
        mine.encode(b"", Position(8_000, run_on_s=None), last=True, now=0.0)
    with pytest.raises(NotImplementedError):
        mine.flush(1)
