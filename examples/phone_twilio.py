"""A receptionist on the telephone, by Twilio Media Streams: G.711 from the caller to Voice Live, and back.

    voicelive-agent emulator
    AZURE_VOICELIVE_ENDPOINT=emulator python examples/phone_twilio.py

Twilio must reach it by https and wss, so put a tunnel or a proxy in front, and set the webhook of your number ("A
call comes in") to https://YOUR.HOST/voice. Check who calls before you pay for it: docs/how-to/telephone.md.
"""

from __future__ import annotations

import os
from xml.sax.saxutils import quoteattr

from aiohttp import web

from voicelive_agent import VoiceAgent
from voicelive_agent.errors import TransportError
from voicelive_agent.events import DtmfReceived
from voicelive_agent.websocket import Twilio, WebSocketAudio


class Receptionist(VoiceAgent):
    instructions = "You are the receptionist of the city library, on the telephone. Be brief."
    greeting = "City library, good morning!"

    def on_dtmf_received(self, event: DtmfReceived) -> None:
        if event.digit == "#":
            self.stop()  # the stream ends, and after <Connect> there is nothing: Twilio hangs up


async def voice(request: web.Request) -> web.Response:
    """Twilio asks what to do with a call."""
    stream = f"<Stream url={quoteattr(f'wss://{request.host}/media')}/>"
    return web.Response(text=f"<Response><Connect>{stream}</Connect></Response>", content_type="text/xml")


async def media(request: web.Request) -> web.WebSocketResponse:
    """The call itself."""
    websocket = web.WebSocketResponse(max_msg_size=65_536)
    await websocket.prepare(request)
    try:
        async with WebSocketAudio(websocket, Twilio()) as line:
            verdict = await Receptionist.from_env().run(line, line)
            print(line.start.call_sid, verdict.reason.value, flush=True)
    except TransportError as error:  # anybody can connect, and say anything
        print(error, flush=True)
    return websocket


if __name__ == "__main__":
    app = web.Application()
    app.add_routes([web.post("/voice", voice), web.get("/media", media)])
    web.run_app(app, host="127.0.0.1", port=int(os.environ.get("PORT", "8080")))
