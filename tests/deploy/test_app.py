"""app.py: what of its environment becomes what of the application."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import pytest
from aiohttp import web

from voicelive_agent.web.aiohttp_app import APP

PATH = Path(__file__).parents[2] / "examples" / "web_app" / "app.py"
OURS = ("AZURE_CLIENT_ID", "ALLOWED_HOSTS", "PROXIES", "SESSIONS", "DRAIN_S", "AZURE_VOICELIVE_API_KEY")


@pytest.fixture
def build(monkeypatch: pytest.MonkeyPatch) -> Callable[..., web.Application]:
    """Builds the application with these variables and none of this machine's."""

    def built(**environ: str) -> web.Application:
        for name in OURS:
            monkeypatch.delenv(name, raising=False)
        for name, value in {"AZURE_VOICELIVE_ENDPOINT": "https://talk.services.ai.azure.com", **environ}.items():
            monkeypatch.setenv(name, value)
        spec = importlib.util.spec_from_file_location("deployed_app", PATH)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        app = module.build()
        assert isinstance(app, web.Application)
        return app

    return built


def test_on_this_machine_the_defaults_hold(build: Callable[..., web.Application]) -> None:
    here = build()[APP]
    assert (here.limits.sessions, here.limits.drain_s) == (50, 10.0)
    assert here.guard.hosts is None
    assert here.guard.proxies == 0


def test_the_platform_says_the_rest(build: Callable[..., web.Application]) -> None:
    here = build(SESSIONS="7", DRAIN_S="90", PROXIES="1", ALLOWED_HOSTS="talk.example, www.talk.example")[APP]
    assert (here.limits.sessions, here.limits.drain_s) == (7, 90.0)
    assert here.guard.hosts == frozenset({"talk.example", "www.talk.example"})
    assert here.guard.proxies == 1


async def test_the_identity_of_the_container_is_closed_at_the_end(
    build: Callable[..., web.Application], monkeypatch: pytest.MonkeyPatch
) -> None:
    from azure.identity.aio import DefaultAzureCredential

    closed: list[DefaultAzureCredential] = []

    async def close(self: DefaultAzureCredential) -> None:
        closed.append(self)

    monkeypatch.setattr(DefaultAzureCredential, "close", close)
    for environ in ({}, {"AZURE_CLIENT_ID": "33333333-3333-3333-3333-333333333333"}):
        app = build(**environ)
        runner = web.AppRunner(app)
        await runner.setup()
        await runner.cleanup()
        assert len(closed) == len(environ)


def test_what_the_templates_set_is_what_the_app_reads() -> None:
    """A variable that nobody reads would be a setting without effect."""
    text = PATH.read_text(encoding="utf-8")
    infra = (PATH.parent / "infra" / "main.bicep").read_text(encoding="utf-8")
    block = infra.partition("var settings = union(")[2].partition("appSettings")[0]
    names = [line.split(":")[0].strip() for line in block.splitlines() if ":" in line]
    libraries = {"AZURE_TOKEN_CREDENTIALS", "AZURE_VOICELIVE_ENDPOINT"}
    assert len(names) == 8
    assert [name for name in names if f'"{name}"' not in text and name not in libraries] == []
