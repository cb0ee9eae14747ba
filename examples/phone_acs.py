"""A receptionist on the telephone, by Azure Communication Services.

    voicelive-agent emulator
    AZURE_VOICELIVE_ENDPOINT=emulator python examples/phone_acs.py

This is the WebSocket that a call's audio comes to, and the webhook of an Event Grid subscription. What is not here
is the one line that *answers* the call: answer_call() of the package azure-communication-callautomation, which you
tell to stream the audio to wss://YOUR.HOST/media, both ways. It is written out in docs/how-to/telephone.md.
"""

from __future__ import annotations

import os

from aiohttp import web

from voicelive_agent import Interrupted, VoiceAgent
from voicelive_agent.errors import TransportError
from voicelive_agent.websocket import AzureCommunicationServices, WebSocketAudio


class Receptionist(VoiceAgent):
    instructions = "You are the receptionist of the city library, on the telephone. Be brief."
    greeting = "City library, good morning!"

    def on_interrupted(self, event: Interrupted) -> None:
        about = "about " if event.heard_estimated else ""  # nothing comes back that says what was played
        print(f"cut off after {about}{event.heard_ms} ms", flush=True)


async def events(request: web.Request) -> web.Response:
    """Event Grid: first it asks whether this is its webhook, later it tells of calls."""
    for event in await request.json():
        if event["eventType"] == "Microsoft.EventGrid.SubscriptionValidationEvent":
            return web.json_response({"validationResponse": event["data"]["validationCode"]})
        print("to be answered:", event["data"]["incomingCallContext"], flush=True)
    return web.Response()


async def media(request: web.Request) -> web.WebSocketResponse:
    """The call itself, once it was answered."""
    websocket = web.WebSocketResponse(max_msg_size=65_536)
    await websocket.prepare(request)
    try:
        async with WebSocketAudio(websocket, AzureCommunicationServices()) as line:
            verdict = await Receptionist.from_env().run(line, line)
            print(request.headers.get("x-ms-call-connection-id"), verdict.reason.value, flush=True)
    except TransportError as error:  # anybody can connect, and say anything
        print(error, flush=True)
    return websocket


if __name__ == "__main__":
    app = web.Application()
    app.add_routes([web.post("/events", events), web.get("/media", media)])
    web.run_app(app, host="127.0.0.1", port=int(os.environ.get("PORT", "8080")))
