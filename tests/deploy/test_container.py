"""The images of the apps: what their Dockerfiles promise, and their steps replayed in folders, without Docker."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import time
import tomllib
import urllib.error
import urllib.request
import venv
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from .dockerfile import Replay, Stage, ignored, read

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "examples" / "web_app" / "deploy.sh"


class App:
    """An app with a Dockerfile: what it is started by, what else is in it, how it is told where to listen."""

    def __init__(self, name: str, program: str, *files: str, healthy: dict[str, Any]) -> None:
        self.folder = ROOT / "examples" / name
        self.program = program
        self.files = {program, "requirements.txt", *files}
        self.healthy = healthy

    @cached_property
    def stages(self) -> list[Stage]:
        return read(self.folder / "Dockerfile")

    @property
    def final(self) -> Stage:
        return self.stages[-1]


WEB_APP = App("web_app", "app.py", healthy={"status": "ok", "sessions": 0})
LAB = App(
    "lab_flask_app",
    "flask_app.py",
    *("static", "templates", "visitors.py", "ws_audio.py"),
    healthy={"ok": True, "state": "idle"},
)


@pytest.fixture(scope="module", params=[WEB_APP, LAB], ids=lambda app: app.folder.name)
def app(request: pytest.FixtureRequest) -> App:
    return request.param  # type: ignore[no-any-return]


# --- what it promises -------------------------------------------------------------------------------------------


def test_both_stages_have_the_same_slim_python_that_the_library_supports(app: App) -> None:
    build, final = app.stages
    assert build.image == final.image
    found = re.fullmatch(r"python:(3\.\d+)-slim", final.image)
    assert found is not None
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert f"Programming Language :: Python :: {found[1]}" in project["classifiers"]


def test_nothing_is_compiled_and_no_compiler_comes_in(app: App) -> None:
    commands = " ".join(each.text for stage in app.stages for each in stage.all("RUN"))
    assert "--only-binary :all:" in commands
    assert re.findall(r"apt-get|apk|gcc|build-essential|curl|wget", commands) == []
    assert [each.text.split()[0] for each in app.final.all("RUN")] == ["useradd"]


def test_the_app_is_not_root_and_cannot_change_itself(app: App) -> None:
    final = app.final
    assert final.one("USER").text == "app"
    assert "--system" in final.one("RUN").text
    assert not [each for each in final.all("COPY") if "--chown" in each.text]
    names = [each.name for each in final.instructions]
    assert names.index("USER") < names.index("CMD")


def test_signals_reach_the_app_and_its_words_the_log(app: App) -> None:
    final = app.final
    assert final.one("CMD").words == ["python", app.program]  # no shell
    assert final.environment["PYTHONUNBUFFERED"] == "1"
    assert final.environment["HOST"] == "0.0.0.0"
    assert final.environment["PORT"] == final.one("EXPOSE").text


def test_what_azd_knows_and_what_is_secret_stays_outside() -> None:
    assert {".azure", ".env*", ".git", ".venv", "infra", "deploy.sh"} <= set(ignored(WEB_APP.folder))


def test_the_requirement_is_this_library(app: App) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    requirements = (app.folder / "requirements.txt").read_text(encoding="utf-8").split()
    (own,) = [each for each in requirements if each.startswith(project["name"])]
    lowest, _, below = own.removeprefix(f"{project['name']}>=").partition(",<")
    version = [int(part) for part in project["version"].split(".")]
    assert [int(part) for part in lowest.split(".")] <= version < [int(part) for part in below.split(".")]


# --- its steps --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def replay(app: App, tmp_path_factory: pytest.TempPathFactory) -> Replay:
    """The image, built from what deploy.sh puts together."""
    root = tmp_path_factory.mktemp("image")
    venv.create(root / "tools", with_pip=True)
    python = root / "tools" / "bin" / "python"
    subprocess.run(
        ["bash", str(DEPLOY), "context", str(root / "context"), "--app", str(app.folder)],
        check=True,
        env={**os.environ, "PYTHON": str(python)},
    )
    made = Replay(root / "context", root / "stages", python, app.stages)
    made.run()
    return made


@pytest.fixture
def port() -> Iterator[int]:
    """A port on which nobody listens but who is told of it: it stays taken, for a server that reuses addresses."""
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", 0))
        yield int(taken.getsockname()[1])


@pytest.fixture
def running(app: App, replay: Replay, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """The container's command, in its folder and with its variables."""
    where = {"PORT": str(port), "HOST": "127.0.0.1", "AZURE_VOICELIVE_ENDPOINT": "emulator"}
    process = replay.command(app.final, app.final.one("CMD").words, **where)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def health(port: int, process: subprocess.Popen[bytes]) -> dict[str, object]:
    """The answer of /health, as soon as there is one."""
    while process.poll() is None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=20) as answer:
                return dict(json.load(answer))
        except OSError:  # it does not listen yet, or is slow to answer
            time.sleep(0.1)
    raise AssertionError(f"the app ended with {process.returncode}")


@pytest.mark.e2e
@pytest.mark.linux
@pytest.mark.timeout(900)  # an image is built, with what the network has to bring
class TestReplayed:
    def test_the_image_has_the_app_and_the_library_and_nothing_else(self, app: App, replay: Replay) -> None:
        assert {path.name for path in replay.inside(app.final, "/app").iterdir()} == app.files
        assert {path.name for path in replay.folder(app.final).iterdir()} == {"app", "venv"}
        packages = replay.inside(app.final, "/venv/lib")
        assert list(packages.glob("python3.*/site-packages/voicelive_agent/web/__init__.py"))

    def test_the_app_is_healthy_and_ends_when_told(
        self, app: App, replay: Replay, running: subprocess.Popen[bytes], port: int
    ) -> None:
        answer = health(port, running)
        assert answer.items() >= app.healthy.items()
        words = json.loads(app.final.one("HEALTHCHECK").text.partition("CMD ")[2])
        asked = (
            replay.command(app.final, words, PORT=str(port)).wait() for _ in range(3)
        )  # as often as Docker asks
        assert 0 in asked
        running.send_signal(signal.SIGTERM)
        assert running.wait() == 0

    def test_the_health_check_notices_that_nothing_answers(self, app: App, replay: Replay, port: int) -> None:
        words = json.loads(app.final.one("HEALTHCHECK").text.partition("CMD ")[2])
        assert replay.command(app.final, words, PORT=str(port)).wait() == 1

    def test_without_an_endpoint_the_app_says_what_is_missing(self, app: App, replay: Replay, port: int) -> None:
        where = {"PORT": str(port), "HOST": "127.0.0.1"}
        process = replay.command(app.final, app.final.one("CMD").words, **where, stderr=subprocess.PIPE)
        if app is WEB_APP:
            _, words = process.communicate()
            assert process.returncode == 1
            assert b"AZURE_VOICELIVE_ENDPOINT" in words
            return
        with process:  # this one says it on its page, when somebody presses Start
            health(port, process)
            asked = urllib.request.Request(f"http://127.0.0.1:{port}/start-session", method="POST")
            with pytest.raises(urllib.error.HTTPError) as refused:
                urllib.request.urlopen(asked, timeout=20)
            assert refused.value.code == 400
            assert "AZURE_VOICE_LIVE_ENDPOINT" in refused.value.read().decode()
            process.terminate()
