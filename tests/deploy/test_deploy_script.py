"""deploy.sh against stand-ins for az and azd: what it calls, in which order, and what it says when one refuses."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
WEB_APP = ROOT / "examples" / "web_app"
SCRIPT = WEB_APP / "deploy.sh"
NAME = "voicelive-web-app"
# All that the script finds, beside its stand-ins: no az of this machine.
TOOLS = ["bash", "basename", "cat", "cp", "date", "dirname", "grep", "mkdir", "mktemp", "rm", "sed", "sh", "tr"]
HOSTS = ["appservice", "containerapp"]

pytestmark = [pytest.mark.e2e, pytest.mark.linux]  # bash

NEW = [f"azd env new {NAME}", "azd env set APP_HOST appservice", "azd env set APP_NAME web-app"]
UPDATE = {
    "appservice": ["az webapp config set", "az webapp restart"],
    "containerapp": ["az containerapp update"],
}
BUILD = ["python -m pip wheel", "az acr build", "azd env set APP_IMAGE"]


@dataclass
class Desk:
    """A machine with stand-ins, and what has happened there."""

    folder: Path

    def run(self, *arguments: str, words: str = "", **environ: str) -> subprocess.CompletedProcess[str]:
        """Run the script; ``words`` are typed."""
        return subprocess.run(
            [str(self.folder / "bin" / "bash"), str(SCRIPT), *arguments],
            input=words,
            capture_output=True,
            text=True,
            check=False,
            env={
                "PATH": str(self.folder / "bin"),
                "HOME": str(self.folder),
                "TMPDIR": str(self.folder / "tmp"),
                "PYTHON": str(self.folder / "bin" / "python"),
                "STANDIN_DIR": str(self.folder),
                **environ,
            },
        )

    def works(self, *arguments: str, words: str = "", **environ: str) -> str:
        """The same, when it must succeed; gives what is printed."""
        done = self.run(*arguments, words=words, **environ)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    @property
    def notes(self) -> list[dict[str, Any]]:
        path = self.folder / "calls.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    @property
    def calls(self) -> list[str]:
        """The calls that change something, without their options."""
        asking = (["azd", "env", "get-value"], ["azd", "auth"], ["az", "account"], ["context"], ["deployed"])
        changing = [
            note["call"] for note in self.notes if not any(note["call"][: len(ask)] == ask for ask in asking)
        ]
        return [
            " ".join(each[: next((i for i, word in enumerate(each) if word[:2] == "--"), 99)]) for each in changing
        ]

    def call(self, *words: str) -> list[str]:
        """The only call that begins so."""
        (found,) = [note["call"] for note in self.notes if note["call"][: len(words)] == list(words)]
        return list(found)

    def forget_calls(self) -> None:
        (self.folder / "calls.jsonl").unlink()

    def values(self, name: str = NAME) -> dict[str, str]:
        """The variables of an azd environment."""
        return dict(json.loads((self.folder / "local.json").read_text())[name])


def furnish(folder: Path) -> Desk:
    """A desk with its stand-ins, and nothing deployed."""
    for name in ("bin", "tmp"):
        (folder / name).mkdir()
    for tool in TOOLS:
        found = shutil.which(tool)
        assert found is not None
        (folder / "bin" / tool).symlink_to(found)
    interpreter, root = shlex.quote(sys.executable), shlex.quote(str(ROOT))
    for tool in ("az", "azd", "python"):
        path = folder / "bin" / tool
        command = f'PYTHONPATH={root} exec {interpreter} -S -m tests.deploy.standin {tool} "$@"'
        path.write_text(f"#!/bin/sh\n{command}\n", encoding="utf-8")
        path.chmod(0o755)
    return Desk(folder)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return furnish(tmp_path)


@pytest.fixture(scope="module", params=HOSTS)
def done_before(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """A desk where everything is deployed, to copy from."""
    before = furnish(tmp_path_factory.mktemp(request.param))
    before.works("full", "--host", request.param)
    return before


@pytest.fixture
def deployed(done_before: Desk, desk: Desk) -> Desk:
    """A desk where everything is deployed, and no call was made since."""
    for name in ("local.json", "azure.json"):
        shutil.copy(done_before.folder / name, desk.folder)
    return desk


def option(call: list[str], name: str) -> str:
    return call[call.index(name) + 1]


def same_calls(desk: Desk, expected: list[str]) -> None:
    """Calls in this order, where the expected ones are beginnings."""
    assert len(desk.calls) == len(expected), desk.calls
    for call, beginning in zip(desk.calls, expected, strict=True):
        assert call.startswith(beginning), desk.calls


# --- full -------------------------------------------------------------------------------------------------------


def test_full_makes_the_resources_then_the_image_then_the_app(desk: Desk) -> None:
    printed = desk.works("full")
    same_calls(desk, [*NEW, "azd provision", *BUILD, "azd provision"])
    before, after = [note["types"] for note in desk.notes if note["call"] == ["deployed"]]
    assert "Microsoft.CognitiveServices/accounts" in before
    assert "Microsoft.Web/sites" not in before
    assert "Microsoft.Web/sites" in after
    assert f"The app: {desk.values()['APP_URL']}" in printed
    assert desk.values()["APP_URL"].startswith("https://")


def test_full_builds_in_the_registry_that_was_made(desk: Desk) -> None:
    desk.works("full")
    values = desk.values()
    build = desk.call("az", "acr", "build")
    assert option(build, "--registry") == values["AZURE_CONTAINER_REGISTRY_NAME"]
    assert option(build, "--subscription") == values["AZURE_SUBSCRIPTION_ID"]
    image = option(build, "--image")
    assert re.fullmatch(r"web-app:\d{14}", image)
    assert values["APP_IMAGE"] == f"{values['AZURE_CONTAINER_REGISTRY_ENDPOINT']}/{image}"


def test_the_image_is_built_from_the_app_and_the_library(desk: Desk) -> None:
    desk.works("full")
    (files,) = [note["files"] for note in desk.notes if note["call"] == ["context"]]
    for expected in ("Dockerfile", ".dockerignore", "app.py", "requirements.txt"):
        assert expected in files
    assert "wheels/voicelive_agent-0.1.0-py3-none-any.whl" in files
    assert list((desk.folder / "tmp").iterdir()) == []  # and nothing is left behind


def test_full_again_changes_no_choice(desk: Desk) -> None:
    desk.works("full", "--location", "swedencentral", "--host", "containerapp")
    first = desk.values()
    desk.forget_calls()
    desk.works("full")
    same_calls(desk, ["azd provision", *BUILD, "azd provision"])
    assert desk.values().keys() == first.keys()
    assert desk.values() | {"APP_IMAGE": ""} == first | {"APP_IMAGE": ""}
    assert first["AZURE_LOCATION"] == "swedencentral"
    assert first["APP_RESOURCE_NAME"].startswith("ca-web-app-")


def test_a_pipeline_gives_its_choices_by_variables(desk: Desk) -> None:
    choices = {"AZURE_ENV_NAME": "shop-prod", "AZURE_LOCATION": "westus2", "APP_HOST": "containerapp"}
    desk.works("full", **choices, SESSIONS_PER_INSTANCE="", PLAN_SKU="", MODEL_VERSION="")
    values = desk.values("shop-prod")
    assert values["AZURE_LOCATION"] == "westus2"
    assert values["APP_HOST"] == "containerapp"


def test_another_app_is_deployed_the_same_way(desk: Desk, tmp_path: Path) -> None:
    app = tmp_path / "lab_flask_app"
    app.mkdir()
    (app / "app.py").touch()
    (app / "requirements.txt").touch()
    desk.works("full", "--app", str(app))
    name = "voicelive-lab-flask-app"
    assert desk.values(name)["APP_RESOURCE_NAME"].startswith("app-lab-flask-app-")
    assert option(desk.call("az", "acr", "build"), "--image").startswith("lab-flask-app:")
    (files,) = [note["files"] for note in desk.notes if note["call"] == ["context"]]
    assert {"app.py", "requirements.txt", "Dockerfile", ".dockerignore", "wheels"} <= set(files)
    assert "infra" not in files


def test_an_app_may_have_its_own_dockerfile(desk: Desk, tmp_path: Path) -> None:
    app, context = tmp_path / "own", tmp_path / "context"
    app.mkdir()
    (app / "Dockerfile").write_text("FROM scratch\n")
    (app / "requirements.txt").touch()
    desk.works("context", str(context), "--app", str(app))
    assert (context / "Dockerfile").read_text() == "FROM scratch\n"


# --- image ------------------------------------------------------------------------------------------------------


def test_image_builds_and_has_it_run(deployed: Desk) -> None:
    printed = deployed.works("image")
    values = deployed.values()
    update = UPDATE[values["APP_HOST"]]
    same_calls(deployed, [*BUILD, *update])
    for words in update:
        call = deployed.call(*words.split())
        assert option(call, "--resource-group") == values["AZURE_RESOURCE_GROUP"]
        assert option(call, "--name") == values["APP_RESOURCE_NAME"]
        assert option(call, "--subscription") == values["AZURE_SUBSCRIPTION_ID"]
    first = deployed.call(*update[0].split())
    if values["APP_HOST"] == "appservice":
        assert option(first, "--linux-fx-version") == f"DOCKER|{values['APP_IMAGE']}"
    else:
        assert option(first, "--image") == values["APP_IMAGE"]
    assert values["APP_URL"] in printed


def test_image_of_what_another_machine_has_deployed(deployed: Desk) -> None:
    (deployed.folder / "local.json").unlink()
    deployed.works("image")
    same_calls(deployed, [*NEW, "azd env refresh", *BUILD, *UPDATE[deployed.values()["APP_HOST"]]])


def test_image_of_nothing(desk: Desk) -> None:
    done = desk.run("image")
    assert done.returncode == 6
    assert f"Nothing is deployed as {NAME}. Run: deploy.sh full" in done.stderr
    same_calls(desk, [*NEW, "azd env refresh"])


# --- down -------------------------------------------------------------------------------------------------------


def test_down_asks_and_removes_for_good(deployed: Desk) -> None:
    printed = deployed.works("down", words="y\n")
    assert "Sure? [y/N]" in printed
    same_calls(deployed, ["azd down", "azd env set APP_IMAGE"])
    assert {"--purge", "--force"} <= set(deployed.call("azd", "down"))
    assert deployed.values()["APP_IMAGE"] == ""


@pytest.mark.parametrize("words", ["n\n", "\n", "", "never\n"])
def test_down_without_a_yes_removes_nothing(deployed: Desk, words: str) -> None:
    done = deployed.run("down", words=words)
    assert done.returncode == 1
    assert "Nothing was removed" in done.stderr
    assert deployed.calls == []


def test_down_need_not_ask(deployed: Desk) -> None:
    assert "Sure?" not in deployed.works("down", "--yes")


def test_after_down_a_deployment_begins_without_an_image(deployed: Desk) -> None:
    deployed.works("down", "--yes")
    deployed.forget_calls()
    deployed.works("full")
    before, after = [note["types"] for note in deployed.notes if note["call"] == ["deployed"]]
    assert {"Microsoft.Web/sites", "Microsoft.App/containerApps"}.isdisjoint(before)
    assert {"Microsoft.Web/sites", "Microsoft.App/containerApps"} & set(after)


def test_down_of_nothing(desk: Desk) -> None:
    done = desk.run("down", "--yes")
    assert done.returncode == 6
    assert f"There is no environment {NAME} here" in done.stderr


# --- menu -------------------------------------------------------------------------------------------------------


def test_the_menu_does_what_the_arguments_do(desk: Desk) -> None:
    printed = desk.works(words="1\n")
    assert "1) full" in printed
    same_calls(desk, [*NEW, "azd provision", *BUILD, "azd provision"])
    desk.forget_calls()
    desk.works(words="2\n")
    same_calls(desk, [*BUILD, "az webapp config set", "az webapp restart"])
    desk.forget_calls()
    desk.works(words="3\ny\n")
    same_calls(desk, ["azd down", "azd env set APP_IMAGE"])
    desk.forget_calls()
    desk.works(words="4\n")
    assert desk.notes == []


@pytest.mark.parametrize(("words", "said"), [("", "nothing was chosen"), ("9\n", "there is no choice '9'")])
def test_no_choice_in_the_menu(desk: Desk, words: str, said: str) -> None:
    done = desk.run(words=words)
    assert done.returncode == 2
    assert said in done.stderr


# --- what goes wrong --------------------------------------------------------------------------------------------


def ends_with(desk: Desk, failing: str, action: str, status: int, said: str) -> None:
    """When this call fails, the script says so, calls nothing after it, and leaves nothing behind."""
    done = desk.run(action, "--yes", STANDIN_FAIL=failing)
    assert done.returncode == status, done.stderr
    assert done.stderr.splitlines()[-1].startswith("deploy.sh: ")
    assert said in done.stderr.splitlines()[-1]
    assert desk.notes[-1]["call"][: len(failing.split())] == failing.split()
    assert list((desk.folder / "tmp").iterdir()) == []


@pytest.mark.parametrize(
    ("failing", "status", "said"),
    [
        ("az account show", 4, "az is not logged in. Run: az login"),
        ("azd auth token", 4, "azd is not logged in. Run: azd auth login"),
        ("azd env new", 8, "azd could not make the environment"),
        ("azd env set", 8, "azd does not take APP_HOST"),
        ("azd provision", 8, "azd provision failed"),
        ("python -m pip wheel", 7, "The library could not be packed"),
        ("az acr build", 7, "The image was not built"),
    ],
)
def test_full_is_refused(desk: Desk, failing: str, status: int, said: str) -> None:
    ends_with(desk, failing, "full", status, said)


def test_image_is_refused(deployed: Desk) -> None:
    ends_with(deployed, "az acr build", "image", 7, "The image was not built")
    for failing in UPDATE[deployed.values()["APP_HOST"]]:
        ends_with(deployed, failing, "image", 8, "does not take the image")


def test_down_is_refused(deployed: Desk) -> None:
    ends_with(deployed, "azd down", "down", 8, "azd down failed")
    assert deployed.values()["APP_IMAGE"] != ""


def test_a_failed_build_leaves_the_old_image_in_force(deployed: Desk) -> None:
    image = deployed.values()["APP_IMAGE"]
    deployed.run("image", STANDIN_FAIL="az acr build")
    assert deployed.values()["APP_IMAGE"] == image


@pytest.mark.parametrize("tool", ["az", "azd"])
def test_a_missing_tool(desk: Desk, tool: str) -> None:
    (desk.folder / "bin" / tool).unlink()
    done = desk.run("full")
    assert done.returncode == 3
    assert f"{tool} is missing: https://" in done.stderr
    assert desk.notes == []


def test_an_account_without_a_subscription(desk: Desk) -> None:
    tenant = "22222222-2222-2222-2222-222222222222"
    done = desk.run("full", STANDIN_ACCOUNT=f"{tenant} {tenant}")
    assert done.returncode == 5
    assert "This account has no subscription" in done.stderr
    assert desk.calls == []


def test_the_host_of_an_environment_stays(deployed: Desk) -> None:
    there = deployed.values()["APP_HOST"]
    (other,) = set(HOSTS) - {there}
    done = deployed.run("full", "--host", other)
    assert done.returncode == 2
    assert f"{NAME} runs on {there}" in done.stderr
    assert deployed.calls == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["deploy"], "what is deploy?"),
        (["full", "image"], "full or image, not both"),
        (["full", "--location"], "--location needs a value"),
        (["full", "--host", "aks"], "--host is appservice or containerapp, not aks"),
        (["full", "--app", "/nowhere"], "there is no folder /nowhere"),
        (["full", "--app", "/"], "it has no requirements.txt"),
        (["context"], "context needs a folder"),
    ],
)
def test_wrong_usage(desk: Desk, arguments: list[str], said: str) -> None:
    done = desk.run(*arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert desk.notes == []


def test_help_names_every_exit_status(desk: Desk) -> None:
    printed = desk.works("--help")
    script = SCRIPT.read_text(encoding="utf-8")
    used = set(re.findall(r"\bfail (\d)", script))
    assert used == set(re.findall(r"\b([1-9]) [A-Za-z]", printed.partition("Exit status:")[2]))


def test_the_script_can_be_started_and_is_clean() -> None:
    assert os.access(SCRIPT, os.X_OK)
    done = subprocess.run(["shellcheck", str(SCRIPT)], capture_output=True, text=True, check=False)
    assert done.stdout == ""
