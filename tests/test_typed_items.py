"""Typed items in the conversation machine: text and images, to be answered or only to be known."""

from __future__ import annotations

from tests.conversation_driver import Driver, plan

from voicelive_agent import _wire as wire
from voicelive_agent.events import State

IMAGE = {"type": "input_image", "image_url": "data:image/png;base64,AA==", "detail": "low"}


def test_a_text_that_is_only_to_be_known_asks_for_nothing() -> None:
    talk = Driver().start()
    talk.feed(talk.core.send_text, "The visitor is a child.", respond=False)
    assert talk.asked(last=True) == ["conversation.item.create"]
    assert talk.state() is State.READY
    assert [item.text for item in talk.core.history] == ["The visitor is a child."]


def test_it_leaves_a_failed_turn_as_it_is() -> None:
    talk = Driver().start()
    talk.user_speaks()
    talk.created()
    talk.done(status="failed")
    talk.feed(talk.core.send_text, "x", respond=False)
    assert talk.state() is State.ERROR
    talk.type("y")
    assert talk.state() is State.PROCESSING


def test_what_comes_before_the_session_waits_for_it() -> None:
    talk = Driver(plan(turn_detection=None))
    talk.feed(talk.core.send_text, "x", respond=False)
    talk.type("y")
    assert talk.asked() == []
    talk.start()
    created, create = ["conversation.item.create"] * 2, ["response.create"]
    assert talk.asked() == ["session.update", *created, *create]


def test_an_image_is_an_item_with_its_text() -> None:
    talk = Driver().start()
    content = [{"type": "input_text", "text": "What is it?"}, IMAGE]
    talk.feed(talk.core.send_content, content, "What is it? [image/png, 1 bytes]")
    (item,) = talk.all(wire.CreateItem)
    assert (item.item["role"], item.item["content"]) == ("user", content)
    assert [entry.text for entry in talk.core.history] == ["What is it? [image/png, 1 bytes]"]
    assert talk.state() is State.PROCESSING


def test_one_answer_covers_what_comes_together() -> None:
    talk = Driver().start()
    talk.user_begins()
    talk.feed(talk.core.send_content, [IMAGE], "an image")
    talk.type("What is it?")
    talk.user_ends()
    talk.transcript("")
    assert talk.asked(last=True) == ["response.create"]
    talk.granted()
    talk.done()
    assert talk.asked().count("response.create") == 1


def test_text_while_the_agent_speaks_waits_and_does_not_silence_it() -> None:
    talk = Driver().start()
    talk.user_speaks()
    talk.created()
    talk.audio(2_000)
    talk.type("And now?")
    assert talk.asked(last=True) == ["conversation.item.create"]
    assert talk.pending > 0
    talk.done()
    assert talk.asked(last=True) == ["response.create"]


def test_nothing_is_typed_after_the_end() -> None:
    talk = Driver().start()
    talk.close()
    assert talk.type("x") == []
