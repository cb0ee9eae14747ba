"""``voicelive-agent emulator``: every option does what it says, and what contradicts another is refused."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import re
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from voicelive_agent import cli
from voicelive_agent.emulator import Options, ScriptedBrain, serve
from voicelive_agent.emulator.faults import FaultScript
from voicelive_agent.emulator.speech import missing_packages
from voicelive_agent.errors import ConfigurationError

from .test_cli import EMULATOR, url_in
from .test_lifecycle import SIGNALS, ended, line_with, program

PATH = "/voice-live/realtime?api-version=2026-07-15&model="
DOCS = Path(__file__).parents[1] / "docs"
GUIDE, REFERENCE = DOCS / "how-to" / "emulator.md", DOCS / "reference"
Event = dict[str, Any]


# --- what is refused -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--host", "0.0.0.0"], "add --allow-remote"),
        (["--scripted", "--voice", "joe"], "--scripted and --voice contradict each other"),
        (["--scripted", "--ears-model", "base"], "--scripted and --ears-model contradict each other"),
        (["--script", "a.yaml", "--brain", "echo"], "--script and --brain contradict each other"),
        (["--replay", "a.jsonl", "--script", "a.yaml"], "--replay and --script contradict each other"),
        (["--replay", "a.jsonl", "--latency", "service"], "--replay and --latency contradict each other"),
        (["--proxy", "https://x", "--replay", "a.jsonl"], "--proxy and --replay contradict each other"),
        (["--proxy", "https://x", "--faults", "a.json"], "--proxy and --faults contradict each other"),
        (["--proxy", "https://x", "--control"], "--proxy and --control contradict each other"),
        (["--proxy", "https://x", "--api-key", "k"], "--proxy and --api-key contradict each other"),
        (["--proxy", "https://x", "--second-create", "cancel"], "--proxy and --second-create contradict"),
        (
            ["--replay", "a.jsonl", "--error-event-ids", "no"],
            "--replay and --error-event-ids contradict",
        ),
        (["--proxy", "https://x", "--update-first"], "--proxy and --update-first contradict each other"),
        (["--proxy", "https://x", "--pace", "2"], "--proxy and --pace contradict each other"),
        (["--brain", "clever"], "There is no brain 'clever'. It is rules, echo, or the URL"),
        (["--brain", "http://127.0.0.1:1/v1"], "Name it with --brain-model."),
        (["--brain", "echo", "--brain-model", "m"], "--brain-model is the model of an endpoint"),
        (["--speed", "2"], "Add --latency service."),
        (["--scripted", "--script", "no such.yaml"], "no such.yaml"),
        (["--scripted", "--faults", "no such fault"], "There is no fault script 'no such fault'"),
        (["--replay", "no such.jsonl"], "Cannot read no such.jsonl"),
        (["--proxy", "nonsense"], "nonsense"),
        (["--scripted", "--log-events", "no such folder/x.log"], "Name another file with --log-events."),
        (["--scripted", "--host", "203.0.113.9", "--allow-remote"], "Choose others with --host and --port."),
    ],
)
def test_what_cannot_be_is_one_clear_line(
    options: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["emulator", "--port", "0", *options]) == 2
    errors = capsys.readouterr().err
    assert sentence in errors
    assert errors.count("\n") == 1


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--pace", "slow"], "invalid pace (realtime, fast, or a number above 0) value: 'slow'"),
        (["--pace", "0"], "invalid pace"),
        (["--speed", "-1"], "invalid number above 0 value: '-1'"),
        (["--max-session-s", "inf"], "invalid number above 0 value: 'inf'"),
        (["--profile", "other"], "cascade"),
        (["--api-version", "latest"], "invalid API version (like 2026-07-15) value: 'latest'"),
        (["--agent-failure", "other"], "initialization"),
    ],
)
def test_what_is_no_value_is_wrong_usage(
    options: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit:
        cli.main(["emulator", *options])
    assert exit.value.code == 2
    assert sentence in capsys.readouterr().err


def test_a_script_with_words_of_its_own_needs_no_other_ears(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("yaml", reason="not installed: pyyaml")
    script = tmp_path / "a.yaml"
    script.write_text("transcripts: [hello]\nrules:\n  - {when: anything, say: Good day.}\n", encoding="utf-8")
    assert cli.main(["emulator", "--port", "0", "--script", str(script), "--ears-model", "base"]) == 2
    assert "has transcripts of its own" in capsys.readouterr().err


# --- Options, in Python and on the command line ----------------------------------------------------------------

FLAGS = {
    "profile": (["--profile", "realtime"], "realtime"),
    "api_version": (["--api-version", "2025-10-01"], "2025-10-01"),
    "latency": (["--latency", "service"], "service"),
    "speed": (["--latency", "service", "--speed", "2"], 2.0),
    "realtime_factor": (["--pace", "realtime"], 1.0),
    "refuse_truncation": (["--refuse-truncation", "no"], False),
    "update": (["--update", "deep"], "deep"),
    "model_update": (["--model-update", "error"], "error"),
    "update_first": (["--update-first"], True),
    "fixed_turn_detection": (["--fixed-turn-detection"], True),
    "second_create": (["--second-create", "cancel"], "cancel"),
    "unknown_call": (["--unknown-call", "accept"], "accept"),
    "error_event_ids": (["--error-event-ids", "no"], False),
    "agent_failure": (["--agent-failure", "message"], "message"),
    "max_session_s": (["--max-session-s", "2"], 2.0),
}
WITHOUT_FLAG = {"noise_suppression_doubles": "--faults transcript-twice does it, to every client"}


def served_with(monkeypatch: pytest.MonkeyPatch, *options: str) -> Options:
    """What the command would serve with."""
    given: list[Options] = []

    def serving(*_: Any, options: Options, **__: Any) -> Any:
        given.append(options)
        raise ConfigurationError("Enough.")

    monkeypatch.setattr("voicelive_agent.cli.emulator.serve", serving)
    assert cli.main(["emulator", "--scripted", "--no-view", *options]) == 2
    return given[0]


@pytest.mark.parametrize("name", FLAGS)
def test_a_flag_sets_its_option_and_no_other(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    words, value = FLAGS[name]
    with monkeypatch.context() as patch:
        assert served_with(patch) == Options()
    expected = Options(**{"latency": "service", name: value} if name == "speed" else {name: value})
    assert served_with(monkeypatch, *words) == expected


def test_every_option_has_a_flag_or_a_reason_and_a_row_in_the_reference() -> None:
    names = [each.name for each in dataclasses.fields(Options)]
    assert sorted(names) == sorted([*FLAGS, *WITHOUT_FLAG])
    rows = (REFERENCE / "emulator.md").read_text(encoding="utf-8")
    assert [name for name in names if f"| `{name}` |" not in rows] == []
    assert [name for name in WITHOUT_FLAG if f"`{name}` is" not in rows] == []


def test_every_flag_has_a_row_in_the_reference(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["emulator", "--help"])
    text = (REFERENCE / "command-line.md").read_text(encoding="utf-8")
    (section,) = re.findall(r"^## emulator$(.*?)^## ", text, re.DOTALL | re.MULTILINE)
    flags = set(re.findall(r"--[a-z-]+", capsys.readouterr().out)) - {"--help"}
    assert set(re.findall(r"^\| `(--[a-z-]+)", section, re.MULTILINE)) == flags


# --- what it does -----------------------------------------------------------------------------------------------


@asynccontextmanager
async def emulator(*options: str) -> AsyncIterator[tuple[str, asyncio.subprocess.Process]]:
    """The command, scripted unless it is told otherwise; its URL."""
    command = EMULATOR if not {"--replay", "--proxy"} & {*options} else tuple(set_without(EMULATOR, "--scripted"))
    async with program(*command, *options) as process:
        yield url_in(await line_with(process, "Voice Live ")), process
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)


def set_without(words: tuple[str, ...], word: str) -> list[str]:
    return [each for each in words if each != word]


async def conversation(
    url: str, *messages: Event, model: str = "gpt-4.1", until: str = "response.done"
) -> list[Event]:
    """What comes after these messages, up to an event of this type."""
    events: list[Event] = []
    async with aiohttp.ClientSession() as http:
        async with http.ws_connect(f"{url}{PATH}{model}&api-key=any") as socket, asyncio.timeout(20):
            for message in messages:
                await socket.send_json(message)
            while not events or events[-1]["type"] != until:
                answer = await socket.receive()
                if answer.type is not aiohttp.WSMsgType.TEXT:
                    break
                events.append(json.loads(answer.data))
    return events


def typed(text: str) -> tuple[Event, Event]:
    content = [{"type": "input_text", "text": text}]
    item = {"type": "message", "role": "user", "content": content}
    return {"type": "conversation.item.create", "item": item}, {"type": "response.create"}


def spoken(events: list[Event]) -> str:
    return "".join(each["transcript"] for each in events if each["type"] == "response.audio_transcript.done")


async def test_it_shows_itself_and_stops(tmp_path: Path) -> None:
    log = tmp_path / "events.log"
    async with emulator("--log-events", str(log)) as (url, process), aiohttp.ClientSession() as http:
        assert url in await line_with(process, "Live view:")
        page = await http.get(url)
        assert "Voice Live emulator" in await page.text()
        await conversation(url, *typed("Hello"))
    lines = log.read_text(encoding="utf-8").splitlines()
    assert re.fullmatch(r"\d\d:\d\d:\d\d\.\d{3} #1 open   .*model=gpt-4\.1.*", lines[0])
    assert any(re.search(r"#1 server response\.audio\.delta [\d,]+ bytes", line) for line in lines)
    assert "any" not in lines[0]


async def test_without_a_view_there_is_no_page() -> None:
    async with emulator("--no-view") as (url, _), aiohttp.ClientSession() as http:
        assert (await http.get(url)).status == 404


@SIGNALS
async def test_events_go_to_standard_error() -> None:
    async with emulator("--log-events") as (url, process):
        await conversation(url, until="session.created")
        process.send_signal(signal.SIGTERM)
        _, _, errors = await ended(process)
    assert "#1 server session.created" in errors


async def test_the_brain_is_an_echo() -> None:
    async with emulator("--brain", "echo") as (url, _):
        assert spoken(await conversation(url, *typed("Say this again"))) == "Say this again"


async def test_the_brain_has_rules() -> None:
    async with emulator("--brain", "rules") as (url, _):
        assert "1, 2, 3" in spoken(await conversation(url, *typed("Count to three"))).replace(
            "one, two, three", "1, 2, 3"
        )


async def test_the_brain_is_an_endpoint_that_is_not_there() -> None:
    pytest.importorskip("openai", reason="not installed: openai")
    async with emulator("--brain", "http://127.0.0.1:9/v1", "--brain-model", "m") as (url, _):
        done = (await conversation(url, *typed("Hello")))[-1]["response"]
        assert done["status"] == "failed"
        assert "127.0.0.1:9" in done["status_details"]["error"]["message"]


async def test_a_script_answers(tmp_path: Path) -> None:
    pytest.importorskip("yaml", reason="not installed: pyyaml")
    script = tmp_path / "a.yaml"
    script.write_text("rules:\n  - {when: {says: hello}, say: Good day.}\n", encoding="utf-8")
    async with emulator("--script", str(script)) as (url, _):
        assert spoken(await conversation(url, *typed("Hello"))) == "Good day."


async def test_the_profile_and_the_switches() -> None:
    options = "--profile realtime --update replace --second-create cancel --refuse-truncation yes --pace 1"
    async with emulator(*options.split()) as (url, _):
        update = {"type": "session.update", "session": {"instructions": "Be brief."}}
        again = {"type": "session.update", "session": {"modalities": ["text", "audio"]}}
        story = typed("Hello " * 100)  # which takes half a minute to say: it is not over when the second one comes
        events = await conversation(url, update, again, *story, {"type": "response.create"})
        assert [each["session"]["instructions"] for each in events if each["type"] == "session.updated"][1] != (
            "Be brief."
        )
        done = events[-1]["response"]
        assert done["status_details"] == {"type": "cancelled", "reason": "client_cancelled"}
        assert done["conversation_id"].startswith("conv_")
        truncate = {"type": "conversation.item.truncate", "item_id": "x", "content_index": 0, "audio_end_ms": 0}
        assert (await conversation(url, truncate, until="error"))[-1]["error"]["type"] == "invalid_request_error"


async def test_a_session_ends_when_its_time_is_over() -> None:
    async with emulator("--max-session-s", "0.2") as (url, _):
        events = await conversation(url, until="never")
        assert events[-1]["error"]["code"] == "session_expired"


async def test_faults_and_their_control(tmp_path: Path) -> None:
    faults = tmp_path / "faults.json"
    faults.write_text(
        '[{"when": {"at": "handshake"}, "action": {"do": "refuse", "status": 503}}]', encoding="utf-8"
    )
    async with emulator("--faults", str(faults), "--control") as (url, _), aiohttp.ClientSession() as http:
        with pytest.raises(aiohttp.WSServerHandshakeError, match="503"):
            await conversation(url)
        assert (await http.delete(f"{url}/emulator/faults")).ok
        assert await conversation(url, until="session.created")


async def test_what_was_recorded_is_replayed(tmp_path: Path) -> None:
    async with emulator("--record", str(tmp_path / "tapes")) as (url, _):
        first = await conversation(url, *typed("Hello"))
    (tape,) = (tmp_path / "tapes").glob("*.jsonl")
    async with emulator("--replay", str(tape), "--pace", "fast") as (url, _):
        assert [each["type"] for each in await conversation(url, *typed("Hello"))] == [
            each["type"] for each in first
        ]


async def test_a_proxy_passes_on_and_shows() -> None:
    async with serve(api_key="any") as server, emulator("--proxy", server.url) as (url, process):
        view = url_in(await line_with(process, "Live view:"))
        assert await conversation(url, *typed("Hello"))
        async with aiohttp.ClientSession() as http, http.get(f"{view}view/stream") as stream:
            line = await stream.content.readuntil(b"\n\n")
            assert json.loads(line.removeprefix(b"data: "))["sessions"][0]["model"] == "gpt-4.1"


async def test_the_programs_of_the_guide_run(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("openai", reason="not installed: openai")
    async with serve(brain=ScriptedBrain([("Hello", "Good day.")])) as server:
        monkeypatch.setenv("AZURE_VOICELIVE_ENDPOINT", server.url)
        programs = re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
        assert len(programs) == 2
        for code in programs:
            async with program("-W", "error", "-c", code) as process:
                out, _ = await asyncio.wait_for(process.communicate(), 30)
            assert out.decode().strip() == "Good day."


def test_the_faults_of_the_guide_are_faults() -> None:
    (text,) = re.findall(r"```json\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(FaultScript.from_json(text).faults) == 1


@pytest.mark.speech
async def test_it_hears_and_speaks() -> None:
    assert not missing_packages()
    async with program("-m", "voicelive_agent", "emulator", "--port", "0") as process:
        url = url_in(await line_with(process, "Voice Live emulator at"))
        events = await conversation(url, *typed("Count to three"))
        assert sum(len(each["delta"]) for each in events if each["type"] == "response.audio.delta") > 20_000
        process.kill()
