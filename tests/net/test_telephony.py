"""What happens on telephone lines: marks that come late or never, people who hang up, agents that do, and keys."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from voicelive_agent import EndReason, Interrupted, State
from voicelive_agent.emulator import EnergyEars, serve
from voicelive_agent.errors import TransportError
from voicelive_agent.events import AgentSpoke, DtmfReceived, SinkStalled, TurnEnded
from voicelive_agent.websocket import Limits

from ..agent_driver import LONG, Recorder, check_story, eventually, spoken_samples
from .desk import Desk, Held
from .far import FarEnd
from .far_acs import FarAcs
from .far_browser import FarBrowser
from .far_twilio import FarTwilio
from .kinds import KINDS
from .servers import serve_aiohttp

pytestmark = [pytest.mark.usefixtures("nothing_left"), pytest.mark.e2e, pytest.mark.alone]

SPEECH = KINDS["twilio"].speech(500)
SHORT = "Thank you for calling."


class Caller(Recorder):
    """Presses are hooks, like everything else."""

    def __init__(self, endpoint: str, greeting: str = LONG) -> None:
        super().__init__(endpoint, greeting=greeting)
        self.keys = ""

    def on_dtmf_received(self, event: DtmfReceived) -> None:
        self.keys += event.digit


@asynccontextmanager
async def desk_of(
    greeting: str = LONG, *, said: str = "Hello.", limits: Limits | None = None
) -> AsyncIterator[tuple[Desk, str]]:
    """A desk whose agents begin by saying this, and understand that of everything; they answer by repeating it."""
    async with serve(ears=EnergyEars(default=said)) as emulator:
        desk = Desk(lambda: Caller(emulator.url, greeting), limits=limits)
        async with serve_aiohttp(desk.answer) as url, asyncio.timeout(40):
            yield desk, url


def agent_of(call: Held) -> Caller:
    assert isinstance(call.agent, Caller)
    return call.agent


def assert_true(event: Interrupted, far: FarEnd, *, since: int, until: int, within_ms: float) -> None:
    """The figure of an interruption is what was played of the item, from one byte of the line to another."""
    assert event.heard_ms == pytest.approx(far.ms(until - since), abs=within_ms)


# --- marks ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("late_s", [0.0, 1.4])
async def test_marks_that_clear_sends_back_are_not_taken_for_heard(late_s: float) -> None:
    """The late ones come while the next answer plays, and it is that one's truth which they would spoil."""
    async with desk_of(said=LONG) as (desk, url):
        async with FarTwilio(f"{url}twilio", clears_late_s=late_s) as phone:
            await phone.heard(700)
            await phone.say(SPEECH)
            await phone.until(lambda: phone.cuts)
            waited = len(phone.marks)
            await phone.heard(phone.ms(phone.cuts[0].heard) + 600)  # of the next answer
            await phone.say(SPEECH)
            await phone.until(lambda: len(phone.cuts) == 2)
        call = await desk.ended("twilio")
    first, second = agent_of(call).all(Interrupted)
    assert_true(first, phone, since=0, until=phone.cuts[0].heard, within_ms=60)
    assert_true(second, phone, since=phone.cuts[0].heard, until=phone.cuts[1].heard, within_ms=60)
    assert call.audio.stats.late > 0
    assert len(phone.marks) > waited
    assert desk.verdict("twilio").reason is EndReason.HUNG_UP
    check_story(agent_of(call).seen)


@pytest.mark.parametrize("every", [2, 3])
async def test_marks_that_are_lost_do_no_harm(every: int) -> None:
    lost: list[str] = []

    def loses(name: str) -> bool:
        """Every second one or so. Twilio does not lose them; a bad server in between may."""
        lost.append(name)
        return len(lost) % every == 0

    async with desk_of() as (desk, url):
        async with FarTwilio(f"{url}twilio", loses=loses) as phone:
            await phone.heard(1_500)
            await phone.say(SPEECH)
            await phone.until(lambda: phone.cuts)
        call = await desk.ended("twilio")
    [event, *_] = agent_of(call).all(Interrupted)
    assert_true(event, phone, since=0, until=phone.cuts[0].heard, within_ms=60)
    assert not agent_of(call).all(SinkStalled)
    assert len(lost) > 4


async def test_without_any_mark_nothing_more_is_sent_than_the_clock_can_vouch_for() -> None:
    """Then the call goes on, and the agent is told that its sink stalls: what nobody confirms is not heard."""
    async with desk_of() as (desk, url):
        async with FarTwilio(f"{url}twilio", loses=lambda name: True) as phone:
            await eventually(lambda: "twilio" in desk.calls)
            agent = agent_of(desk.calls["twilio"])
            await agent.until(lambda: agent.all(SinkStalled))
            assert phone.ms(phone.received) < 2_000
            await phone.say(SPEECH)
            await agent.until(lambda: agent.all(Interrupted))
        call = await desk.ended("twilio")
    event = agent_of(call).all(Interrupted)[0]
    assert event.heard_ms <= phone.ms(phone.cuts[0].heard)
    assert event.heard_ms == 500


# --- barge-in twice, and three at once -------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
async def test_talking_over_the_agent_twice_in_a_row(kind: str) -> None:
    async with desk_of() as (desk, url):
        async with KINDS[kind].far(url + kind) as far:
            await far.heard(600)
            await far.say(KINDS[kind].speech(300))
            await far.until(lambda: far.cuts)
            await far.heard(far.ms(far.cuts[0].heard) + 200)
            await far.say(KINDS[kind].speech(300))
            await far.until(lambda: len(far.cuts) == 2)
            agent = agent_of(desk.calls[kind])
            await agent.until(lambda: agent.all(AgentSpoke)[-1:] and agent.state is State.READY)
            while far.line.waiting:  # noqa: ASYNC110  where nothing confirms, the far end may be later than reckoned
                await asyncio.sleep(0.005)
            rest = far.ms(len(far.line.played) - far.cuts[1].heard)
        call = await desk.ended(kind)
    first, second = agent.all(Interrupted)
    assert_true(first, far, since=0, until=far.cuts[0].heard, within_ms=100)
    assert_true(second, far, since=far.cuts[0].heard, until=far.cuts[1].heard, within_ms=100)
    assert rest == pytest.approx(spoken_samples("I heard: Hello.") / 24, abs=5)  # the last answer was heard whole
    assert call.verdict is not None
    assert [turn.status for turn in agent.all(TurnEnded)] == ["interrupted", "interrupted", "completed"]


# --- the far end leaves ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("politely", [True, False])
async def test_hanging_up_in_the_middle_of_an_answer(kind: str, politely: bool) -> None:
    async with desk_of() as (desk, url):
        async with KINDS[kind].far(url + kind) as far:
            await far.heard(500)
            if politely:
                await far.hang_up()
            else:
                far.vanish()
                await far.closed.wait()
            heard = len(far.line.played)
        call = await desk.ended(kind)
    assert desk.verdict(kind).reason is EndReason.HUNG_UP
    assert desk.verdict(kind).ok
    check_story(agent_of(call).seen)
    [item] = [item for item in agent_of(call).history if item.role == "assistant"]
    assert item.heard_ms == pytest.approx(far.ms(heard), abs=150)  # the news of it takes its time


class Mute(FarTwilio):
    """Says nothing at all, of all that comes first."""

    async def begin(self) -> None:
        pass

    async def send_audio(self, frame: bytes) -> None:
        pass

    async def goodbye(self) -> None:
        pass


class Greeter(Mute):
    """Says ``connected``, and nothing more."""

    async def begin(self) -> None:
        await self.send({"event": "connected", "protocol": "Call", "version": "1.0.0"})


@pytest.mark.parametrize("far", [Mute, Greeter])
async def test_hanging_up_before_the_start(far: type[FarTwilio]) -> None:
    async with desk_of() as (desk, url):
        async with far(f"{url}twilio"):
            await eventually(lambda: desk.calls)
        call = await desk.ended("twilio")
    assert isinstance(call.error, TransportError)
    assert "without having begun" in str(call.error)
    assert not agent_of(call).seen  # nobody was connected to any service


@pytest.mark.parametrize("far", [Mute, Greeter])
async def test_never_starting(far: type[FarTwilio]) -> None:
    async with desk_of(limits=Limits(start_s=0.3)) as (desk, url):
        async with far(f"{url}twilio") as phone:
            await phone.closed.wait()
        call = await desk.ended("twilio")
    assert phone.close_code == 1008
    assert isinstance(call.error, TransportError)
    assert call.error.close_code == 1008


async def test_a_telephone_that_hangs_up_while_the_service_is_still_being_reached() -> None:
    async with desk_of() as (desk, url):
        for number in range(8):
            async with FarTwilio(f"{url}twilio-{number}"):
                await asyncio.sleep(number * 0.01)
        for number in range(8):
            call = await desk.ended(f"twilio-{number}")
            if isinstance(call.error, TransportError):  # it was gone before it began
                continue
            assert desk.verdict(f"twilio-{number}").reason is EndReason.HUNG_UP
            check_story(agent_of(call).seen)


async def test_nothing_from_a_telephone_for_long_is_a_hang_up() -> None:
    class Dying(FarTwilio):
        async def send_audio(self, frame: bytes) -> None:
            if len(self.sent) < 8_000:
                await super().send_audio(frame)

        async def report(self) -> float | None:
            return None

    async with desk_of(SHORT, limits=Limits(idle_s=0.5)) as (desk, url):
        async with Dying(f"{url}twilio") as phone:
            await phone.closed.wait()
        await desk.ended("twilio")
    assert desk.verdict("twilio").reason is EndReason.HUNG_UP
    assert "0.5" in desk.verdict("twilio").detail


# --- the agent leaves ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
async def test_an_agent_that_says_good_bye_and_stops_is_heard_to_the_end(kind: str) -> None:
    class Polite(Caller):
        async def on_session_started(self, event: object) -> None:
            await self.say(SHORT)
            self.stop()

    async with serve() as emulator:
        desk = Desk(lambda: Polite(emulator.url, ""))
        async with serve_aiohttp(desk.answer) as url, asyncio.timeout(20):
            async with KINDS[kind].far(url + kind) as far:
                await far.closed.wait()
            await desk.ended(kind)
    assert far.close_code == 1000
    assert desk.verdict(kind).reason is EndReason.STOPPED
    assert far.ms(len(far.line.played)) == pytest.approx(spoken_samples(SHORT) / 24, abs=5)
    assert far.line.dropped == 0
    if isinstance(far, FarBrowser):
        assert [message["reason"] for message in far.all("end")] == ["stopped"]


@pytest.mark.parametrize("kind", KINDS)
async def test_an_agent_that_stops_while_it_speaks_is_silent_at_once(kind: str) -> None:
    async with desk_of() as (desk, url):
        async with KINDS[kind].far(url + kind) as far:
            await far.heard(500)
            agent = agent_of(desk.calls[kind])
            agent.stop()
            await far.closed.wait()
        call = await desk.ended(kind)
    assert far.close_code == 1000
    assert desk.verdict(kind).reason is EndReason.STOPPED
    assert far.ms(far.cuts[0].heard) < 900
    assert call.audio.pending == 0


# --- keys ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [FarTwilio, FarAcs])
async def test_keys_come_as_events_and_hooks_in_order(make: type[FarTwilio] | type[FarAcs]) -> None:
    keys = "1234567890*#"
    kind = "twilio" if make is FarTwilio else "acs"
    async with desk_of(SHORT) as (desk, url):
        async with make(url + kind) as phone:
            await phone.heard(100)
            for key in keys:
                await phone.press(key)
            agent = agent_of(desk.calls[kind])
            await agent.until(lambda: len(agent.keys) == len(keys))
        await desk.ended(kind)
    assert agent.keys == keys
    assert "".join(event.digit for event in agent.all(DtmfReceived)) == keys
