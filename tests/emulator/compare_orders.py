"""What the emulator says in another order than the service, or of another kind: prints every difference.

    python -m tests.emulator.compare_orders

Run it in the project's directory. Every recording of the service in ``data/`` is a scenario: what its client sent
is sent to the emulator, and the events of both are aligned. Times, ids, words and the number of deltas are not
compared; everything else of the order is, and of the kind what the recording tells: types, roles and statuses.

From an excerpt its recorder left events out, mostly those of a turn like the one before. What it does not show is
therefore no difference there; what it does show has to be there, in its place.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from voicelive_agent.emulator import Call, EnergyEars, Options, ScriptedBrain

from .driver import Driver, noise, silence

Json = Mapping[str, Any]
DATA = Path(__file__).parents[1] / "data"
_FACTS = {
    "item": ("type", "role", "status"),
    "part": ("type",),
    "response": ("status",),
    "status_details": ("reason",),
    "error": ("type", "code"),
}
"""What tells an event from others of its type."""


# --- Recordings -------------------------------------------------------------------------------------------


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def trace(name: str, direction: str) -> list[dict[str, Any]]:
    """One side's messages of a whole recorded session: those ``received`` from the service, or ``sent`` to it."""
    recorded = lines(DATA / "traces" / f"voicelive__{name}.jsonl")
    return [line["data"] for line in recorded if line.get("direction") == direction]


def scenario(name: str) -> list[dict[str, Any]]:
    """The service's events of a recording of which only the order was kept."""
    return [line for line in lines(DATA / "orders.jsonl") if line["scenario"] == name and line.get("d") == "s"]


# --- The same with the emulator ---------------------------------------------------------------------------


def user_item(text: str) -> dict[str, Any]:
    return {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}


def replayed(name: str) -> list[dict[str, Any]]:
    """What the emulator says to the client of a trace, in the service's words.

    The client's audio, of which little was kept, is a second's noise.
    """
    ends = (event for event in trace(name, "received") if event["type"] == "response.audio_transcript.done")
    words = next((event["transcript"] for event in ends), "")
    brain = ScriptedBrain([(r"weather in (\w+)", Call("get_weather", {"city": r"\1"})), ("", words)])
    driver = Driver(model="gpt-realtime", brain=brain)
    spoken = False
    for message in trace(name, "sent"):
        if message["type"] == "input_audio_buffer.append":
            if not spoken:
                driver.speak()
            spoken = True
            continue
        item = message.get("item") or {}
        if item.get("type") == "function_call_output":
            item["call_id"] = next(event["call_id"] for event in driver.events if "call_id" in event)
        driver.ask(**message)
    return driver.events


def cascade_spoken_turn() -> list[dict[str, Any]]:
    driver = Driver(model="gpt-4.1")
    driver.update(
        turn_detection={
            "type": "azure_semantic_vad_multilingual",
            "languages": ["en", "fr"],
            "end_of_utterance_detection": {"model": "semantic_detection_v1_multilingual", "timeout_ms": 800},
        },
        input_audio_noise_reduction={"type": "azure_deep_noise_suppression"},
        input_audio_echo_cancellation={"type": "server_echo_cancellation"},
    )
    driver.speak()
    return driver.events


def cascade_call() -> list[dict[str, Any]]:
    """Three turns talked over after their answers had been delivered, then a function call."""
    driver = Driver(
        model="gpt-4.1-mini",
        query={"api-version": "2025-10-01"},
        ears=EnergyEars(["one", "two", "three", "please hang up"]),
        brain=ScriptedBrain([("hang up", Call("end_call", {}))]),
    )
    driver.update(turn_detection={"type": "server_vad", "threshold": 0.7, "silence_duration_ms": 550})
    for _ in range(4):
        driver.speak()
    return driver.events


def realtime_barge_in() -> list[dict[str, Any]]:
    """An answer in an Azure voice is interrupted just before its end."""
    story = "Once upon a time there was a very long story indeed."
    driver = Driver(
        model="gpt-realtime-2", options=Options(realtime_factor=1.0), brain=ScriptedBrain([("story", story)])
    )
    driver.update(
        turn_detection={"type": "azure_semantic_vad_multilingual"},
        voice={"type": "azure-standard", "name": "en-US-AvaNeural"},
        input_audio_transcription={"model": "azure-speech"},
        modalities=["text", "audio"],
    )
    driver.send("conversation.item.create", item=user_item("Tell me a story"))
    driver.send("response.create")
    driver.wait(1.3)
    driver.append(silence(0.4) + noise(0.8) + silence(0.6))
    driver.wait(0.1)
    return driver.events


class Scenario(NamedTuple):
    """A recording of the service, and the same conversation with the emulator."""

    service: Callable[[], Sequence[Json]]
    emulator: Callable[[], Sequence[Json]]
    excerpt: bool = False


SCENARIOS: Mapping[str, Scenario] = {
    **{
        name.removeprefix("test_"): Scenario(partial(trace, name, "received"), partial(replayed, name))
        for name in ("test_audio_in_server_vad_turn", "test_text_in_audio_out_turn", "test_tool_call_round")
    },
    "cascade_spoken_turn": Scenario(partial(scenario, "cascade_spoken_turn"), cascade_spoken_turn),
    "cascade_bargein_and_function_call": Scenario(
        partial(scenario, "cascade_bargein_and_function_call"), cascade_call, excerpt=True
    ),
    "realtime_azure_voice_response_cancelled_by_bargein": Scenario(
        partial(scenario, "realtime_azure_voice_response_cancelled_by_bargein"), realtime_barge_in, excerpt=True
    ),
}


# --- Comparing --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Kind:
    """The type of an event, and what else there is to compare of it."""

    type: str
    facts: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, event: Json) -> Kind:
        """The kind of an event; a recording may have a status beside the response or item that it belongs to."""
        facts: dict[str, str] = {}
        nested = dict(event)
        nested.setdefault("response", {"status": event["status"]} if "status" in event else None)
        nested.setdefault("item", {"status": event["item_status"]} if "item_status" in event else None)
        nested["status_details"] = (nested["response"] or {}).get("status_details")
        for name, keys in _FACTS.items():
            facts |= {f"{name}.{key}": str(nested[name][key]) for key in keys if key in (nested.get(name) or {})}
        return cls(event["type"], tuple(sorted(facts.items())))

    def allows(self, other: Kind) -> bool:
        """Whether ``other`` is of this kind, as far as this one tells."""
        return self.type == other.type and set(self.facts) <= set(other.facts)

    def __str__(self) -> str:
        told = ", ".join(value for _, value in self.facts)
        return f"{self.type} ({told})" if told else self.type


@dataclass(frozen=True, order=True)
class Difference:
    """An event in one of the two orders that the other does not have after the same event, or not at all."""

    scenario: str
    side: str
    """Whose order has it: ``service`` or ``emulator``."""
    event: str
    after: str
    """The last event before it that both have."""

    def __str__(self) -> str:
        return f"{self.scenario}: only the {self.side} has {self.event} after {self.after}"


INTERLEAVED = "text and audio deltas, interleaved"


def kinds(events: Iterable[Json]) -> list[Kind]:
    """Their kinds: of each response the first delta of each type, and once whether they alternate from then on."""
    found: list[Kind] = []
    deltas: list[str] = []
    transcribed: set[str] = set()
    for event in events:
        kind = Kind.of(event)
        if kind.type == "response.created":
            deltas = []
        if kind.type == "conversation.item.input_audio_transcription.delta":
            if event["item_id"] not in transcribed:
                found.append(kind)
            transcribed.add(event["item_id"])
        elif not kind.type.endswith(".delta"):
            found.append(kind)
        else:
            if kind.type not in deltas:
                found.append(kind)
            elif kind.type != deltas[-1] and Kind(INTERLEAVED) != found[-1]:
                found.append(Kind(INTERLEAVED))
            deltas.append(kind.type)
    return found


def aligned(theirs: Sequence[Kind], ours: Sequence[Kind]) -> list[tuple[int, int]]:
    """The longest sequence of pairs of positions at which both say the same."""
    lengths = [[0] * (len(ours) + 1) for _ in range(len(theirs) + 1)]
    for i in reversed(range(len(theirs))):
        for j in reversed(range(len(ours))):
            same = theirs[i].allows(ours[j])
            lengths[i][j] = 1 + lengths[i + 1][j + 1] if same else max(lengths[i + 1][j], lengths[i][j + 1])
    pairs, i, j = [], 0, 0
    while i < len(theirs) and j < len(ours):
        if theirs[i].allows(ours[j]):
            pairs.append((i, j))
            i, j = i + 1, j + 1
        elif lengths[i + 1][j] >= lengths[i][j + 1]:
            i += 1
        else:
            j += 1
    return pairs


def differences(name: str, given: Scenario) -> Iterator[Difference]:
    """What the two orders of one scenario do not share."""
    theirs, ours = kinds(given.service()), kinds(given.emulator())
    pairs = aligned(theirs, ours)
    yield from _unpaired(name, "service", theirs, [i for i, _ in pairs])
    if not given.excerpt:
        yield from _unpaired(name, "emulator", ours, [j for _, j in pairs])


def _unpaired(name: str, side: str, order: Sequence[Kind], paired: Sequence[int]) -> Iterator[Difference]:
    both, after = set(paired), "the start"
    for at, kind in enumerate(order):
        if at in both:
            after = kind.type
        else:
            yield Difference(name, side, str(kind), after)


def found() -> Counter[Difference]:
    """Every difference of every scenario, and how often it is there."""
    return Counter(each for name, given in SCENARIOS.items() for each in differences(name, given))


def main() -> None:
    """Print every difference."""
    for name, given in SCENARIOS.items():
        theirs, ours = kinds(given.service()), kinds(given.emulator())
        print(f"{name}: {len(theirs)} of the service{' (excerpt)' if given.excerpt else ''}, {len(ours)} of ours")
        for each in differences(name, given):
            print(f"  only the {each.side}: {each.event}\n      after {each.after}")


if __name__ == "__main__":
    main()
