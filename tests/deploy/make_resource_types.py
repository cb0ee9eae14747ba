"""Writes resource_types.json: what Azure's own management libraries say that resources are made of.

There is no Bicep compiler on a package index, so the templates are checked against these. To write the file anew:

    pip install azure-mgmt-web azure-mgmt-appcontainers azure-mgmt-cognitiveservices azure-mgmt-containerregistry \
        azure-mgmt-loganalytics azure-mgmt-monitor
    python tests/deploy/make_resource_types.py
"""

from __future__ import annotations

import importlib
import json
import types
import typing
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("resource_types.json")

ROOTS = {
    "Microsoft.App/containerApps": ("appcontainers", "ContainerApp"),
    "Microsoft.App/managedEnvironments": ("appcontainers", "ManagedEnvironment"),
    "Microsoft.CognitiveServices/accounts": ("cognitiveservices", "Account"),
    "Microsoft.CognitiveServices/accounts/deployments": ("cognitiveservices", "Deployment"),
    "Microsoft.ContainerRegistry/registries": ("containerregistry", "Registry"),
    "Microsoft.Insights/autoscalesettings": ("monitor", "AutoscaleSettingResource"),
    "Microsoft.OperationalInsights/workspaces": ("loganalytics", "Workspace"),
    "Microsoft.Web/serverfarms": ("web", "AppServicePlan"),
    "Microsoft.Web/sites": ("web", "Site"),
    "Microsoft.Web/sites/basicPublishingCredentialsPolicies": ("web", "CsmPublishingCredentialsPoliciesEntity"),
}
SCALARS = {
    "str": "string",
    "int": "integer",
    "bool": "boolean",
    "float": "number",
    "object": "any",
    "iso-8601": "string",
}


class Collector:
    """The models of one library that are reachable from a root, by name."""

    def __init__(self, library: str) -> None:
        self._module = importlib.import_module(f"azure.mgmt.{library}.models")
        self._library = library
        self.found: dict[str, dict[str, str]] = {}

    def add(self, name: str) -> str:
        """Note a model and what it is made of; gives its key in the file."""
        key = f"{self._library}.{name}"
        if key not in self.found:
            self.found[key] = {}
            model = getattr(self._module, name)
            describe = self._by_attribute_map if getattr(model, "_attribute_map", None) else self._by_annotations
            self.found[key] |= describe(model)
        return key

    def _by_attribute_map(self, model: Any) -> dict[str, str]:
        described: dict[str, str] = {}
        for entry in model._attribute_map.values():
            outer, dot, inner = entry["key"].partition(".")
            if dot:  # the library shows what is inside of `properties` as if it were outside
                described[outer] = f"{self._library}.{model.__name__}.{outer}"
                self.found.setdefault(described[outer], {})[inner] = self._named(entry["type"])
            else:
                described[outer] = self._named(entry["type"])
        return described

    def _named(self, text: str) -> str:
        if text[0] in "[{":
            return text[0] + self._named(text[1:-1]) + text[-1]
        if text in SCALARS:
            return SCALARS[text]
        return self.add(text) if _is_model(getattr(self._module, text, None)) else "string"

    def _by_annotations(self, model: Any) -> dict[str, str]:
        described: dict[str, str] = {}
        for base in reversed(model.__mro__):
            for name, hint in vars(base).get("__annotations__", {}).items():
                field = vars(base).get(name)
                if type(field).__name__ == "_RestField":
                    described[field._rest_name_input or name] = self._typed(_resolved(hint, base))
        return described

    def _typed(self, hint: Any) -> str:
        origin, arguments = typing.get_origin(hint), typing.get_args(hint)
        if origin in (typing.Union, types.UnionType):
            kinds = [self._typed(each) for each in arguments if each is not type(None)]
            return kinds[0] if len(set(kinds)) == 1 else next((kind for kind in kinds if kind != "any"), "any")
        if origin is list:
            return f"[{self._typed(arguments[0])}]"
        if origin is dict:
            return f"{{{self._typed(arguments[1])}}}"
        if _is_model(hint):
            return self.add(hint.__name__)
        if isinstance(hint, type) and issubclass(hint, str):
            return "string"
        return SCALARS.get(getattr(hint, "__name__", ""), "any")


def _is_model(model: Any) -> bool:
    return isinstance(model, type) and (
        bool(getattr(model, "_attribute_map", None)) or any(base.__name__ == "Model" for base in model.__mro__)
    )


def _resolved(hint: Any, owner: type) -> Any:
    """A type hint whose names the library writes as ``"_models.Name"``."""
    package = owner.__module__.rpartition(".models")[0]
    names = {"_models": importlib.import_module(f"{package}.models")} if package else {}
    holder = type("Holder", (), {"__annotations__": {"it": hint}, "__module__": owner.__module__})
    return typing.get_type_hints(holder, None, names)["it"]


def main() -> None:
    """Write the file."""
    models: dict[str, dict[str, str]] = {}
    resources: dict[str, str] = {}
    for resource, (library, name) in ROOTS.items():
        collector = Collector(library)
        resources[resource] = collector.add(name)
        models |= collector.found
    content = {"resources": resources, "models": dict(sorted(models.items()))}
    FILE.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
