"""The image of the web app: what its Dockerfile promises, and its steps replayed in folders, without Docker."""

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
from pathlib import Path

import pytest

from .dockerfile import Replay, ignored, read

ROOT = Path(__file__).parents[2]
WEB_APP = ROOT / "examples" / "web_app"
STAGES = read(WEB_APP / "Dockerfile")
BUILD, FINAL = STAGES


# --- what it promises -------------------------------------------------------------------------------------------


def test_both_stages_have_the_same_slim_python_that_the_library_supports() -> None:
    assert BUILD.image == FINAL.image
    found = re.fullmatch(r"python:(3\.\d+)-slim", FINAL.image)
    assert found is not None
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert f"Programming Language :: Python :: {found[1]}" in project["classifiers"]


def test_nothing_is_compiled_and_no_compiler_comes_in() -> None:
    commands = " ".join(each.text for stage in STAGES for each in stage.all("RUN"))
    assert "--only-binary :all:" in commands
    assert re.findall(r"apt-get|apk|gcc|build-essential|curl|wget", commands) == []
    assert [each.text.split()[0] for each in FINAL.all("RUN")] == ["useradd"]


def test_the_app_is_not_root_and_cannot_change_itself() -> None:
    assert FINAL.one("USER").text == "app"
    assert "--system" in FINAL.one("RUN").text
    assert not [each for each in FINAL.all("COPY") if "--chown" in each.text]
    names = [each.name for each in FINAL.instructions]
    assert names.index("USER") < names.index("CMD")


def test_signals_reach_the_app_and_its_words_the_log() -> None:
    assert FINAL.one("CMD").words == ["python", "app.py"]  # no shell
    assert FINAL.environment["PYTHONUNBUFFERED"] == "1"
    assert FINAL.environment["HOST"] == "0.0.0.0"
    assert FINAL.environment["PORT"] == FINAL.one("EXPOSE").text


def test_what_azd_knows_and_what_is_secret_stays_outside() -> None:
    assert {".azure", ".env*", ".git", ".venv", "infra", "deploy.sh"} <= set(ignored(WEB_APP))


def test_the_requirement_is_this_library() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    requirements = (WEB_APP / "requirements.txt").read_text(encoding="utf-8").split()
    (own,) = [each for each in requirements if each.startswith(project["name"])]
    lowest, _, below = own.removeprefix(f"{project['name']}>=").partition(",<")
    version = [int(part) for part in project["version"].split(".")]
    assert [int(part) for part in lowest.split(".")] <= version < [int(part) for part in below.split(".")]


# --- its steps --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def replay(tmp_path_factory: pytest.TempPathFactory) -> Replay:
    """The image, built from what deploy.sh puts together."""
    root = tmp_path_factory.mktemp("image")
    venv.create(root / "tools", with_pip=True)
    python = root / "tools" / "bin" / "python"
    subprocess.run(
        ["bash", str(WEB_APP / "deploy.sh"), "context", str(root / "context")],
        check=True,
        env={**os.environ, "PYTHON": str(python)},
    )
    made = Replay(root / "context", root / "stages", python, STAGES)
    made.run()
    return made


@pytest.fixture
def port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.fixture
def running(replay: Replay, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """The container's command, in its folder and with its variables."""
    process = replay.command(
        FINAL, FINAL.one("CMD").words, PORT=str(port), HOST="127.0.0.1", AZURE_VOICELIVE_ENDPOINT="emulator"
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def health(port: int, process: subprocess.Popen[bytes]) -> dict[str, object]:
    """The answer of /health, as soon as there is one."""
    while process.poll() is None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as answer:
                return dict(json.load(answer))
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.1)
    raise AssertionError(f"the app ended with {process.returncode}")


@pytest.mark.e2e
@pytest.mark.linux
@pytest.mark.timeout(300)
class TestReplayed:
    def test_the_image_has_the_app_and_the_library_and_nothing_else(self, replay: Replay) -> None:
        app = {path.name for path in replay.inside(FINAL, "/app").iterdir()}
        assert app == {"app.py", "requirements.txt"}
        assert {path.name for path in replay.folder(FINAL).iterdir()} == {"app", "venv"}
        packages = replay.inside(FINAL, "/venv/lib")
        assert list(packages.glob("python3.*/site-packages/voicelive_agent/web/__init__.py"))

    def test_the_app_is_healthy_and_ends_when_told(
        self, replay: Replay, running: subprocess.Popen[bytes], port: int
    ) -> None:
        answer = health(port, running)
        assert (answer["status"], answer["sessions"]) == ("ok", 0)
        words = json.loads(FINAL.one("HEALTHCHECK").text.partition("CMD ")[2])
        assert replay.command(FINAL, words, PORT=str(port)).wait() == 0
        running.send_signal(signal.SIGTERM)
        assert running.wait() == 0

    def test_the_health_check_notices_that_nothing_answers(self, replay: Replay, port: int) -> None:
        words = json.loads(FINAL.one("HEALTHCHECK").text.partition("CMD ")[2])
        assert replay.command(FINAL, words, PORT=str(port)).wait() == 1

    def test_without_an_endpoint_the_app_says_what_is_missing(self, replay: Replay, port: int) -> None:
        process = replay.command(FINAL, FINAL.one("CMD").words, PORT=str(port), stderr=subprocess.PIPE)
        _, words = process.communicate()
        assert process.returncode == 1
        assert b"AZURE_VOICELIVE_ENDPOINT" in words
