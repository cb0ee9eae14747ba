"""The app of Microsoft's Voice Live lab, with a session for each visitor.

    pip install -r requirements.txt
    AZURE_VOICE_LIVE_ENDPOINT=emulator:8766 python flask_app.py      beside `voicelive-agent emulator --port 8766`

Routes, messages, states and environment variables are the lab's; README.md has the few that are new.
"""

from __future__ import annotations

import logging
import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any, Final
from urllib.parse import urlsplit

from flask import Flask, Response, g, jsonify, render_template, request
from flask.typing import ResponseReturnValue
from visitors import Full, Visitor, Visitors
from werkzeug.exceptions import HTTPException
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server
from ws_audio import NotAWebSocket, Over, receive

from voicelive_agent.config import ModelTarget, Settings, from_env
from voicelive_agent.errors import ConfigurationError
from voicelive_agent.lab import Broadcast, StateCallback, VoiceLiveAssistant, decode_audio

COOKIE: Final = "voicelive_visitor"
INSTRUCTIONS: Final = "You are a friendly assistant. Answer in one or two short sentences."
HEARTBEAT_S: Final = 0.25
STALLED_S: Final = 30.0
"""Who takes nothing for so long, or is so slow to ask, is cut off."""
DRAIN_S: Final = 5.0
LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})
MICROPHONE_ONLY: Final = "voicelive.microphone_only"

logger = logging.getLogger("lab_flask_app")


def create_app(environ: dict[str, str] | None = None) -> Flask:
    """The application; it reads ``environ``, or the process's, and opens nothing."""
    env = dict(os.environ) if environ is None else environ
    app = Flask(__name__)
    app.config["MAX_CONTENT_LENGTH"] = 512 * 1024
    visitors = Visitors(int(env.get("SESSIONS") or 20))
    app.extensions["visitors"] = visitors
    if proxies := int(env.get("PROXIES") or 0):
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=proxies, x_proto=proxies)  # type: ignore[method-assign]
    _add_border(app, visitors, env)
    _add_page(app, env)
    _add_session(app, visitors, env)
    _add_audio(app)
    return app


# --- who asks, and what a browser is told ---------------------------------------------------------


def _add_border(app: Flask, visitors: Visitors, env: dict[str, str]) -> None:
    """Refuse what is not from our own page, and know the visitor."""
    hosts = _hosts(env)

    def check() -> ResponseReturnValue | None:
        if MICROPHONE_ONLY in request.environ and request.path != "/ws-audio":
            return jsonify({"error": "Only the microphone's WebSocket is here."}), 404
        if request.path == "/health":  # platforms ask for it by address
            return None
        if hosts is not None and _host(request.host) not in hosts:
            return jsonify({"error": "This server does not go by that name."}), 403
        g.visitor = visitors.find(request.cookies.get(COOKIE))
        origin = request.headers.get("Origin", "")
        if request.method not in ("GET", "HEAD", "OPTIONS") and origin and not _is_ours(origin):
            logger.warning("Refused %s from a page of %.100s.", request.path, origin)
            return jsonify({"error": "This page may not do that."}), 403
        if g.visitor is None and request.endpoint not in (None, "static", "microphone"):
            g.cookie, g.visitor = visitors.admit()
        return None

    def add_headers(response: Response) -> Response:
        if "cookie" in g:
            response.set_cookie(COOKIE, g.cookie, httponly=True, samesite="Lax", secure=request.is_secure)
        response.headers.update(_security_headers(env))
        return response

    def full(error: Full) -> ResponseReturnValue:
        return jsonify({"error": str(error)}), 503

    def refused(error: HTTPException) -> ResponseReturnValue:
        response = error.get_response(request.environ)  # it knows more: what is allowed instead
        response.data = app.json.dumps({"error": error.description}).encode()
        response.content_type = "application/json"
        return response

    app.before_request(check)
    app.after_request(add_headers)
    app.register_error_handler(Full, full)
    app.register_error_handler(HTTPException, refused)


def _is_ours(origin: str) -> bool:
    """Whether a page is of this server: same host and port."""
    return urlsplit(origin).netloc.lower() == request.host.lower()


def _hosts(env: dict[str, str]) -> frozenset[str] | None:
    """The names this server goes by; None is any. On loopback only these: another may be an attacker's for it."""
    if named := env.get("ALLOWED_HOSTS"):
        return frozenset(name.strip().lower() for name in named.split(","))
    return LOOPBACK if (env.get("HOST") or "127.0.0.1") in ("127.0.0.1", "localhost", "::1") else None


def _host(netloc: str) -> str:
    """A host without its port."""
    name, colon, port = netloc.lower().rpartition(":")
    return name if colon and port.isdigit() and (":" not in name or name.endswith("]")) else netloc.lower()


def _security_headers(env: dict[str, str]) -> dict[str, str]:
    """No script but ours. The lab's page has styles in its elements, and a picture in its text: these may be."""
    sockets = ""
    if re.fullmatch(r"[a-z0-9.:\[\]-]+", request.host.lower()):  # what a client writes must not become a policy
        lab = f"{_host(request.host)}:{env['LAB_WS_PORT']}" if env.get("LAB_WS_PORT") else request.host
        sockets = "".join(f" ws://{each} wss://{each}" for each in sorted({request.host, lab}))
    policy = [
        "default-src 'none'",
        "script-src 'self'",
        "worker-src 'self'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data:",
        f"connect-src 'self'{sockets}",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ]
    return {
        "Content-Security-Policy": "; ".join(policy),
        "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-cache",
    }


# --- the page -------------------------------------------------------------------------------------


def _add_page(app: Flask, env: dict[str, str]) -> None:
    def index() -> ResponseReturnValue:
        return render_template("index.html", env=_in_force(env))

    def events() -> ResponseReturnValue:
        told = _told(g.visitor)
        # The first piece is taken here: from then on the visitor is known to listen.
        response = Response(chain([next(told)], told), mimetype="text/event-stream")
        response.headers["X-Accel-Buffering"] = "no"  # nginx would wait for more
        return response

    def status() -> ResponseReturnValue:
        return jsonify(g.visitor.status)

    def health() -> ResponseReturnValue:
        visitor = app.extensions["visitors"].find(request.cookies.get(COOKIE))
        told = visitor.status if visitor is not None else {"state": "idle", "connected": False}
        return jsonify(
            {
                "ok": told["state"] != "error",
                "state": told["state"],
                "connected": told["connected"],
                "has_connection_obj": told["connected"],
            }
        )

    app.get("/")(index)
    app.get("/events")(events)
    app.get("/status")(status)
    app.get("/health")(health)


def _told(visitor: Visitor) -> Iterator[str]:
    with visitor.stream() as stream:
        yield from stream.sent(HEARTBEAT_S)


def _in_force(env: dict[str, str]) -> dict[str, str]:
    """The configuration as the page shows it: the lab's four variables, and no secret."""
    shown = dict.fromkeys(
        ("VOICE_LIVE_MODEL", "VOICE_LIVE_VOICE", "AZURE_VOICE_LIVE_ENDPOINT", "VOICE_LIVE_INSTRUCTIONS"),
        "(not set)",
    )
    try:
        settings = from_env(env)
    except ConfigurationError:
        return shown | {name: env[name] for name in ("VOICE_LIVE_MODEL", "VOICE_LIVE_VOICE") if env.get(name)}
    shown["VOICE_LIVE_MODEL"] = _model(settings)
    shown["VOICE_LIVE_VOICE"] = _voice(settings)
    shown["VOICE_LIVE_INSTRUCTIONS"] = settings.session.instructions or INSTRUCTIONS
    url = urlsplit(str(settings.endpoint))
    shown["AZURE_VOICE_LIVE_ENDPOINT"] = f"{url.scheme}://{url.netloc}{url.path}"
    return shown


def _model(settings: Settings) -> str:
    return settings.target.model if isinstance(settings.target, ModelTarget) else settings.target.agent


def _voice(settings: Settings) -> str:
    voice = settings.session.voice
    return voice if isinstance(voice, str) else str(getattr(voice, "name", ""))


# --- the session ----------------------------------------------------------------------------------


def _add_session(app: Flask, visitors: Visitors, env: dict[str, str]) -> None:
    def make(state_callback: StateCallback, broadcast: Broadcast) -> VoiceLiveAssistant:
        settings = from_env(env)
        return VoiceLiveAssistant(
            endpoint=str(settings.endpoint),
            credential=settings.credential,
            model=_model(settings),
            voice=_voice(settings),
            instructions=settings.session.instructions or INSTRUCTIONS,
            state_callback=state_callback,
            broadcast=broadcast,
        )

    def start_session() -> ResponseReturnValue:
        visitor: Visitor = g.visitor
        code, started = 200, False
        try:
            started = visitors.start(visitor, make)
            visitor.origin = request.headers.get("Origin", "").lower()
        except ConfigurationError as error:
            code = 400
            visitor.fail(str(error))
        except Full as full:
            code = 503
            visitor.fail(str(full))
        return jsonify({"started": started, "status": visitor.status}), code

    def stop_session() -> ResponseReturnValue:
        if g.visitor.stop():
            return jsonify({"stopped": True})
        return jsonify({"stopped": False, "reason": "No active session"}), 400

    def interrupt() -> ResponseReturnValue:
        if (assistant := g.visitor.assistant) is None:
            return jsonify({"interrupted": False, "reason": "No active session"}), 400
        g.visitor.tell({"type": "log", "level": "info", "msg": "Interrupt requested."})
        assistant.interrupt()  # after that: what it does is told by another thread
        return jsonify({"interrupted": True})

    app.post("/start-session")(start_session)
    app.post("/stop-session")(stop_session)
    app.post("/interrupt")(interrupt)


# --- the microphone -------------------------------------------------------------------------------


def _add_audio(app: Flask) -> None:
    def audio_chunk() -> ResponseReturnValue:
        if (assistant := g.visitor.assistant) is None:
            return jsonify({"accepted": False, "reason": "No active session"}), 400
        content = request.get_json(silent=True)
        audio = content.get("audio") if isinstance(content, dict) else None
        if not audio:
            return jsonify({"accepted": False, "reason": "Missing audio field"}), 400
        try:
            assistant.append_pcm(decode_audio(audio))
        except ValueError as error:
            g.visitor.tell({"type": "log", "level": "warn", "msg": f"Audio was left out: {error}."})
            return jsonify({"accepted": False, "reason": f"The audio is wrong: {error}"}), 400
        return jsonify({"accepted": True})

    def microphone() -> ResponseReturnValue:
        visitor: Visitor | None = g.visitor
        if visitor is None or not _may_open_microphone(visitor):
            logger.warning("Refused a WebSocket from a page of %.100s.", request.headers.get("Origin"))
            return jsonify({"error": "This page may not do that."}), 403
        if (connection := request.environ.get("werkzeug.socket")) is None:
            return jsonify({"error": "No WebSocket on this server: use POST /audio-chunk."}), 501
        with visitor.socket():
            try:
                messages = receive(connection, request.headers.items(), request.path)
            except NotAWebSocket:
                return jsonify({"error": "A WebSocket is expected here."}), 400
            for pcm in messages:
                if (assistant := visitor.assistant) is not None:
                    assistant.append_pcm(pcm)
        return Over()

    app.post("/audio-chunk")(audio_chunk)
    app.add_url_rule("/ws-audio", view_func=microphone, websocket=True)


def _may_open_microphone(visitor: Visitor) -> bool:
    """Whether the page is ours. On the lab's port it is the page that has started the session: another port's."""
    origin = request.headers.get("Origin", "").lower()
    if MICROPHONE_ONLY in request.environ:
        return bool(origin) and origin == visitor.origin
    return _is_ours(origin)


# --- the server -----------------------------------------------------------------------------------


class Handler(WSGIRequestHandler):
    """Werkzeug's, which logs what fails only, and does not wait for ever."""

    timeout = STALLED_S
    protocol_version = "HTTP/1.1"

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        if str(code) >= "400":
            super().log_request(code, size)


def microphone_only(app: Callable[..., Any]) -> Callable[..., Any]:
    """The same application where nothing but ``/ws-audio`` is wanted."""

    def limited(environ: dict[str, Any], start_response: Any) -> Any:
        environ[MICROPHONE_ONLY] = True
        return app(environ, start_response)

    return limited


def _serve(host: str, port: int, app: Callable[..., Any]) -> BaseWSGIServer:
    server = make_server(host, port, app, threaded=True, request_handler=Handler)
    threading.Thread(target=server.serve_forever, name=f"port {server.server_port}", daemon=True).start()
    return server


def _warm_up() -> None:
    """Load what a session needs, so that not the first visitor waits for it."""
    import azure.ai.voicelive.aio  # noqa: F401
    import numpy  # noqa: F401


def main() -> None:
    """Serve until SIGTERM or Ctrl-C; then end the sessions."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    host = os.environ.get("HOST") or "127.0.0.1"
    port = int(os.environ.get("PORT") or os.environ.get("FLASK_RUN_PORT") or 5000)
    app = create_app()
    stopping = threading.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda *_: stopping.set())
    threading.Thread(target=_warm_up, name="warm-up", daemon=True).start()
    servers = [_serve(host, port, app)]
    logger.info("Open http://%s:%d", host, servers[0].server_port)
    if lab_port := os.environ.get("LAB_WS_PORT"):
        servers.append(_serve(host, int(lab_port), microphone_only(app)))
        logger.info("The lab's page finds /ws-audio on port %d", servers[1].server_port)
    while not stopping.wait(0.5):  # a wait without an end cannot be interrupted on Windows
        pass
    logger.info("Stopping.")
    app.extensions["visitors"].drain(DRAIN_S)
    for server in servers:
        server.shutdown()
        server.server_close()


if __name__ == "__main__":
    try:
        main()
    except OSError as error:
        sys.exit(f"The server cannot start: {error}")
