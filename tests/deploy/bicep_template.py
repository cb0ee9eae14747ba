"""What a Bicep template would deploy: parameters in, resources and outputs out, cross-checked on the way.

What only Azure knows (an id that it gives, a host name) is an :class:`Unknown`: text that says where it is from.
A mistake is a :class:`BicepError` that names the file.
"""

from __future__ import annotations

import base64
import hashlib
import json
import operator
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias, cast

from .bicep_syntax import (
    Access,
    Array,
    Call,
    Expression,
    File,
    For,
    Interpolated,
    Lambda,
    Literal,
    Module,
    Name,
    Object,
    Operation,
    Output,
    Parameter,
    Resource,
    Variable,
    names_in,
    parse,
)

Value: TypeAlias = "str | int | bool | list[Value] | dict[str, Value] | None"
KINDS: dict[str, type] = {"string": str, "int": int, "bool": bool, "object": dict, "array": list}
SUBSCRIPTION = "/subscriptions/00000000-0000-0000-0000-000000000000"


class BicepError(Exception):
    """This template cannot be deployed."""


class Unknown(str):
    """A value that only Azure knows; its text says which."""

    __slots__ = ()


@dataclass(frozen=True)
class Deployed:
    """A resource as it would be sent. ``scope`` is the id of what it extends, ``parent`` of what it is part of."""

    type: str
    version: str
    id: str
    body: dict[str, Value]
    scope: str = ""
    parent: str = ""


@dataclass
class Deployment:
    """All that a template and its modules deploy."""

    resources: list[Deployed] = field(default_factory=list)
    outputs: dict[str, Value] = field(default_factory=dict)

    def of(self, kind: str) -> list[Deployed]:
        """The resources of a type."""
        return [each for each in self.resources if each.type == kind]

    def one(self, kind: str) -> Deployed:
        """The only resource of a type."""
        found = self.of(kind)
        if len(found) != 1:
            raise BicepError(f"{len(found)} of {kind}, not 1")
        return found[0]


def deploy(path: Path, given: Mapping[str, Value]) -> Deployment:
    """Everything that a template with these parameters deploys."""
    return _Template(parse(path), given).run()


def parameters(path: Path, environ: Mapping[str, str]) -> dict[str, Value]:
    """The values that a parameters file gives, with these environment variables."""
    file = parse(path)
    scope = _Scope(file, environ)
    return {
        each.name: scope.evaluate(each.default, {})
        for each in file.declarations
        if isinstance(each, Parameter) and each.default is not None
    }


def unused(path: Path) -> set[str]:
    """Parameters and variables that nothing refers to."""
    file = parse(path)
    declared = {each.name for each in file.declarations if isinstance(each, Parameter | Variable)}
    return declared - set(names_in(file.declarations))


# --- expressions ----------------------------------------------------------------------------------------------


class _Scope:
    """Evaluates expressions; what a name stands for is looked up where it is declared."""

    def __init__(self, file: File, environ: Mapping[str, str]) -> None:
        self.file = file
        self._environ = environ

    def look_up(self, name: str, line: int) -> Value:
        raise self.error(f"{line}: there is no {name!r}")

    def error(self, text: str) -> BicepError:
        return BicepError(f"{self.file.path.name}: {text}")

    def evaluate(self, node: Expression, local: Mapping[str, Value]) -> Value:
        """The value of an expression; ``local`` has the variables of loops and lambdas."""
        match node:
            case Literal(value):
                return value
            case Interpolated(parts):
                return self._joined([self.evaluate(part, local) for part in parts])
            case Name(name, line):
                return local[name] if name in local else self.look_up(name, line)
            case Array(items):
                return [self.evaluate(item, local) for item in items]
            case Object(entries):
                return {self._key(key, local): self.evaluate(value, local) for key, value in entries}
            case Access(base, key):
                return self._member(self.evaluate(base, local), self.evaluate(key, local))
            case Operation("?", (condition, chosen, other)):
                return self.evaluate(chosen if self._truth(condition, local) else other, local)
            case Operation("&&", (left, right)):
                return self._truth(left, local) and self._truth(right, local)
            case Operation("||", (left, right)):
                return self._truth(left, local) or self._truth(right, local)
            case Operation(sign, operands):
                return self._operated(sign, [self.evaluate(each, local) for each in operands])
            case For(item, source, body):
                return [
                    self.evaluate(body, {**local, item: each}) for each in self._list(self.evaluate(source, local))
                ]
            case Call(function, arguments, line):
                return self._called(function, arguments, line, local)
        raise self.error(f"no value: {node}")

    def _key(self, node: Expression, local: Mapping[str, Value]) -> str:
        return self._text(self.evaluate(node, local))

    def _truth(self, node: Expression, local: Mapping[str, Value]) -> bool:
        value = self.evaluate(node, local)
        if not isinstance(value, bool):
            raise self.error(f"{value!r} is no condition")
        return value

    def _text(self, value: Value) -> str:
        if not isinstance(value, str):
            raise self.error(f"{value!r} is no string")
        return value

    def _list(self, value: Value) -> list[Value]:
        if not isinstance(value, list):
            raise self.error(f"{value!r} is no array")
        return value

    def _joined(self, parts: list[Value]) -> str:
        if not all(isinstance(part, str | int) for part in parts):
            raise self.error(f"{parts!r} cannot be one string")
        kind = Unknown if any(isinstance(part, Unknown) for part in parts) else str
        return kind("".join(str(part) for part in parts))

    def _member(self, base: Value, key: Value) -> Value:
        if isinstance(base, Unknown):
            return Unknown(f"{base[:-1]}.{key}>")
        if isinstance(base, dict) and isinstance(key, str):
            if key in base:
                return base[key]
            raise self.error(f"no {key!r} among {sorted(base)}")
        if isinstance(base, list) and isinstance(key, int):
            return base[key]
        raise self.error(f"{base!r} has no {key!r}")

    def _operated(self, sign: str, values: list[Value]) -> Value:
        if sign in ("==", "!="):
            return (values[0] == values[1]) is (sign == "==")
        if sign == "unary !" and isinstance(values[0], bool):
            return not values[0]
        signs: dict[str, Callable[..., int]] = {
            "+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.floordiv, "%": operator.mod,
            "<": operator.lt, ">": operator.gt, "<=": operator.le, ">=": operator.ge, "unary -": operator.neg,
        }  # fmt: skip
        if sign not in signs or not all(type(value) is int for value in values):
            raise self.error(f"{sign} of {values!r}")
        return signs[sign](*values)

    # --- functions: https://learn.microsoft.com/azure/azure-resource-manager/bicep/bicep-functions ---

    def _called(
        self, function: str, arguments: tuple[Expression, ...], line: int, local: Mapping[str, Value]
    ) -> Value:
        if function == "map" and len(arguments) == 2 and isinstance(arguments[1], Lambda):
            parameter, body = arguments[1].parameter, arguments[1].body
            source = self._list(self.evaluate(arguments[0], local))
            return [self.evaluate(body, {**local, parameter: each}) for each in source]
        known: dict[str, Callable[..., Value]] = {
            "bool": lambda text: {"true": True, "false": False}[text.lower()],
            "concat": lambda *several: [each for one in several for each in self._list(one)],
            "empty": lambda value: not isinstance(value, Unknown) and len(value) == 0,
            "guid": lambda *several: str(uuid.uuid5(uuid.NAMESPACE_URL, "/".join(several))),
            "int": lambda text: int(text),
            "items": lambda value: [{"key": key, "value": value[key]} for key in sorted(value)],
            "json": lambda text: cast(Value, json.loads(text)),
            "readEnvironmentVariable": lambda name, default: self._environ.get(name, default),
            "string": self._as_string,
            "subscription": lambda: {"id": SUBSCRIPTION},
            "subscriptionResourceId": lambda kind, name: f"{SUBSCRIPTION}/providers/{kind}/{name}",
            "toLower": lambda text: self._text(text).lower(),
            "union": self._union,
            "uniqueString": _unique_string,
        }
        if function not in known:
            raise self.error(f"{line}: no function {function!r}")
        values = [self.evaluate(each, local) for each in arguments]
        try:
            return known[function](*values)
        except (TypeError, ValueError, KeyError, AttributeError) as error:
            raise self.error(f"{line}: {function}({values!r}): {error!r}") from error

    def _as_string(self, value: Value) -> str:
        if isinstance(value, bool) or not isinstance(value, str | int):
            raise self.error(f"string({value!r})")
        return value if isinstance(value, str) else str(value)

    def _union(self, first: Value, second: Value) -> Value:
        if not isinstance(first, dict) or not isinstance(second, dict):
            raise self.error(f"union of {first!r} and {second!r}")
        return {**first, **second}


def _unique_string(*several: str) -> str:
    """Thirteen letters and digits that depend on the arguments alone."""
    digest = hashlib.sha256("|".join(several).encode()).digest()
    return base64.b32encode(digest).decode().lower()[:13]


# --- a template -----------------------------------------------------------------------------------------------


class _Template(_Scope):
    """One file with its parameters, evaluated from its outputs and resources backwards."""

    def __init__(self, file: File, given: Mapping[str, Value], place: str = "") -> None:
        super().__init__(file, {})
        self._place = place or SUBSCRIPTION
        self._declared = {each.name: each for each in file.declarations if not isinstance(each, Output)}
        if len(self._declared) != sum(not isinstance(each, Output) for each in file.declarations):
            raise self.error("a name is declared twice")
        self._values: dict[str, Value] = {}
        self._busy: list[str] = []
        self._deployment = Deployment()
        self._take(given)

    def run(self) -> Deployment:
        """Evaluate every resource, module and output."""
        for each in self._declared.values():
            if isinstance(each, Variable) or self._is_wanted(each):
                self.look_up(each.name, 0)
        for output in self.file.declarations:
            if isinstance(output, Output):
                value = self.evaluate(output.value, {})
                self._check_kind(output.name, output.type, value)
                self._deployment.outputs[output.name] = value
        return self._deployment

    def _is_wanted(self, each: object) -> bool:
        if not isinstance(each, Resource | Module):
            return False
        return each.condition is None or self._truth(each.condition, {})

    def look_up(self, name: str, line: int) -> Value:
        if name not in self._declared:
            return super().look_up(name, line)
        if name not in self._values:
            if name in self._busy:
                raise self.error(f"{' -> '.join([*self._busy, name])}: a circle")
            self._busy.append(name)
            self._values[name] = self._found(self._declared[name])
            self._busy.pop()
        return self._values[name]

    def _found(self, declared: object) -> Value:
        match declared:
            case Variable(_, value):
                return self.evaluate(value, {})
            case Resource() if self._is_wanted(declared):
                return self._resource(declared)
            case Module() if self._is_wanted(declared):
                return self._module(declared)
        raise self.error(f"{getattr(declared, 'name', declared)} is not deployed, and something needs it")

    # --- parameters ---

    def _take(self, given: Mapping[str, Value]) -> None:
        declared = {each.name: each for each in self.file.declarations if isinstance(each, Parameter)}
        if unknown := given.keys() - declared.keys():
            raise self.error(f"no such parameter: {sorted(unknown)}")
        for name, each in declared.items():
            if name not in given and each.default is None:
                raise self.error(f"parameter {name} is missing")
            value = given[name] if name in given or each.default is None else self.evaluate(each.default, {})
            self._check_kind(name, each.type, value)
            for decorator in each.decorators:
                self._check_limit(name, decorator, value)
            self._values[name] = value

    def _check_kind(self, name: str, kind: str, value: Value) -> None:
        if kind not in KINDS:
            raise self.error(f"{name}: no type {kind!r}")
        if type(value) is not KINDS[kind] and not isinstance(value, Unknown):
            raise self.error(f"{name} is of type {kind}, not {value!r}")

    def _check_limit(self, name: str, decorator: Call, value: Value) -> None:
        (limit,) = [self.evaluate(each, {}) for each in decorator.arguments]
        size = value if isinstance(value, int) else len(cast(str, value))
        fits = {
            "description": lambda: isinstance(limit, str) and limit != "",
            "allowed": lambda: value in cast("list[Value]", limit),
            "minLength": lambda: size >= cast(int, limit),
            "minValue": lambda: size >= cast(int, limit),
            "maxLength": lambda: size <= cast(int, limit),
            "maxValue": lambda: size <= cast(int, limit),
        }
        if decorator.function not in fits:
            raise self.error(f"no decorator {decorator.function!r}")
        if not fits[decorator.function]():
            raise self.error(f"{name} = {value!r} breaks {decorator.function}({limit!r})")

    # --- resources ---

    def _resource(self, declared: Resource) -> Value:
        if self.file.scope == "subscription" and declared.type != "Microsoft.Resources/resourceGroups":
            raise self.error(f"{declared.name}: only resource groups are deployed to a subscription")
        bodies = self.evaluate(declared.body, {})
        several = bodies if isinstance(bodies, list) else [bodies]
        made = [self._made(declared, cast("dict[str, Value]", body)) for body in several]
        return made if isinstance(bodies, list) else made[0]

    def _made(self, declared: Resource, body: dict[str, Value]) -> Value:
        name, body = self._text(body.get("name")), dict(body)
        scope, parent = body.pop("scope", None), body.pop("parent", None)
        version = declared.version
        if declared.parent is not None:
            parent = self.look_up(declared.parent, 0)
            holder = self._declared[declared.parent]
            version = holder.version if isinstance(holder, Resource) else ""
        above = self._id(scope) or self._place
        identity = f"{self._id(parent)}/{declared.type.rpartition('/')[2]}/{name}" if parent else ""
        identity = identity or f"{above}/providers/{declared.type}/{name}"
        self._deployment.resources.append(
            Deployed(declared.type, version, identity, body, self._id(scope), self._id(parent))
        )
        known = body.get("properties")
        return {
            **body,
            "id": identity,
            "properties": _Runtime(identity, known if isinstance(known, dict) else {}),
        }

    def _id(self, symbol: Value) -> str:
        return self._text(symbol["id"]) if isinstance(symbol, dict) else ""

    def _member(self, base: Value, key: Value) -> Value:
        if isinstance(base, _Runtime) and isinstance(key, str):
            return base.member(key)
        return super()._member(base, key)

    # --- modules ---

    def _module(self, declared: Module) -> Value:
        body = cast("dict[str, Value]", self.evaluate(declared.body, {}))
        if body.keys() - {"name", "scope", "params"}:
            raise self.error(f"module {declared.name}: {sorted(body)}")
        path = (self.file.path.parent / declared.path).resolve()
        if not path.is_file():
            raise self.error(f"module {declared.name}: no file {declared.path}")
        inner = parse(path)
        place = self._id(body.get("scope"))
        if (inner.scope != self.file.scope) is not bool(place):
            raise self.error(f"module {declared.name} is for a {inner.scope}, and has the scope {place!r}")
        template = _Template(inner, cast("dict[str, Value]", body.get("params", {})), place)
        result = template.run()
        self._deployment.resources += result.resources
        return {"name": self._text(body.get("name")), "outputs": dict(result.outputs)}


class _Runtime(dict[str, Value]):
    """The properties of a deployed resource: those that the template sets, and others that only Azure knows."""

    def __init__(self, path: str, known: dict[str, Value]) -> None:
        super().__init__(known)
        self._path = path

    def member(self, key: str) -> Value:
        """A property, or a name for what Azure will say."""
        inner = self.get(key)
        if isinstance(inner, dict):
            return _Runtime(f"{self._path}.{key}", inner)
        return inner if key in self else Unknown(f"<{self._path.rpartition('/')[2]}.{key}>")
