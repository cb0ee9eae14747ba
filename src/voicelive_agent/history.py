"""What was said and what was *heard*: the record of a conversation, per item and down to the word.

The service keeps what the agent generated; a listener who interrupts heard less. Where the two differ the
conversation corrects the service's record, and ``told`` says whether that worked.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

__all__ = ["History", "HistoryItem", "Role", "Told"]

Role: TypeAlias = Literal["user", "assistant", "tool"]
Told: TypeAlias = Literal["", "truncated", "rewritten", "deleted", "unknown"]
"""How the service's record of an interrupted item was corrected: "" (nothing to correct), its audio was truncated,
it was replaced by the words heard, it was deleted (nothing heard), or the service did not confirm any of these."""

CHARACTERS_PER_SECOND: Final = 15
"""Speaking rate assumed while an item's whole duration is not known: English at about 150 words a minute."""

MAX_ITEMS: Final = 2_000
"""The oldest items are forgotten beyond this, so that a session of any length has a bounded record."""

_CJK: Final = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"  # kana and Han: no spaces, so every character is a word
_WORD: Final = re.compile(rf"(?:[{_CJK}]|[^\s{_CJK}]+)\s*")


@dataclass(frozen=True, slots=True)
class HistoryItem:
    """One item of the conversation, as it stands now.

    ``text`` is what was said (or generated), ``heard_text`` the part of it that the listener heard; for the user
    and for tools both are the same. Of a tool it is the call, ``look({"day": 1})``, or what was answered; a call
    of an MCP server's tool is one item with both: ``library.find({}) -> shelf 7``. ``estimated`` tells that the
    words were placed by proportion, without word timestamps. Durations are of the agent's audio: what arrived and
    what was heard of it.
    """

    item_id: str
    role: Role
    text: str = ""
    heard_text: str = ""
    received_ms: int = 0
    heard_ms: int = 0
    interrupted: bool = False
    estimated: bool = False
    told: Told = ""


@dataclass(slots=True)
class _Record:
    """An item while it grows."""

    item_id: str
    role: Role
    text: str = ""
    words: list[tuple[float, str]] = field(default_factory=list)  # (end in ms, word): exact timestamps
    received_ms: int = 0
    heard_ms: int = 0
    spoken: bool = False  # by the agent: what counts is its audio
    complete: bool = False  # all of its audio has arrived
    cut: tuple[str, bool] | None = None  # the words heard, and whether estimated: settled when interrupted
    told: Told = ""
    service_id: str | None = None  # the id under which the service holds it; None once it was deleted

    def heard_text(self) -> tuple[str, bool]:
        """The words heard so far, and whether that is an estimate."""
        if self.cut is not None:
            return self.cut
        if not (self.spoken or self.received_ms):
            return self.text, False
        if not self.received_ms:  # the text runs ahead of the audio
            return "", False
        if self.complete and self.heard_ms >= self.received_ms:
            return self.text, False
        if self.words:
            return _up_to(self.text, [word for end, word in self.words if end <= self.heard_ms]), False
        return _first_part(self.text, self._share()), True

    def _share(self) -> float:
        whole_ms = self.received_ms
        if not self.complete:  # the text runs ahead of the audio, so more audio is to come
            whole_ms = max(whole_ms, len(self.text) * 1000 // CHARACTERS_PER_SECOND)
        return self.heard_ms / whole_ms

    def snapshot(self) -> HistoryItem:
        heard, estimated = self.heard_text()
        return HistoryItem(
            item_id=self.item_id,
            role=self.role,
            text=self.text,
            heard_text=heard,
            received_ms=self.received_ms,
            heard_ms=self.heard_ms,
            interrupted=self.cut is not None,
            estimated=estimated,
            told=self.told,
        )


def _up_to(text: str, words: list[str]) -> str:
    """``text`` up to the last of these words; timestamps name words without the spaces around them."""
    end = 0
    for word in words:
        if (found := text.find(word, end)) >= 0:
            end = found + len(word)
    return text[:end] or " ".join(words)  # the words may come before their text


def _first_part(text: str, share: float) -> str:
    """The whole words within the first ``share`` (0..1) of ``text``."""
    limit = len(text) * share
    end = 0
    for word in _WORD.finditer(text):
        if len(text[: word.end()].rstrip()) > limit:
            break
        end = word.end()
    return text[:end].rstrip()


class History:
    """The items of a conversation in their order. Iterate it for snapshots; the conversation writes it."""

    def __init__(self) -> None:
        self._records: dict[str, _Record] = {}  # in the order in which the items were first mentioned

    def __iter__(self) -> Iterator[HistoryItem]:
        return (record.snapshot() for record in list(self._records.values()))

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, item_id: str) -> HistoryItem:
        """The item of this id. Raises KeyError where there is none (any more)."""
        return self._records[item_id].snapshot()

    def __contains__(self, item_id: object) -> bool:
        return item_id in self._records

    # Written by the conversation only.

    def mention(self, item_id: str, role: Role) -> None:
        """An item exists. Its place is where it was first mentioned: transcripts arrive late, and the cascade's
        ``previous_item_id`` of user audio skips the answers in between."""
        if item_id not in self._records:
            self._records[item_id] = _Record(item_id, role, service_id=item_id)
            if len(self._records) > MAX_ITEMS:
                del self._records[next(iter(self._records))]

    def reserve(self, place: str, role: Role) -> None:
        """An item will exist that the service has not named yet: this is its place, until :meth:`name`."""
        self.mention(place, role)
        self.replace_on_service(place, None)

    def name(self, place: str, item_id: str) -> None:
        """The service has named the item that this place was reserved for."""
        if (record := self._records.get(place)) is not None and item_id not in self._records:
            record.item_id = record.service_id = item_id
            self._records = {known.item_id: known for known in self._records.values()}

    def release(self, place: str) -> None:
        """Nothing will be in the place that was reserved."""
        self._records.pop(place, None)

    def say(self, item_id: str, text: str, *, append: bool = False, spoken: bool = False) -> str:
        """Set (or add to) the text of an item; the text so far. ``spoken``: it is heard only with its audio."""
        if (record := self._records.get(item_id)) is None:
            return text
        record.spoken = spoken
        record.text = record.text + text if append else text
        return record.text

    def time_word(self, item_id: str, word: str, end_ms: float) -> None:
        """The service says where a word of the item's audio ends."""
        if (record := self._records.get(item_id)) is not None:
            record.words.append((end_ms, word))

    def progress(self, item_id: str, *, heard_ms: int, received_ms: int, complete: bool) -> None:
        """How much of the item's audio has arrived and was heard."""
        if (record := self._records.get(item_id)) is not None and record.cut is None:
            record.heard_ms, record.received_ms, record.complete = heard_ms, received_ms, complete

    def cut(self, item_id: str) -> HistoryItem:
        """The spoken item was interrupted now: what was heard is settled. Raises KeyError if it is unknown."""
        record = self._records[item_id]
        if record.received_ms:
            record.cut = record.heard_text()
        elif record.cut is None:  # its words ran ahead, and none of them was heard
            record.cut = "", False
        return record.snapshot()

    def tell(self, item_id: str, told: Told) -> None:
        """How the service's record of the item was corrected."""
        if (record := self._records.get(item_id)) is not None:
            record.told = told

    def replace_on_service(self, item_id: str, service_id: str | None) -> None:
        """The service holds this item under another id now, or not at all; ours stays as the truth."""
        if (record := self._records.get(item_id)) is not None:
            record.service_id = service_id

    def previous_on_service(self, item_id: str) -> str:
        """The id on the service of the item before this one; "root" where there is none."""
        previous = "root"
        for other, record in self._records.items():
            if other == item_id:
                break
            previous = record.service_id or previous
        return previous
