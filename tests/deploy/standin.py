"""What stands in for az, azd and pip when deploy.sh is tested: notes every call, and answers as they would.

    STANDIN_DIR=... python -m tests.deploy.standin az acr build ...

In the folder are ``calls.jsonl``, ``local.json`` (the azd environments of this machine) and ``azure.json`` (what
is deployed, by environment). ``STANDIN_FAIL`` is a call that fails, by its first words. ``azd provision`` deploys
the real templates, as far as bicep_template.py goes. One deployment starts it some twenty times: it must be quick.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from .bicep_template import Deployment

Environments = dict[str, dict[str, str]]
ACCOUNT = "11111111-1111-1111-1111-111111111111 22222222-2222-2222-2222-222222222222"
KEY_MISSING, REFUSED = 1, 1


class Cloud:
    """The folder with what the tests look at afterwards."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read(self, name: str) -> Environments:
        path = self.folder / f"{name}.json"
        return cast(Environments, json.loads(path.read_text())) if path.exists() else {}

    def write(self, name: str, content: Environments) -> None:
        (self.folder / f"{name}.json").write_text(json.dumps(content))

    def note(self, call: list[str], **more: object) -> None:
        with (self.folder / "calls.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps({"call": call, **more}) + "\n")


def option(call: list[str], name: str) -> str:
    """The value of an option."""
    return call[call.index(name) + 1]


def provision(values: dict[str, str]) -> Deployment:
    """Deploy the templates with the variables of an azd environment."""
    from .bicep_template import deploy, parameters

    infra = Path(__file__).parents[2] / "examples" / "web_app" / "infra"
    return deploy(infra / "main.bicep", parameters(infra / "main.bicepparam", {**os.environ, **values}))


def azd(cloud: Cloud, call: list[str]) -> int:
    """azd: environments on this machine, deployments in the cloud."""
    local, azure = cloud.read("local"), cloud.read("azure")
    match call[1:]:
        case ["env", "new", name, *_]:
            local[name] = {
                "AZURE_ENV_NAME": name,
                "AZURE_SUBSCRIPTION_ID": option(call, "--subscription"),
                "AZURE_LOCATION": option(call, "--location"),
            }
        case ["env", "get-value", key, *_]:
            values = local.get(option(call, "--environment"), {})
            if key not in values:
                print(f"ERROR: key '{key}' not found in the environment values")
                return KEY_MISSING
            print(values[key])
        case ["env", "set", key, value, *_]:
            local[option(call, "--environment")][key] = value
        case ["env", "refresh", *_]:
            name = option(call, "--environment")
            if name not in azure:
                return REFUSED
            local[name] |= azure[name]
        case ["provision", *_]:
            name = option(call, "--environment")
            deployment = provision(local[name])
            azure[name] = {key: str(value) for key, value in deployment.outputs.items()}
            local[name] |= azure[name]
            cloud.note(["deployed"], types=sorted({each.type for each in deployment.resources}))
        case ["down", *_]:
            del azure[option(call, "--environment")]
    cloud.write("local", local)
    cloud.write("azure", azure)
    return 0


def az(cloud: Cloud, call: list[str]) -> int:
    """az: an account, and a registry that shows what it was given."""
    if call[1:3] == ["account", "show"]:
        print(os.environ.get("STANDIN_ACCOUNT", ACCOUNT))
    elif call[1:3] == ["acr", "build"]:
        context = Path(call[-1])
        cloud.note(["context"], files=sorted(path.relative_to(context).as_posix() for path in context.rglob("*")))
    return 0


def pip(call: list[str]) -> int:
    """pip wheel: a file where the wheel would be."""
    folder = Path(option(call, "--wheel-dir"))
    folder.mkdir(parents=True)
    (folder / "voicelive_agent-0.1.0-py3-none-any.whl").touch()
    return 0


def main() -> int:
    """Answer one call; gives the exit status."""
    cloud, call = Cloud(Path(os.environ["STANDIN_DIR"])), sys.argv[1:]
    cloud.note(call)
    failing = os.environ.get("STANDIN_FAIL", "").split()
    if failing and call[: len(failing)] == failing:
        print(f"{' '.join(failing)}: refused", file=sys.stderr)
        return REFUSED
    if call[0] == "az":
        return az(cloud, call)
    return azd(cloud, call) if call[0] == "azd" else pip(call)


if __name__ == "__main__":
    sys.exit(main())
