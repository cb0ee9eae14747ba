"""The GitHub workflow and azure.yaml: no secret, no more rights than needed, no variable that nobody reads."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

WEB_APP = Path(__file__).parents[2] / "examples" / "web_app"
WORKFLOW = WEB_APP / ".github" / "workflows" / "azure-dev.yml"  # where `azd pipeline config` looks
TEXT = WORKFLOW.read_text(encoding="utf-8")
PARAMETERS = (WEB_APP / "infra" / "main.bicepparam").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def workflow() -> dict[Any, Any]:
    found = yaml.safe_load(TEXT)
    assert isinstance(found, dict)
    return found


@pytest.fixture(scope="module")
def job(workflow: dict[Any, Any]) -> dict[str, Any]:
    (only,) = workflow["jobs"].values()
    assert isinstance(only, dict)
    return only


def used(job: dict[str, Any], action: str) -> dict[str, Any]:
    """What the only step with this action is given."""
    (step,) = [step for step in job["steps"] if step.get("uses", "").partition("@")[0] == action]
    given = step.get("with", {})
    assert isinstance(given, dict)
    return given


def test_it_may_ask_for_a_token_and_read_the_code_and_nothing_else(
    workflow: dict[Any, Any], job: dict[str, Any]
) -> None:
    assert workflow["permissions"] == {"id-token": "write", "contents": "read"}
    assert "permissions" not in job
    assert used(job, "actions/checkout") == {"persist-credentials": False}


def test_no_secret_is_used(job: dict[str, Any]) -> None:
    assert "secrets." not in TEXT
    login = used(job, "azure/login")
    assert set(login) == {"client-id", "tenant-id", "subscription-id"}  # an identity without "creds" is federated
    (azd,) = [step["run"] for step in job["steps"] if step.get("run", "").startswith("azd auth login")]
    assert "--federated-credential-provider github" in azd
    assert "--client-secret" not in azd


def test_az_and_azd_are_logged_in_before_the_script_runs(job: dict[str, Any]) -> None:
    steps = [step.get("uses", step.get("run", "")) for step in job["steps"]]
    order = ["actions/checkout@", "azure/login@", "Azure/setup-azd@", "azd auth login", "./deploy.sh"]
    assert [step[: len(begin)] for step, begin in zip(steps, order, strict=True)] == order
    assert all(re.search(r"@v\d+$", step) for step in steps if "@" in step.split()[0])


def test_what_is_typed_in_never_becomes_part_of_a_command(job: dict[str, Any]) -> None:
    assert [step["run"] for step in job["steps"] if "${{" in step.get("run", "")] == []


def test_it_runs_alone_and_not_for_ever(workflow: dict[Any, Any], job: dict[str, Any]) -> None:
    assert workflow["concurrency"] == {"group": "deploy", "cancel-in-progress": False}
    assert job["timeout-minutes"] <= 60


def test_it_offers_what_the_script_can_do_except_removing(workflow: dict[Any, Any]) -> None:
    action = workflow[True]["workflow_dispatch"]["inputs"]["action"]  # YAML 1.1 reads "on" as true
    assert action["options"] == ["image", "full"]
    assert action["default"] == "image"


def test_every_choice_reaches_the_templates(job: dict[str, Any]) -> None:
    """azd makes variables of what azure.yaml lists, the workflow passes them on, the templates read them."""
    read = set(re.findall(r"readEnvironmentVariable\('(\w+)'", PARAMETERS))
    listed = set(yaml.safe_load((WEB_APP / "azure.yaml").read_text(encoding="utf-8"))["pipeline"]["variables"])
    made_by_deploy_sh = {"APP_IMAGE", "APP_NAME", "AZURE_ENV_NAME", "AZURE_LOCATION"}
    assert listed == read - made_by_deploy_sh
    account = {"AZURE_CLIENT_ID", "AZURE_TENANT_ID", "AZURE_SUBSCRIPTION_ID", "AZURE_ENV_NAME", "AZURE_LOCATION"}
    assert job["env"] == {name: f"${{{{ vars.{name} }}}}" for name in listed | account}


def test_azd_finds_the_templates() -> None:
    project = yaml.safe_load((WEB_APP / "azure.yaml").read_text(encoding="utf-8"))
    infra = project["infra"]
    assert infra["provider"] == "bicep"
    assert (WEB_APP / infra["path"] / f"{infra['module']}.bicep").is_file()
    assert (WEB_APP / infra["path"] / f"{infra['module']}.bicepparam").is_file()
    assert re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", project["name"])  # as azd's schema has it
