"""The web app: a page that talks to your agent, its server, and both as parts of yours.

``voicelive-agent serve`` runs it. :func:`create_app` is the same for aiohttp, :func:`create_asgi_app` for FastAPI
and Starlette; :class:`WebApp` is what they share, for other frameworks.
"""

from __future__ import annotations

from ._app import AgentFactory, Answer, WebApp
from ._visitors import WebLimits
from .aiohttp_app import create_app
from .asgi import create_asgi_app

__all__ = ["AgentFactory", "Answer", "WebApp", "WebLimits", "create_app", "create_asgi_app"]
