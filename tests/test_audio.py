"""Formats, and the choice of what goes over the wire."""

from __future__ import annotations

import pytest

from voicelive_agent.audio import AudioFormat, Encoding, WireFormats, negotiate, samples_to_ms

PHONE_ULAW = AudioFormat("g711_ulaw", 8_000)
PHONE_ALAW = AudioFormat("g711_alaw", 8_000)


def pcm(rate: int, channels: int = 1) -> AudioFormat:
    return AudioFormat("pcm16", rate, channels)


def test_the_default_format_is_the_service_s() -> None:
    assert AudioFormat() == pcm(24_000)


@pytest.mark.parametrize(
    ("encoding", "channels", "frame_bytes", "text"),
    [
        ("pcm16", 1, 2, "pcm16 16000 Hz"),
        ("pcm16", 2, 4, "pcm16 16000 Hz x2"),
        ("g711_ulaw", 1, 1, "g711_ulaw 16000 Hz"),
        ("g711_alaw", 3, 3, "g711_alaw 16000 Hz x3"),
    ],
)
def test_a_format_knows_its_frames(encoding: Encoding, channels: int, frame_bytes: int, text: str) -> None:
    audio = AudioFormat(encoding, 16_000, channels)
    assert audio.frame_bytes == frame_bytes
    assert str(audio) == text


def test_an_unknown_encoding_names_those_that_there_are() -> None:
    with pytest.raises(ValueError, match="'mp3': use pcm16, g711_ulaw or g711_alaw"):
        AudioFormat("mp3")  # type: ignore[arg-type]


@pytest.mark.parametrize(("rate", "channels"), [(0, 1), (-1, 1), (8_000, 0)])
def test_rate_and_channels_are_positive(rate: int, channels: int) -> None:
    with pytest.raises(ValueError, match=f"positive, not {rate} Hz, {channels} channels"):
        pcm(rate, channels)


# Native format -> the wire's towards the service; the wire's from the service with a voice of Azure; of OpenAI.
NEGOTIATED = [
    (None, pcm(24_000), pcm(24_000), pcm(24_000)),
    (PHONE_ULAW, PHONE_ULAW, PHONE_ULAW, PHONE_ULAW),
    (PHONE_ALAW, PHONE_ALAW, PHONE_ALAW, PHONE_ALAW),
    (AudioFormat("g711_ulaw", 8_000, 2), pcm(8_000), pcm(8_000), pcm(24_000)),
    (AudioFormat("g711_ulaw", 16_000), pcm(16_000), pcm(16_000), pcm(24_000)),
    (pcm(6_000), pcm(8_000), pcm(8_000), pcm(24_000)),
    (pcm(8_000), pcm(8_000), pcm(8_000), pcm(24_000)),
    (pcm(11_025), pcm(16_000), pcm(16_000), pcm(24_000)),
    (pcm(16_000), pcm(16_000), pcm(16_000), pcm(24_000)),
    (pcm(16_000, 2), pcm(16_000), pcm(16_000), pcm(24_000)),
    (pcm(22_050), pcm(24_000), pcm(24_000), pcm(24_000)),
    (pcm(24_000), pcm(24_000), pcm(24_000), pcm(24_000)),
    (pcm(44_100), pcm(24_000), pcm(24_000), pcm(24_000)),
    (pcm(48_000, 2), pcm(24_000), pcm(24_000), pcm(24_000)),
]


@pytest.mark.parametrize(("native", "to_service", "azure", "openai"), NEGOTIATED, ids=lambda value: str(value))
def test_negotiation(
    native: AudioFormat | None, to_service: AudioFormat, azure: AudioFormat, openai: AudioFormat
) -> None:
    assert negotiate(native, None, openai_voice=False) == WireFormats(to_service, pcm(24_000))
    assert negotiate(native, None, openai_voice=True) == WireFormats(to_service, pcm(24_000))
    assert negotiate(None, native, openai_voice=False) == WireFormats(pcm(24_000), azure)
    assert negotiate(None, native, openai_voice=True) == WireFormats(pcm(24_000), openai)


@pytest.mark.parametrize(
    ("wire", "input_format", "input_rate", "output_format"),
    [
        (pcm(24_000), "pcm16", 24_000, "pcm16"),
        (pcm(16_000), "pcm16", 16_000, "pcm16_16000hz"),
        (pcm(8_000), "pcm16", 8_000, "pcm16_8000hz"),
        (PHONE_ULAW, "g711_ulaw", 8_000, "g711_ulaw"),
        (PHONE_ALAW, "g711_alaw", 8_000, "g711_alaw"),
    ],
    ids=str,
)
def test_the_session_s_fields(wire: AudioFormat, input_format: str, input_rate: int, output_format: str) -> None:
    wires = WireFormats(input=wire, output=wire)
    assert wires.input_audio_format == input_format
    assert wires.input_audio_sampling_rate == input_rate
    assert wires.output_audio_format == output_format


@pytest.mark.parametrize(
    "impossible",
    [pcm(48_000), pcm(24_000, 2), AudioFormat("g711_ulaw", 16_000), AudioFormat("g711_alaw")],
    ids=str,
)
def test_what_the_service_does_not_have_is_refused(impossible: AudioFormat) -> None:
    with pytest.raises(ValueError, match=f"the service has no {impossible}"):
        WireFormats(pcm(24_000), impossible)
    if impossible != pcm(24_000, 2):  # with an echo reference
        with pytest.raises(ValueError, match=f"the service has no {impossible}"):
            WireFormats(impossible, pcm(24_000))


@pytest.mark.parametrize("impossible", [pcm(24_000, 3), AudioFormat("g711_ulaw", 8_000, 2)], ids=str)
def test_an_echo_reference_is_one_channel_of_pcm(impossible: AudioFormat) -> None:
    with pytest.raises(ValueError, match=f"the service has no {impossible}"):
        WireFormats(impossible, pcm(24_000))


@pytest.mark.parametrize(
    ("native", "wire"), [(16_000, 16_000), (24_000, 24_000), (48_000, 24_000), (6_000, 8_000)]
)
def test_both_channels_of_an_echo_reference_go_to_the_service(native: int, wire: int) -> None:
    wires = negotiate(pcm(native, 2), None, openai_voice=False, echo_reference=True)
    assert wires == WireFormats(pcm(wire, 2), pcm(24_000))
    assert (wires.input_audio_format, wires.input_audio_sampling_rate) == ("pcm16", wire)


@pytest.mark.parametrize(
    "native", [None, pcm(24_000), pcm(24_000, 3), AudioFormat("g711_alaw", 8_000, 2)], ids=str
)
def test_an_echo_reference_needs_a_second_channel(native: AudioFormat | None) -> None:
    with pytest.raises(ValueError, match=f"second of two channels of pcm16, and the source is {native}"):
        negotiate(native, None, openai_voice=False, echo_reference=True)


def test_milliseconds_are_rounded_down() -> None:
    assert samples_to_ms(24_000, 24_000) == 1_000
    assert samples_to_ms(23, 24_000) == 0
    assert samples_to_ms(47, 24_000) == 1
