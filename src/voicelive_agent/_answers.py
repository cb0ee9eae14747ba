"""The agent's side: what the service answers, what of it is played, and what of that was heard.

Holds the responses, the playback ledger and the corrections together, because an interruption is about all three
at once: silence, drop by id, and make the service's record true.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from . import _wire as wire
from . import events
from ._corrections import Corrections
from ._outputs import FinishPlayback, SpeechStatus, StopPlayback
from ._playback import Playback
from ._responses import MAX_ATTEMPTS, Response, Responses, Want
from ._step import Step
from ._toolcalls import ToolCalls
from ._turns import Turns
from .history import History

_OVER: Final = "the conversation ended"


class Answers:
    """The answers of one conversation."""

    def __init__(self, step: Step, turns: Turns, tools: ToolCalls, history: History) -> None:
        plan = step.plan
        self._step = step
        self._turns = turns
        self._tools = tools
        self._history = history
        self.responses = Responses()
        self.playback = Playback(rate=plan.output_rate, sample_bytes=plan.output_sample_bytes)
        self.corrections = Corrections(
            history,
            step.requests,
            enabled=not plan.turns.auto_truncates,
            truncates=plan.profile == "realtime",
        )

    def live(self) -> list[Response]:
        """The responses of which something may be heard."""
        audible, still_open = self.responses.audible, self.responses.open
        return list(audible) if still_open is None else [*audible, still_open]

    # --- which response ---

    def _lookup(self, response_id: str) -> Response | None:
        """The response of a message, adopted if its creation was not seen; None for what is late."""
        known = self.responses.open
        response = self.responses.find(response_id, self._step.now)
        if response is not None and response is not known:
            self._adopted(response)
        return response

    def _audible(self, response_id: str) -> Response | None:
        """The response of a message that is still to be heard; None for what is late, dropped or out of band."""
        response = self._lookup(response_id)
        return None if response is None or response.dropped or response.silent else response

    def _adopted(self, response: Response) -> None:
        """A response exists, whoever asked for it."""
        want = response.want
        if response.silent:
            return
        self._turns.answered()
        if want is None:
            self._covered()
            self._tools.spoken()
        if want is not None and want.unwanted:
            self._cancel(response)
        elif self._turns.user_speaks and not self.responses.protects(response) and self._disturbs(response):
            if want is not None:
                self.responses.put_back(want)
            self._cancel(response)

    def _covered(self) -> None:
        for ticket in self.responses.covered():
            self._step.move(ticket, "dropped", "the service answered by itself")

    def _disturbs(self, response: Response) -> bool:
        """Whether a response that comes while the user speaks already is ours to cancel.

        A service that interrupts has done it for its own responses, and knows nothing of ours; one that does not
        leaves all of them to us, if to anybody.
        """
        if self._turns.by_hand:
            return True
        if self._step.plan.turns.interrupts_response:
            return response.want is not None
        return self._step.plan.client_barge_in

    def _cancel(self, response: Response) -> None:
        """Nothing of this response is to be heard, and the service need not go on with it."""
        response.dropped, response.want = True, None
        self._ask_to_cancel(response)

    def _ask_to_cancel(self, response: Response) -> None:
        self._step.ask(wire.CancelResponse(event_id=self._step.requests.new_id(), response_id=response.id))

    def _mention(self, response: Response, item_id: str) -> None:
        """A message of this response exists, in its own order and in that of the conversation."""
        if response.mention(item_id):
            self._history.mention(item_id, "assistant")

    def on_response_created(self, message: wire.ResponseCreated) -> None:
        superseded = self.responses.open
        response = self.responses.created(message.response, self._step.now)
        if response is None:
            return
        if superseded is not None:
            self.end(superseded, wire.ResponseInfo(superseded.id, "incomplete"))
        self._adopted(response)

    def on_output_item(self, message: wire.OutputItemAdded | wire.OutputItemDone) -> None:
        response, item = self._lookup(message.response_id), message.item
        if response is None or response.silent or item.id is None:
            return
        if item.type == "message":
            self._mention(response, item.id)
        elif item.type == "function_call" and isinstance(message, wire.OutputItemDone) and item.call_id:
            if item.status == "incomplete":  # cut off: its arguments are not what the model would have said
                response.calls.pop(item.call_id, None)
            else:
                response.calls[item.call_id] = item

    def on_call_arguments(self, message: wire.CallArgumentsDone) -> None:
        if (response := self._audible(message.response_id)) is not None and message.name:
            response.calls[message.call_id] = wire.ItemInfo(
                type="function_call", name=message.name, call_id=message.call_id, arguments=message.arguments
            )

    def on_agent_delta(self, message: wire.TextDelta | wire.TranscriptDelta) -> None:
        if (response := self._audible(message.response_id)) is None:
            return
        response.written = isinstance(message, wire.TextDelta)
        self._mention(response, message.item_id)
        text = self._history.say(message.item_id, message.delta, append=True, spoken=not response.written)
        self._step.tell(events.AgentSpeaking(message.item_id, text))

    def on_agent_text(self, message: wire.TextDone | wire.TranscriptDone) -> None:
        if (response := self._lookup(message.response_id)) is None:
            return
        text = message.text if isinstance(message, wire.TextDone) else message.transcript
        if response.silent:
            response.text += text
            return
        self._mention(response, message.item_id)
        self._history.say(message.item_id, text, spoken=isinstance(message, wire.TranscriptDone))
        if not response.dropped:
            self._step.tell(events.AgentSpoke(message.item_id, text))

    def on_word(self, message: wire.WordTimestamp) -> None:
        if self._audible(message.response_id) is not None:
            end_ms = message.audio_offset_ms + message.audio_duration_ms
            self._history.time_word(message.item_id, message.text, end_ms)

    def on_audio(self, message: wire.AudioDelta) -> None:
        if (response := self._audible(message.response_id)) is None:
            return
        self._mention(response, message.item_id)
        self._step.out.append(self.playback.play(message.item_id, message.delta))

    def on_audio_done(self, message: wire.AudioDone) -> None:
        if self.playback.complete(message.item_id):
            self._step.out.append(FinishPlayback(message.item_id))

    def on_response_done(self, message: wire.ResponseDone) -> None:
        self._step.requests.confirmed(wire.CancelResponse, message.response.id)
        self.responses.blocked_at = None  # the service has one at a time, whether we still knew of it or not
        if (response := self._lookup(message.response.id)) is not None:
            self.end(response, message.response)

    def end(self, response: Response, info: wire.ResponseInfo) -> None:
        """Nothing more comes of this response; what arrived of it may still have to be heard."""
        self.responses.retire(response)
        if response.want is not None:  # not before: the service may still say that it was not ours
            self._step.requests.confirmed(wire.CreateResponse)
        if response.silent:
            self._reply(response, info)
            return
        for item_id in response.items:
            if self.playback.complete(item_id):
                self._step.out.append(FinishPlayback(item_id))
        self._step.out += self.corrections.response_ended(response.id)
        response.ended = info
        self._take_calls(response, info)
        if info.status == "failed" and not response.dropped:
            self._turns.failed = True
            self._step.tell(_failure(info))
        self._conclude(response, info.status or "completed")

    def _take_calls(self, response: Response, info: wire.ResponseInfo) -> None:
        """Run what an answer calls; of one that was cut off nothing is run, and nothing stays open."""
        calls = response.calls | {
            item.call_id: item
            for item in info.output or ()
            if item.type == "function_call" and item.call_id and "completed" in (item.status, info.status)
        }
        if response.dropped or info.status != "completed":
            self._step.out += self._tools.not_run(calls.values())
        else:
            want = response.want or Want()
            self._step.out += self._tools.called(
                calls.values(),
                batch=response.id,
                turn=self._turns.number,
                rounds=max(want.rounds, want.depth),
                filled=self._step.plan.service_fills and self._said(response),
            )

    def _conclude(self, response: Response, status: str) -> None:
        """Whether what arrived of a response that is over is still to be heard, and whether it was a turn."""
        if response.dropped:
            if response.interrupted:
                self._turn_ended(response, "interrupted")
        elif status == "cancelled" and not self._said(response):
            # Tentative: the user had only paused, so it counts as not having happened.
            for item_id in response.items:
                self._cut(item_id, response, response_open=False)
            if not (self.responses.protects(response) and self._ask_again(response)):
                self._step.move(response.ticket, "dropped")
        elif response.items or status == "failed":
            self.responses.audible.append(response)
            if status == "cancelled" and self.playback.pending and not self.responses.protects(response):
                self.interrupt(cancel=False)  # cut off by the service, for a reason of its own
        else:  # function calls only: the turn goes on
            self._step.move(response.ticket, "dropped")

    def _ask_again(self, response: Response) -> bool:
        """Ask once more for what the service cut off because the user spoke, though that was not to matter."""
        want = response.want
        if want is None or want.attempts >= MAX_ATTEMPTS:
            return False
        response.want = None
        self.responses.put_back(want)
        return True

    def _reply(self, response: Response, info: wire.ResponseInfo) -> None:
        """An answer out of band is over: its text is for whoever asked."""
        if info.status == "completed":
            self._step.move(response.ticket, "heard", response.text)
        elif info.status not in ("cancelled", "incomplete") or not self._ask_again(response):
            reason = _failure(info).message if info.status == "failed" else f"it ended as {info.status}"
            self._step.move(response.ticket, "dropped", reason)

    def _said(self, response: Response) -> bool:
        """Whether the user could have noticed anything of this response."""
        return response.written or any(self.playback[item_id].received for item_id in response.items)

    # --- barge-in ---

    def interrupt(self, *, cancel: bool, barge_in_ms: int | None = None) -> None:
        """Silence, now. Two cases: the answer is still coming, or all of it has arrived and only plays."""
        in_flight_ms = self.playback.unstoppable(self._step.now)
        if barge_in_ms is not None:
            barge_in_ms += in_flight_ms
        self._see_what_began()
        still_open = self.responses.open
        cut = {audio.item_id for audio in self.playback.flush() if audio.received}
        for response in reversed(self.live()):
            for item_id in [item_id for item_id in reversed(response.items) if item_id in cut]:
                response.interrupted, response.barge_in_ms = True, barge_in_ms
                self._cut(item_id, response, response_open=response is still_open)
        if cut:
            self._step.out.append(StopPlayback())
        if still_open is not None and not still_open.dropped and not still_open.silent:
            still_open.dropped = True
            still_open.interrupted = self._said(still_open)
            for item_id in still_open.items:
                if not still_open.written and not self.playback[item_id].received:
                    self._cut(item_id, still_open, response_open=True)
            if cancel:
                self._ask_to_cancel(still_open)
            self._resolve(still_open, _fate(still_open))
        for response in [response for response in self.responses.audible if response.interrupted]:
            self.responses.audible.remove(response)
            self._turn_ended(response, "interrupted")
            self._resolve(response, _fate(response))
        self._step.out += self._tools.interrupted()

    def drop_wants(self) -> None:
        """Nothing that was asked for and not begun is to be said; what is out of band was never to be."""
        responses = self.responses
        for want in [*responses.wants, responses.in_flight]:
            if want is not None and not want.silent:
                self._drop_want(want)
        responses.wants = deque(want for want in responses.wants if want.silent)

    def supersede(self) -> None:
        """The user says more: an answer that is being asked for now comes too early, and is asked for again."""
        want = self.responses.in_flight
        if want is not None and want.answers and not want.unwanted:
            self._drop_want(want)
            self.responses.want_answer()

    def _drop_want(self, want: Want) -> None:
        """It is not to be said, even if the service has been asked for it."""
        self._step.move(want.ticket, "dropped")
        want.ticket, want.unwanted = None, True

    def postpone(self, event_id: str | None) -> None:
        """The service has a response open already: ask again when that is done, unless it is no longer wanted."""
        responses, mistaken = self.responses, self.responses.open
        if responses.in_flight is not None and event_id in (None, responses.in_flight.event_id):
            responses.postpone(self._step.now)
        elif mistaken is None or mistaken.dropped:
            pass  # what was not to be said any more is not said
        elif mistaken.want is not None and mistaken.want.event_id == event_id:
            # A response of the service's own, without any metadata, was taken for ours.
            responses.put_back(mistaken.want)
            mistaken.want = None
            self._covered()

    def drop_all(self) -> None:
        """It is over: nothing more will be said."""
        self._see_what_began()
        self.drop_wants()
        for want in [*self.responses.wants, self.responses.in_flight]:
            if want is not None:
                self._step.move(want.ticket, "dropped", _OVER)
        self.responses.wants.clear()
        for response in self.live():
            if self._said(response):
                self._turn_ended(response, "interrupted")
            if response.silent:
                self._step.move(response.ticket, "dropped", _OVER)
            elif not response.dropped:
                self._resolve(response, _fate(response))
        self.responses.in_flight = self.responses.open = None
        self.responses.audible.clear()

    def _cut(self, item_id: str, response: Response, *, response_open: bool) -> None:
        """What was heard of this item is settled now, and the service is to know it."""
        self.record_progress(response)
        item, requests = self.corrections.cut(item_id, response.id, response_open=response_open)
        self._step.out += requests
        if item.received_ms:
            self._step.out.append(
                events.Interrupted(
                    item_id,
                    item.heard_ms,
                    item.received_ms,
                    item.heard_text,
                    estimated=item.estimated,
                    heard_estimated=self._step.plan.heard_estimated,
                )
            )

    # --- what was heard ---

    def settle(self) -> None:
        """See which answers have begun to be heard, and which are over."""
        self._see_what_began()
        if not self._tools.filling:
            self._drop_filler()
        for response in list(self.responses.audible):
            audio = [self.playback[item_id] for item_id in response.items]
            if response.ended is not None and all(item.heard >= item.received for item in audio):
                self.responses.audible.remove(response)
                status = response.ended.status or "completed"
                self._turn_ended(response, status)
                self._resolve(response, "heard" if status == "completed" else _fate(response))

    def _resolve(self, response: Response, fate: SpeechStatus) -> None:
        """Whoever asked for this response learns how it went, and which words of it were heard."""
        items = [self._history[item_id] for item_id in response.items if item_id in self._history]
        self._step.move(response.ticket, fate, " ".join(item.heard_text for item in items if item.heard_text))

    def _drop_filler(self) -> None:
        """What it was to bridge is over: it is not said any more, unless it is being heard already."""
        responses = self.responses
        if responses.in_flight is not None and responses.in_flight.filler:
            responses.in_flight.unwanted = True
            return
        filler = responses.open
        if filler is not None and filler.want is not None and filler.want.filler and not self._said(filler):
            for item_id in filler.items:
                self._cut(item_id, filler, response_open=True)
            self._cancel(filler)

    def _see_what_began(self) -> None:
        for response in self.live():
            if response.heard or response.dropped:
                continue
            if any(self.playback[item_id].heard for item_id in response.items):
                self._first_heard(response)

    def _first_heard(self, response: Response) -> None:
        response.heard = True
        self._step.move(response.ticket, "speaking")
        samples = sum(self.playback[item_id].heard for item_id in response.items)
        if (latency := self._turns.heard(self._step.now - samples / self._step.plan.output_rate)) is not None:
            response.response_ms, response.endpoint_ms = latency

    def record_progress(self, response: Response) -> None:
        """Write into the history how much of this response was heard."""
        for item_id in response.items:
            audio = self.playback[item_id]
            self._history.progress(
                item_id,
                heard_ms=self.playback.heard_ms(audio),
                received_ms=self.playback.received_ms(audio),
                complete=audio.complete,
            )

    def _turn_ended(self, response: Response, status: str) -> None:
        self.record_progress(response)
        heard = sum(self.playback[item_id].heard for item_id in response.items)
        for item_id in response.items:
            self.playback.forget(item_id)
        self._step.out.append(
            events.TurnEnded(
                response.id,
                status,
                heard_ms=heard * 1000 // self._step.plan.output_rate,
                response_ms=response.response_ms,
                endpoint_ms=response.endpoint_ms,
                barge_in_ms=response.barge_in_ms,
                usage=response.ended.usage if response.ended is not None else None,
                heard_estimated=self._step.plan.heard_estimated,
            )
        )


def _fate(response: Response) -> SpeechStatus:
    """What became of a response that did not come to its end."""
    return "interrupted" if response.heard else "dropped"


def _failure(info: wire.ResponseInfo) -> events.ServiceFailed:
    """What a failed response says about itself."""
    error = (info.status_details or {}).get("error")
    error = error if isinstance(error, dict) else {}
    code, text = str(error.get("code") or "response_failed"), str(error.get("message") or "the response failed")
    return events.ServiceFailed(code, text, str(error.get("type") or ""))
