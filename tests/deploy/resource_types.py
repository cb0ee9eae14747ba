"""Whether a resource has the properties that it may have, by the names and types of Azure's own libraries."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TypedDict

from .bicep_template import Deployed, Unknown, Value


class Types(TypedDict):
    """The content of resource_types.json, which make_resource_types.py writes."""

    resources: dict[str, str]
    models: dict[str, dict[str, str]]


TYPES: Types = json.loads(Path(__file__).with_name("resource_types.json").read_text(encoding="utf-8"))

# Small ones that those libraries do not have, from
# https://learn.microsoft.com/azure/templates/microsoft.authorization/roleassignments and its neighbours.
TYPES["resources"] |= {
    "Microsoft.Authorization/roleAssignments": "RoleAssignment",
    "Microsoft.Insights/diagnosticSettings": "DiagnosticSettings",
    "Microsoft.ManagedIdentity/userAssignedIdentities": "Identity",
    "Microsoft.Resources/resourceGroups": "ResourceGroup",
    "Microsoft.Web/sites/config": "AppSettings",
}
TYPES["models"] |= {
    "RoleAssignment": {"name": "string", "properties": "RoleAssignmentProperties"},
    "RoleAssignmentProperties": {
        "principalId": "string",
        "principalType": "string",
        "roleDefinitionId": "string",
    },
    "DiagnosticSettings": {"name": "string", "properties": "DiagnosticSettingsProperties"},
    "DiagnosticSettingsProperties": {"workspaceId": "string", "logs": "[LogSettings]"},
    "LogSettings": {"category": "string", "enabled": "boolean"},
    "Identity": {"name": "string", "location": "string", "tags": "{string}"},
    "ResourceGroup": {"name": "string", "location": "string", "tags": "{string}"},
    "AppSettings": {"name": "string", "properties": "{string}"},
}
SCALARS: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
}


def mistakes(resource: Deployed) -> list[str]:
    """What a resource has that a resource of its type has not."""
    if resource.type not in TYPES["resources"]:
        return [f"{resource.type} is unknown: python tests/deploy/make_resource_types.py"]
    found = list(_compare(resource.body, TYPES["resources"][resource.type], resource.type))
    if not re.fullmatch(r"20[12]\d-[01]\d-[0-3]\d(-preview)?", resource.version):
        found.append(f"{resource.type}: {resource.version!r} is no API version")
    return found


def _compare(value: Value, kind: str, path: str) -> Iterator[str]:
    if isinstance(value, Unknown) or kind == "any":
        return
    if kind in SCALARS:
        if not isinstance(value, SCALARS[kind]) or (isinstance(value, bool) and kind != "boolean"):
            yield f"{path} is of type {kind}, not {value!r}"
    elif kind.startswith("["):
        if not isinstance(value, list):
            yield f"{path} is an array, not {value!r}"
            return
        for index, item in enumerate(value):
            yield from _compare(item, kind[1:-1], f"{path}[{index}]")
    elif not isinstance(value, dict):
        yield f"{path} is an object, not {value!r}"
    else:
        members = dict.fromkeys(value, kind[1:-1]) if kind.startswith("{") else TYPES["models"][kind]
        for name, item in value.items():
            if name not in members:
                yield f"{path}.{name}: no such property among {', '.join(sorted(members))}"
            else:
                yield from _compare(item, members[name], f"{path}.{name}")
