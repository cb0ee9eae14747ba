"""Spoken turns: turn detection, manual turns, transcripts."""

from __future__ import annotations

import base64

import pytest

from voicelive_agent.emulator import EnergyEars, Options, ScriptedBrain, Transcript
from voicelive_agent.emulator.protocols import Word

from .driver import Driver, Event, every, noise, only, silence, types

STARTED, STOPPED = "input_audio_buffer.speech_started", "input_audio_buffer.speech_stopped"
COMPLETED = "conversation.item.input_audio_transcription.completed"
FAILED = "conversation.item.input_audio_transcription.failed"


class FailingEars(EnergyEars):
    def transcribe(self, pcm: bytes, *, language: str | None = None) -> Transcript:
        raise RuntimeError("the ears are blocked")


def manual(**settings: object) -> Driver:
    driver = Driver(**settings)
    driver.update(turn_detection=None)
    return driver


# --- Turn detection ---------------------------------------------------------------------------------------


def test_the_clock_of_speech_is_the_appended_audio() -> None:
    driver = Driver()
    driver.wait(3600)
    driver.append(silence(1.0) + noise(1.0) + silence(1.0))
    started, stopped = only(driver.events, STARTED), only(driver.events, STOPPED)
    # Onset at 1000 ms less 400 ms of padding; the end at 2000 ms and 500 ms of silence.
    assert started["audio_start_ms"] == pytest.approx(600, abs=32)
    assert stopped["audio_end_ms"] == pytest.approx(2500, abs=64)
    assert started["item_id"] == stopped["item_id"]


def test_the_clock_runs_on_across_turns() -> None:
    driver = Driver()
    driver.speak()
    second = driver.speak()
    assert only(second, STARTED)["audio_start_ms"] == pytest.approx(2300 + 500 - 400, abs=64)


@pytest.mark.parametrize("rate", [8000, 16000, 24000, 44100])
def test_times_do_not_depend_on_the_sample_rate(rate: int) -> None:
    driver = Driver()
    driver.update(input_audio_sampling_rate=rate)
    driver.append(silence(1.0, rate) + noise(1.0, rate) + silence(1.0, rate), piece=rate // 25 * 2)
    assert only(driver.events, STARTED)["audio_start_ms"] == pytest.approx(600, abs=32)
    assert only(driver.events, STOPPED)["audio_end_ms"] == pytest.approx(2500, abs=64)


@pytest.mark.parametrize("format", ["g711_ulaw", "g711_alaw"])
def test_g711_is_heard_at_8_khz(format: str) -> None:
    from voicelive_agent._pcm import pcm_to_alaw, pcm_to_ulaw

    encode = pcm_to_ulaw if format == "g711_ulaw" else pcm_to_alaw
    driver = Driver()
    driver.update(input_audio_format=format)
    driver.append(encode(silence(1.0, 8000) + noise(1.0, 8000) + silence(1.0, 8000)), piece=160)
    assert only(driver.events, STARTED)["audio_start_ms"] == pytest.approx(600, abs=32)


@pytest.mark.parametrize(
    "type", ["server_vad", "azure_semantic_vad", "azure_semantic_vad_en", "azure_semantic_vad_multilingual"]
)
def test_every_kind_of_turn_detection_honours_its_numbers(type: str) -> None:
    driver = Driver()
    driver.update(turn_detection={"type": type, "prefix_padding_ms": 96, "silence_duration_ms": 960})
    driver.append(silence(1.0) + noise(1.0) + silence(1.2))
    started, stopped = only(driver.events, STARTED), only(driver.events, STOPPED)
    assert started["audio_start_ms"] == pytest.approx(1000 - 96, abs=32)
    assert stopped["audio_end_ms"] == pytest.approx(2000 + 960, abs=64)
    assert started["audio_start_ms"] % 32 == stopped["audio_end_ms"] % 32 == 0


def test_speech_shorter_than_the_speech_duration_is_none() -> None:
    driver = Driver()
    driver.update(turn_detection={"type": "azure_semantic_vad", "speech_duration_ms": 500})
    driver.append(silence(0.5) + noise(0.3) + silence(0.5))
    assert STARTED not in types(driver.events)
    driver.append(silence(0.5) + noise(0.6))
    assert STARTED in types(driver.events)


def test_a_threshold_above_the_speech_hears_nothing() -> None:
    driver = Driver()
    driver.update(turn_detection={"type": "server_vad", "threshold": 1.0})
    driver.append(silence(0.5) + noise(1.0, level=300) + silence(0.8))
    assert STARTED not in types(driver.events)


def test_without_silence_a_turn_never_ends() -> None:
    driver = Driver()
    driver.append(silence(0.5) + noise(1.0))
    driver.wait(60)
    assert STARTED in types(driver.events)
    assert STOPPED not in types(driver.events)


def test_the_start_is_never_before_the_first_audio_nor_before_the_last_turn() -> None:
    driver = Driver()
    driver.update(turn_detection={"type": "server_vad", "prefix_padding_ms": 2000, "silence_duration_ms": 100})
    driver.append(noise(0.5) + silence(0.2) + noise(0.5) + silence(0.2))
    starts = [event["audio_start_ms"] for event in every(driver.events, STARTED)]
    ends = [event["audio_end_ms"] for event in every(driver.events, STOPPED)]
    assert starts[0] == 0
    assert starts[1] == ends[0]


def test_create_response_false_leaves_the_answer_to_the_client() -> None:
    driver = Driver()
    driver.update(turn_detection={"type": "server_vad", "create_response": False})
    events = driver.speak()
    assert types(events)[-1] == "conversation.item.created"
    assert "response.created" not in types(events)
    assert only(driver.ask("response.create"), "response.done")["response"]["status"] == "completed"


def test_a_large_append_is_processed_in_parts() -> None:
    driver = Driver()
    driver.settle()
    pcm = silence(0.5) + noise(1.0) + silence(3.5)
    driver.session.receive(
        '{"type": "input_audio_buffer.append", "audio": "' + base64.b64encode(pcm).decode() + '"}', driver.now
    )
    polls = 1
    seen: list[Event] = driver.session.poll(driver.now)
    while driver.session.deadline == driver.now:
        seen += driver.session.poll(driver.now)
        polls += 1
    assert polls > 5
    assert types(seen)[:3] == [STARTED, STOPPED, "input_audio_buffer.committed"]


def test_what_follows_a_large_append_waits_for_it() -> None:
    driver = manual()
    audio = base64.b64encode(noise(1.0) * 30).decode()
    driver.session.receive('{"type": "input_audio_buffer.append", "audio": "' + audio + '"}', driver.now)
    driver.session.receive('{"type": "input_audio_buffer.commit"}', driver.now)
    assert types(driver.session.poll(driver.now)) == []
    assert "input_audio_buffer.committed" in types(driver.settle())


def test_an_empty_transcript_gets_no_answer_from_a_cascade() -> None:
    events = Driver(ears=EnergyEars([""])).speak()
    assert only(events, COMPLETED)["transcript"] == ""
    assert types(events)[-1] == "conversation.item.created"


def test_a_failing_listener_ends_the_session_with_an_error() -> None:
    class DeafListener:
        def probability(self, frame: bytes) -> float:
            raise RuntimeError("no ears")

    class DeafEars(EnergyEars):
        def listener(self) -> DeafListener:  # type: ignore[override]
            return DeafListener()

    driver = Driver(ears=DeafEars())
    driver.append(silence(0.1))
    error = only(driver.events, "error")["error"]
    assert (error["type"], error["message"]) == ("server_error", "Turn detection failed. RuntimeError: no ears")
    assert driver.session.closing == (1011, "server_error")
    assert driver.ask("response.create") == []


# --- Manual turns -----------------------------------------------------------------------------------------


def test_manual_cascade_turn() -> None:
    driver = manual(ears=EnergyEars(["hello there"]))
    driver.append(silence(0.2) + noise(0.5))
    assert driver.settle() == []
    events = driver.ask("input_audio_buffer.commit")
    assert types(events) == ["input_audio_buffer.committed", COMPLETED, "conversation.item.created"]
    assert events[1]["transcript"] == "hello there"
    assert only(driver.ask("response.create"), "response.audio_transcript.done")["transcript"].endswith(
        "hello there"
    )


def test_manual_realtime_turn() -> None:
    driver = manual(model="gpt-realtime", ears=EnergyEars(["hello there"]))
    driver.append(silence(0.2) + noise(0.5))
    events = driver.ask("input_audio_buffer.commit")
    assert types(events)[:2] == ["input_audio_buffer.committed", "conversation.item.created"]
    assert COMPLETED not in types(events)
    # Not transcribed for the client, but heard all the same.
    answer = only(driver.ask("response.create"), "response.audio_transcript.done")
    assert answer["transcript"] == "I heard: hello there"


def test_an_answer_asked_for_right_after_the_commit_waits_for_the_words() -> None:
    driver = manual(ears=EnergyEars(["hello there"]), options=Options(latency="service"))
    driver.append(silence(0.2) + noise(0.5))
    start = len(driver.log)
    driver.send("input_audio_buffer.commit")
    driver.send("response.create")
    driver.settle()
    names = types(driver.events[start:])
    assert names.index("response.created") > names.index("conversation.item.created") > names.index(COMPLETED)


def test_less_than_100_ms_cannot_be_committed() -> None:
    driver = manual()
    driver.append(noise(0.09))
    error = only(driver.ask("input_audio_buffer.commit", event_id="mine"), "error")["error"]
    assert error["code"] == "input_audio_buffer_commit_empty"
    assert error["event_id"] == "mine"
    driver.append(noise(0.01))
    assert "input_audio_buffer.committed" in types(driver.ask("input_audio_buffer.commit"))


def test_clear_forgets_the_buffer() -> None:
    driver = manual()
    driver.append(noise(0.5))
    assert types(driver.ask("input_audio_buffer.clear")) == ["input_audio_buffer.cleared"]
    assert only(driver.ask("input_audio_buffer.commit"), "error")


def test_clear_ends_an_open_turn_without_a_stop() -> None:
    driver = Driver()
    driver.append(silence(0.5) + noise(0.5))
    assert types(driver.ask("input_audio_buffer.clear")) == ["input_audio_buffer.cleared"]
    driver.append(silence(1.0))
    assert STOPPED not in types(driver.events)


def test_a_commit_during_detected_speech_takes_its_item() -> None:
    driver = Driver()
    driver.append(silence(0.5) + noise(0.5))
    started = only(driver.events, STARTED)
    committed = only(driver.ask("input_audio_buffer.commit"), "input_audio_buffer.committed")
    assert committed["item_id"] == started["item_id"]


def test_undocumented_audio_turns_use_the_same_buffer() -> None:
    driver = manual()
    audio = base64.b64encode(noise(0.5)).decode()
    driver.send("input_audio.turn.start", turn_id="u1")
    driver.send("input_audio.turn.append", turn_id="u1", audio=audio)
    assert "input_audio_buffer.committed" in types(driver.ask("input_audio.turn.end", turn_id="u1"))
    driver.send("input_audio.turn.start", turn_id="u2")
    driver.send("input_audio.turn.start", turn_id="u2")
    driver.send("input_audio.turn.append", turn_id="u2", audio=audio)
    assert types(driver.ask("input_audio.turn.cancel", turn_id="u2")) == ["input_audio_buffer.cleared"]
    assert types(driver.ask("input_audio.clear")) == ["input_audio_buffer.cleared"]


# --- Transcripts ------------------------------------------------------------------------------------------


def test_failed_transcription_on_a_cascade_is_told_and_not_answered() -> None:
    events = Driver(ears=FailingEars()).speak()
    error = only(events, FAILED)["error"]
    assert "the ears are blocked" in error["message"]
    assert "response.created" not in types(events)


def test_failed_transcription_on_a_realtime_model_is_told_and_answered() -> None:
    driver = Driver(model="gpt-realtime", ears=FailingEars())
    driver.update(input_audio_transcription={"model": "whisper-1"})
    events = driver.speak()
    assert "the ears are blocked" in only(events, FAILED)["error"]["message"]
    assert only(events, "response.done")["response"]["status"] == "completed"


def test_failed_hearing_is_an_error_where_no_transcripts_were_asked_for() -> None:
    events = Driver(model="gpt-realtime", ears=FailingEars()).speak()
    assert "the ears are blocked" in only(events, "error")["error"]["message"]


def test_azure_speech_on_a_realtime_model_has_no_transcript_deltas() -> None:
    driver = Driver(model="gpt-realtime", ears=EnergyEars(["bonjour"]))
    driver.update(
        turn_detection={"type": "azure_semantic_vad"}, input_audio_transcription={"model": "azure-speech"}
    )
    events = driver.speak()
    assert only(events, COMPLETED)["transcript"] == "bonjour"
    assert not [each for each in types(events) if each.endswith("transcription.delta")]
    # With Azure's turn detection the service makes the id, and nothing leaks from the model behind.
    assert "conversation.item.done" not in types(events)


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("whisper-1", ["bonjour à tous"]),
        ("gpt-4o-transcribe", ["bonjour", " à", " tous"]),
        ("gpt-4o-mini-transcribe", ["bonjour", " à", " tous"]),
        ("mai-transcribe-1", []),
    ],
)
def test_deltas_come_from_openais_transcribers(model: str, expected: list[str]) -> None:
    driver = Driver(model="gpt-realtime", ears=EnergyEars(["bonjour à tous"]))
    driver.update(input_audio_transcription={"model": model})
    events = driver.speak()
    assert [event["delta"] for event in every(events, COMPLETED.replace("completed", "delta"))] == expected
    assert only(events, COMPLETED)["transcript"] == "bonjour à tous"


PHRASES, LOGPROBS = (f"item.input_audio_transcription.{name}" for name in ("phrases", "logprobs"))


def test_phrases_and_log_probabilities_only_if_asked_for() -> None:
    assert {"phrases", "logprobs"}.isdisjoint(only(Driver().speak(), COMPLETED))


def test_phrases_are_sentences_whose_words_have_times() -> None:
    driver = Driver(ears=EnergyEars(["Good morning. How are you"]))
    driver.update(include=[PHRASES])
    completed = only(driver.speak(1.0), COMPLETED)
    first, second = completed["phrases"]
    assert (first["text"], second["text"]) == ("Good morning.", "How are you")
    assert [word["text"] for word in second["words"]] == ["How", "are", "you"]
    assert first["locale"] == "en-US"
    # Estimated: spread over what is loud, one second after the prefix padding of 400 ms.
    assert first["offset_milliseconds"] == pytest.approx(400, abs=64)
    last = second["words"][-1]
    assert last["offset_milliseconds"] + last["duration_milliseconds"] == pytest.approx(1400, abs=100)
    assert first["offset_milliseconds"] + first["duration_milliseconds"] <= second["offset_milliseconds"]


def test_ears_that_know_the_times_of_the_words_are_asked_for_them() -> None:
    class Exact(EnergyEars):
        def transcribe_words(self, pcm: bytes, *, language: str | None = None) -> Transcript:
            return Transcript("Oh no.", "en-GB", [Word("Oh", 410.4, 600, 0.5), Word("no.", 700, 910, 0.125)])

    driver = Driver(model="gpt-realtime", ears=Exact())
    driver.update(
        include=[PHRASES, LOGPROBS], input_audio_transcription={"model": "gpt-4o-transcribe", "language": "en"}
    )
    events = driver.speak()
    completed = only(events, COMPLETED)
    assert completed["phrases"] == [
        {
            "offset_milliseconds": 410,
            "duration_milliseconds": 500,
            "text": "Oh no.",
            "words": [
                {"text": "Oh", "offset_milliseconds": 410, "duration_milliseconds": 190},
                {"text": "no.", "offset_milliseconds": 700, "duration_milliseconds": 210},
            ],
            "locale": "en-GB",
            "confidence": 0.25,
        }
    ]
    assert completed["logprobs"] == [
        {"token": "Oh", "logprob": -0.6931, "bytes": [79, 104]},
        {"token": " no.", "logprob": -2.0794, "bytes": [32, 110, 111, 46]},
    ]
    deltas = every(events, COMPLETED.replace("completed", "delta"))
    assert [delta["logprobs"] for delta in deltas] == [[each] for each in completed["logprobs"]]


def test_silence_has_no_phrases() -> None:
    driver = Driver(ears=EnergyEars([""]))
    driver.update(include=[PHRASES, LOGPROBS])
    completed = only(driver.speak(), COMPLETED)
    assert (completed["phrases"], completed["logprobs"]) == ([], [])


def test_the_language_asked_for_reaches_the_ears() -> None:
    class Polyglot(EnergyEars):
        asked: str | None = ""

        def transcribe(self, pcm: bytes, *, language: str | None = None) -> Transcript:
            self.asked = language
            return Transcript("hallo", "de-DE")

    ears = Polyglot()
    driver = Driver(ears=ears)
    driver.update(input_audio_transcription={"model": "azure-speech", "language": "de"})
    assert only(driver.speak(), COMPLETED)["language"] == "de-DE"
    assert ears.asked == "de"


def test_the_first_api_version_has_no_language() -> None:
    events = Driver(query={"api-version": "2025-10-01"}).speak()
    assert "language" not in only(events, COMPLETED)


def test_utterances_are_transcribed_in_order_one_at_a_time() -> None:
    driver = Driver(ears=EnergyEars(["first", "second"]))
    driver.update(turn_detection={"type": "server_vad", "create_response": False})
    sound = base64.b64encode(silence(0.5) + noise(0.5) + silence(0.7)).decode()
    for _ in range(2):
        message = '{"type": "input_audio_buffer.append", "audio": "' + sound + '"}'
        driver.session.receive(message, driver.now)
    while driver.session.deadline is not None:
        driver.session.poll(driver.now)
    jobs = driver.session.jobs()
    assert [job.kind for job in jobs] == ["transcribe"]
    driver.session.finish(jobs[0], jobs[0].run(), driver.now)
    events = driver.settle()
    assert [event["transcript"] for event in every(events, COMPLETED)] == ["first", "second"]


def test_audio_inside_an_item_is_heard() -> None:
    driver = Driver(ears=EnergyEars(["from the item"]))
    part = {"type": "input_audio", "audio": base64.b64encode(noise(0.5)).decode()}
    events = driver.ask("conversation.item.create", item={"type": "message", "role": "user", "content": [part]})
    assert types(events) == ["session.created", "conversation.item.created"]
    assert only(events, "conversation.item.created")["item"]["content"] == [
        {"type": "input_audio", "transcript": None}
    ]
    answer = only(driver.ask("response.create"), "response.audio_transcript.done")
    assert answer["transcript"] == "I heard: from the item"


def test_wrong_plug_ins_are_told_apart_from_silence() -> None:
    class Mumbling(EnergyEars):
        def transcribe(self, pcm: bytes, *, language: str | None = None) -> Transcript:
            return "words"  # type: ignore[return-value]

    events = Driver(ears=Mumbling(), brain=ScriptedBrain()).speak()
    assert "must return a Transcript" in only(events, FAILED)["error"]["message"]
