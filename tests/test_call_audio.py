"""What a source and a sink make of a session, without any call."""

from __future__ import annotations

from typing import Any

import pytest

from voicelive_agent._call_audio import check_audio, with_audio
from voicelive_agent.audio import AudioFormat, WireFormats
from voicelive_agent.errors import ConfigurationError
from voicelive_agent.testing import MemorySink, MemorySource

STEREO = AudioFormat(channels=2)
ULAW = AudioFormat("g711_ulaw", 8_000)
REFERENCE = {"type": "server_echo_cancellation", "reference_source": "client", "channels": 2}


class Room(MemorySource):
    """A microphone that hears the agent too, and says what is to be done about it."""

    def __init__(self, echo: str | None, format: AudioFormat | None = None) -> None:
        super().__init__(format=format)
        self.echo_cancellation = echo


def fitted(source: Any, sink: Any, **session: Any) -> tuple[dict[str, Any], WireFormats]:
    return with_audio({"voice": "v"} | session, source, sink, openai_voice=False)


def test_the_formats_are_those_of_both_ends() -> None:
    given = {"voice": "v", "input_audio_format": "pcm16"}
    source, sink = MemorySource(format=ULAW), MemorySink(AudioFormat(rate=16_000))
    session, formats = with_audio(given, source, sink, openai_voice=False)
    assert session == {
        "voice": "v",
        "input_audio_format": "g711_ulaw",
        "input_audio_sampling_rate": 8_000,
        "output_audio_format": formats.output_audio_format,
    }
    assert (formats.input, formats.output) == (ULAW, AudioFormat(rate=16_000))
    assert given == {"voice": "v", "input_audio_format": "pcm16"}, "it is not changed in place"
    assert with_audio({}, source, sink, openai_voice=True)[1].output == AudioFormat()


@pytest.mark.parametrize(
    ("name", "asked", "end"),
    [
        ("input_audio_format", "g711_alaw", "source"),
        ("input_audio_sampling_rate", 16_000, "source"),
        ("output_audio_format", "g711_alaw", "sink"),
    ],
)
def test_another_format_than_that_of_the_end_is_refused(name: str, asked: object, end: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{name}={asked!r}: with this call's {end} it is") as refused:
        fitted(MemorySource(), MemorySink(), **{name: asked})
    assert f"it follows from the {end}" in refused.value.hint
    fitted(None, None, **{name: asked})


def test_without_a_sink_answers_are_text_and_there_is_no_echo() -> None:
    session, _ = fitted(Room("server"), None)
    assert session["modalities"] == ["text"]
    assert "input_audio_echo_cancellation" not in session


def test_a_source_says_what_is_to_be_done_about_echo_unless_the_configuration_does() -> None:
    session, formats = fitted(Room("server"), MemorySink())
    assert session["input_audio_echo_cancellation"] == REFERENCE | {"reference_source": "server", "channels": 1}
    assert formats.input.channels == 1
    session, _ = fitted(Room("server"), MemorySink(), input_audio_echo_cancellation={"type": "x"})
    assert session["input_audio_echo_cancellation"] == {"type": "x"}
    for source in (None, MemorySource(), Room(None)):
        assert "input_audio_echo_cancellation" not in fitted(source, MemorySink())[0]


def test_an_echo_reference_is_the_second_channel_on_the_wire() -> None:
    session, formats = fitted(Room("client", STEREO), MemorySink())
    assert session["input_audio_echo_cancellation"] == REFERENCE
    assert formats.input == STEREO


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (None, "there is no source"),
        (MemorySource(), "the source has"),
        (MemorySource(format=AudioFormat("g711_ulaw", 8_000, 2)), "the source has"),
    ],
)
def test_an_echo_reference_needs_a_second_channel(source: Any, words: str) -> None:
    with pytest.raises(ConfigurationError, match=f"the second of two channels of pcm16, and {words}"):
        fitted(source, MemorySink(), input_audio_echo_cancellation=REFERENCE)


@pytest.mark.parametrize("sink", [None, MemorySink()])
def test_an_echo_reference_that_the_session_does_not_take_is_refused(sink: Any) -> None:
    with pytest.raises(ConfigurationError, match="the session takes none"):
        fitted(Room("client", STEREO), sink, input_audio_echo_cancellation=None)


@pytest.mark.parametrize("wrong", ["speech.wav", object(), MemorySink()])
def test_what_is_no_source(wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match="The source is no source of audio") as refused:
        check_audio(wrong, None)
    assert "FileSource" in refused.value.hint


@pytest.mark.parametrize("wrong", ["speech.wav", object(), MemorySource()])
def test_what_is_no_sink(wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match="The sink is no sink for audio") as refused:
        check_audio(None, wrong)
    assert "WavSink" in refused.value.hint


def test_both_ends_may_be_missing_and_what_is_there_is_no_matter_of_its_class() -> None:
    check_audio(None, None)
    check_audio(MemorySource(), MemorySink())
