"""The web app as one deploys it: your agent behind the page, one conversation for each visitor, on one port.

    pip install -r requirements.txt
    AZURE_VOICELIVE_ENDPOINT=emulator python app.py        beside `voicelive-agent emulator`; or your own endpoint

The environment says the rest: PORT and HOST, ALLOWED_HOSTS (names that this server goes by, with commas), PROXIES
in front of it, SESSIONS at once, DRAIN_S that running ones may go on after SIGTERM, and all that VoiceAgent reads.
"""

from __future__ import annotations

import os

from aiohttp import web
from azure.identity.aio import DefaultAzureCredential

from voicelive_agent import VoiceAgent
from voicelive_agent.web import WebLimits, create_app


class Assistant(VoiceAgent):
    """Your agent goes here: its instructions, its tools, what it does when something happens."""

    instructions = "You are a friendly assistant. Answer in one or two short sentences."


def build() -> web.Application:
    """The application, as the environment wants it."""
    env = os.environ
    # The identity that Azure gives the container. One for all: its token is fetched once, not for each visitor.
    identity = DefaultAzureCredential() if "AZURE_CLIENT_ID" in env else None
    app = create_app(
        lambda: Assistant(credential=identity),
        hosts=[host.strip() for host in env["ALLOWED_HOSTS"].split(",")] if "ALLOWED_HOSTS" in env else None,
        proxies=int(env.get("PROXIES", 0)),
        limits=WebLimits(sessions=int(env.get("SESSIONS", 50)), drain_s=float(env.get("DRAIN_S", 10))),
    )
    if identity is not None:
        app.on_cleanup.append(lambda _: identity.close())
    return app


if __name__ == "__main__":
    port = os.environ.get("PORT") or os.environ.get("WEBSITES_PORT") or 8000
    web.run_app(build(), host=os.environ.get("HOST", "127.0.0.1"), port=int(port), access_log=None)
