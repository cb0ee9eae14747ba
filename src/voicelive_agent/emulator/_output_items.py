"""Output items other than messages: what each looks like, and the events between its beginning and its end."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from ._writer import Entry, Writer
from .protocols import Search


def function_call(writer: Writer, name: str, arguments: Sequence[str], *, cut_short: bool) -> None:
    """A whole call whose ``arguments`` (JSON) come in these pieces; ``cut_short``: by the token limit."""
    context = writer.context
    item = {
        "id": context.model_id("item"),
        "object": "realtime.item",
        "type": "function_call",
        "status": "in_progress",
        "name": name,
        "call_id": context.ids.call(context.profile.call_id_length),
        "arguments": "",
    }
    entry = writer.begin(item, partial(_close_call, writer))
    entry.text, entry.final, entry.cut_short = "".join(arguments), True, cut_short
    for piece in arguments:
        writer.count(piece)
        writer.add(partial(_send_arguments, writer, entry, piece))
    writer.add(writer.close_open)


def _send_arguments(writer: Writer, entry: Entry, piece: str) -> None:
    entry.sent += piece
    writer.send("response.function_call_arguments.delta", entry, call_id=entry.item["call_id"], delta=piece)


def _close_call(writer: Writer, entry: Entry) -> None:
    item = entry.item
    item["arguments"] = entry.sent
    writer.send(
        "response.function_call_arguments.done",
        entry,
        call_id=item["call_id"],
        name=item["name"],
        arguments=entry.sent,
    )


def search(writer: Writer, what: Search) -> None:
    """A search by the service itself: in_progress, searching, completed, numbered from 1.

    No recording shows where these are; they are put between output_item.added and output_item.done, as the events
    of a function call are.
    """
    kind = f"{what.kind}_search_call"
    item: dict[str, Any] = {
        "id": writer.context.model_id("ws" if what.kind == "web" else "fs"),
        "object": "realtime.item",
        "type": kind,
        "status": "in_progress",
    }
    if what.kind == "file":
        item |= {"queries": list(what.queries), "results": None}
    entry = writer.begin(item, lambda entry: None)
    entry.text = "".join(_SEARCH_STAGES)
    entry.final = True

    def reach(number: int, stage: str) -> None:
        entry.sent += stage
        item["status"] = stage
        if stage == "completed" and what.kind == "file" and _results_wanted(writer):
            item["results"] = [dict(result) for result in what.results]
        writer.send(f"response.{kind}.{stage}", entry, sequence_number=number)

    for number, stage in enumerate(_SEARCH_STAGES, start=1):
        writer.add(partial(reach, number, stage))
    writer.add(writer.close_open)


_SEARCH_STAGES = ("in_progress", "searching", "completed")


def _results_wanted(writer: Writer) -> bool:
    return "file_search_call.results" in (writer.context.config["include"] or ())
