"""A call from Start to Stop, with a service that answers by rules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from voicelive_agent.emulator import Call
from voicelive_agent.events import Interrupted, SessionEnded, TurnEnded
from voicelive_agent.websocket import WebSocketAudio, _audio

from .chromium import hum
from .site import PitchVoice, Service, Site, site, until
from .visitor import IN_A_ROOM, visitor

if TYPE_CHECKING:
    from playwright.async_api import Browser

pytestmark = [pytest.mark.browser, pytest.mark.alone]

LONG = "This is a long story about a library, and nobody ever heard the end of it, because it goes on and on."
NEVER_ENDS = "And on it goes. " * 60 + LONG


def over(here: Site) -> bool:
    return not here.app.sessions and not here.emulator.connections


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """No limit ends what should end by itself. How soon that is, bench_web.py says."""
    for name in ("LAST_WORDS_S", "CLOSE_S", "GOODBYE_S"):
        monkeypatch.setattr(_audio, name, 1_000)
    monkeypatch.setattr(WebSocketAudio.drain, "__defaults__", (1_000,))


@pytest.mark.usefixtures("patient")
async def test_a_call_from_start_to_stop(browser: Browser) -> None:
    async with site(greetings=("Good morning!",)) as here, visitor(browser, here.url) as anna:
        assert await anna.state() == "idle"
        assert await anna.taps("captures") == 0  # opening the page takes no microphone
        await anna.press_start()
        await anna.sees_state("speaking")
        await anna.sees("#main", "Stop")
        await anna.sees("#transcript .words.agent", "Good morning!")
        await anna.sees_state("ready")
        assert await anna.taps("captures") == await anna.taps("live()") == 1
        await anna.press_stop()
        await until(lambda: over(here))
        await anna.sees_state("ended")
        await anna.sees("#main", "Start")
        assert await anna.taps("live()") == 0
        assert here.events(SessionEnded)[0].verdict.ok
        assert anna.complaints == []


@pytest.mark.usefixtures("patient")
async def test_a_closed_tab_ends_the_session(browser: Browser) -> None:
    async with site(greetings=(LONG,)) as here, visitor(browser, here.url) as anna:
        await anna.press_start()
        await anna.sees_state("speaking")
        await anna.page.close()
        await until(lambda: over(here))


async def test_start_can_be_pressed_again_and_again(browser: Browser) -> None:
    async with site() as here, visitor(browser, here.url) as anna:
        for _ in range(3):
            await anna.press_start()
            await anna.sees_state("ready")
            assert await anna.taps("live()") == 1
            await anna.press_stop()
            await anna.sees_state("ended")
        await anna.page.evaluate("for (let i = 0; i < 9; i++) document.getElementById('main').click()")
        await anna.sees_state("ready")
        assert await anna.taps("live()") == 1
        await until(lambda: here.app.sessions == 1)


async def test_escape_interrupts_and_what_was_not_heard_is_struck_out(browser: Browser) -> None:
    async with site(greetings=(NEVER_ENDS,)) as here, visitor(browser, here.url) as anna:
        await anna.press_start()
        await anna.sees_state("speaking")
        await anna.page.wait_for_timeout(1500)
        await anna.page.keyboard.press("Escape")
        await anna.sees_state("ready")
        struck = anna.page.locator("#transcript s")
        await struck.wait_for()
        said, lost = await anna.words("agent").inner_text(), await struck.inner_text()
        await until(lambda: here.events(Interrupted))
        event = here.events(Interrupted)[0]
        assert "nobody ever heard the end" in lost
        assert "".join(said.split()).startswith("".join(event.heard_text.split()))
        await anna.sees("#transcript .who", "interrupted")
        await anna.hears_nothing()


async def test_what_the_page_shows_of_a_turn(browser: Browser) -> None:
    rules = (
        ("sunday", Call("opening_hours", {"day": "Sunday"})),
        ("never", Call("opening_hours", {"day": "never"})),
    )
    async with site(*rules, says=("Are you open on Sunday?",)) as here:
        async with visitor(browser, here.url, before=IN_A_ROOM) as anna:
            await anna.press_start()
            await anna.sees_state("ready")
            await anna.says(hum(1))
            await anna.sees("#transcript .words.user", "Are you open on Sunday?")
            await anna.sees("#transcript .tool", "opening_hours")
            await anna.sees("#transcript .tool", " ms")
            await anna.sees("#transcript .words.agent", "9 to 17")
            await anna.sees_state("ready")
            await until(lambda: here.events(TurnEnded))
            turn = next(event for event in here.events(TurnEnded) if event.response_ms is not None)
            await anna.sees("#turns", f"{turn.response_ms} ms")
            assert f"median {turn.response_ms} ms" in await anna.text("#turns-median")
            await anna.type("How about never?")
            await anna.sees("#transcript .tool.failed", "failed")
            assert "tool opening_hours" in await anna.log()
            assert "a-secret-key" not in await anna.page.content()
            assert "localhost" not in await anna.text("#config")
            assert "opening_hours" in await anna.text("#config")
            assert anna.complaints == []


class Slow(Service):
    """A session that may tell what it heard long after it has answered, as realtime models do."""

    def __init__(self, **more: Any) -> None:
        super().__init__(**more)
        self.late: list[dict[str, Any]] | None = []

    def poll(self, now: float) -> list[dict[str, Any]]:
        events = super().poll(now)
        if self.late is None:
            return events
        self.late += [event for event in events if "input_audio_transcription" in event["type"]]
        return [event for event in events if event not in self.late]

    def tell(self) -> None:
        assert self.late
        self.sudden, self.late = self.late, None


async def test_words_that_come_after_their_answer_stand_before_it(browser: Browser) -> None:
    async with site(says=("Good evening.",), service=Slow) as here:
        async with visitor(browser, here.url, before=IN_A_ROOM) as anna:
            await anna.press_start()
            await anna.sees_state("ready")
            await anna.says(hum(1))
            await anna.words("agent").first.wait_for()
            service = here.services[0]
            assert isinstance(service, Slow)
            service.tell()
            await anna.sees("#transcript .words.user", "Good evening.")
            whose = await anna.page.locator("#transcript .who").all_inner_texts()
            assert [name.lower() for name in whose] == ["you", "agent"]


async def test_typing_needs_no_microphone(browser: Browser) -> None:
    async with site(("books", "We have many books.")) as here, visitor(browser, here.url) as anna:
        await anna.type("Do you have books?")
        await anna.sees("#transcript .words.user", "Do you have books?")
        await anna.sees("#transcript .words.agent", "We have many books.")
        await anna.sees_state("ready")
        await anna.sees("#state-text", "the microphone is off")
        assert await anna.taps("captures") == 0
        assert len((await anna.hears()).loud)
        await anna.type("Books, again?")
        await anna.page.wait_for_function("document.querySelectorAll('#transcript .words.agent').length === 2")
        assert anna.complaints == []


async def test_typing_while_the_agent_speaks(browser: Browser) -> None:
    async with site(("books", "We have many books."), greetings=(LONG,)) as here:
        async with visitor(browser, here.url) as anna:
            await anna.press_start()
            await anna.sees_state("speaking")
            await anna.type("Do you have books?")
            await anna.sees("#transcript .words.agent", "We have many books.", timeout_s=15)
            assert anna.complaints == []


async def test_two_visitors_never_hear_each_other(browser: Browser) -> None:
    greetings = ("[500]" + "a" * 40, "[900]" + "b" * 40)
    async with site(greetings=greetings, voice=PitchVoice()) as here:
        async with visitor(browser, here.url) as anna, visitor(browser, here.url) as ben:
            await anna.press_start()
            await anna.sees_state("speaking")
            await ben.press_start()
            await ben.sees_state("speaking")
            assert here.app.sessions == 2
            await anna.sees_state("ready")
            await ben.sees_state("ready")
            assert (await anna.hears()).pitches == {500}
            assert (await ben.hears()).pitches == {900}
            assert await anna.words("agent").all_inner_texts() == [greetings[0]]
            assert await ben.words("agent").all_inner_texts() == [greetings[1]]
            await anna.press_stop()
            await until(lambda: here.app.sessions == 1)
            assert await ben.state() == "ready"


async def test_a_harmless_error_changes_nothing_but_the_log(browser: Browser) -> None:
    async with site() as here, visitor(browser, here.url) as anna:
        await anna.press_start()
        await anna.sees_state("ready")
        before = await anna.log()
        here.services[-1].sudden.append(
            {
                "type": "error",
                "event_id": "event_9",
                "error": {"type": "server_error", "code": "odd", "message": "x"},
            }
        )
        await anna.page.wait_for_function("document.getElementById('log').textContent.includes('error ')")
        assert (await anna.log()).removeprefix(before).count(":") == 3  # the time has two
        assert await anna.state() == "ready"
        assert await anna.taps("live()") == 1
        await anna.type("Hello")
        await anna.sees("#transcript .words.agent", "I heard: Hello")


async def test_what_somebody_says_never_becomes_part_of_the_page(browser: Browser) -> None:
    attack = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"
    async with site(("attack", attack), greetings=(attack,)) as here:
        async with visitor(browser, here.url, tapped=False) as anna:
            await anna.type(f"attack {attack}")
            await anna.sees("#transcript .words.user", attack)
            await anna.sees("#transcript .words.agent", attack)
            assert await anna.page.locator("#transcript img, #transcript script, #log img").count() == 0
            assert await anna.page.title() == "City library"


async def test_the_policy_is_kept_and_nothing_is_complained_about(browser: Browser) -> None:
    async with site(greetings=("Good morning!",)) as here, visitor(browser, here.url, tapped=False) as anna:
        await anna.press_start()
        await anna.sees_state("speaking")
        await anna.sees_state("ready")
        await anna.page.click("#theme")
        await anna.page.click("summary >> nth=1")
        await anna.press_stop()
        await anna.sees_state("ended")
        assert await anna.page.evaluate("violations") == []
        assert anna.complaints == []
        assert await anna.page.evaluate(
            "fetch('http://example.test/').then(() => 'allowed', () => 'refused')"
        ) == ("refused")
        assert len(await anna.page.evaluate("violations")) == 1
