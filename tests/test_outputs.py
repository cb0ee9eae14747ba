"""What the conversation wants done, and in which order."""

from __future__ import annotations

import base64
import dataclasses
from typing import Any, get_args

import pytest

from voicelive_agent import _wire as wire
from voicelive_agent import events
from voicelive_agent._approval import ApprovalRequest
from voicelive_agent._outputs import (
    CallTool,
    CancelTool,
    End,
    FinishPlayback,
    FinishUpdate,
    MoveSpeech,
    Output,
    Play,
    StopPlayback,
    rank,
)

VERDICT = events.Verdict(events.EndReason.STOPPED)
# In the order of the contract; between the lines of one group no order is promised.
GROUPS: list[list[Output]] = [
    [StopPlayback()],
    [
        wire.UpdateSession(event_id="e", session={}),
        wire.CreateItem(event_id="e", item={}),
        wire.DeleteItem(event_id="e", item_id="i"),
        wire.TruncateItem(event_id="e", item_id="i", content_index=0, audio_end_ms=1),
        wire.CommitInput(event_id="e"),
        wire.CreateResponse(event_id="e", response={}),
        wire.CancelResponse(event_id="e", response_id="r"),
    ],
    [Play("i", 1, "AAA="), FinishPlayback("i")],
    [
        events.Interrupted("i", 1, 2, "Hello"),
        events.StateChanged(events.State.SPEAKING, events.State.LISTENING),
        events.SessionEnded(VERDICT),
        CallTool("c", "f", "{}"),
        CancelTool("c"),
        ApprovalRequest("c", "f", "{}"),
        MoveSpeech(1, "heard"),
        FinishUpdate(1),
    ],
    [End(VERDICT)],
]


def test_silence_comes_first_and_the_end_last() -> None:
    ranks = [{rank(output) for output in group} for group in GROUPS]
    assert all(len(group) == 1 for group in ranks)
    order = [rank_ for group in ranks for rank_ in group]
    assert order == sorted(order)
    assert len(set(order)) == len(GROUPS)


def test_every_kind_of_output_has_its_place() -> None:
    covered = {type(output) for group in GROUPS for output in group}
    assert set(get_args(Output)) - set(events.EVENT_TYPES) <= covered


def test_audio_is_decoded_when_it_is_asked_for() -> None:
    assert Play("i", 2, base64.b64encode(b"\x01\x02\x03\x04").decode()).decode() == b"\x01\x02\x03\x04"
    broken = Play("i", 2, "no base64!")
    with pytest.raises(ValueError, match=r"(?i)base64"):
        broken.decode()


OURS = [output for group in GROUPS for output in group if type(output).__module__ == rank.__module__]


@pytest.mark.parametrize("output", OURS)
def test_outputs_are_values(output: Any) -> None:
    same = dataclasses.replace(output)
    assert not hasattr(output, "__dict__")
    assert same == output
    assert hash(same) == hash(output)
    for field in dataclasses.fields(output):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(output, field.name, None)
