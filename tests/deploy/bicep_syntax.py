"""Bicep's grammar, as much of it as the templates use: text to statements, or a SyntaxError that names the line.

https://learn.microsoft.com/azure/azure-resource-manager/bicep/file
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import TypeAlias

# --- what a file is made of -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Literal:
    value: str | int | bool | None


@dataclass(frozen=True)
class Interpolated:
    parts: tuple[Expression, ...]


@dataclass(frozen=True)
class Name:
    name: str
    line: int = 0


@dataclass(frozen=True)
class Array:
    items: tuple[Expression, ...]


@dataclass(frozen=True)
class Object:
    entries: tuple[tuple[Expression, Expression], ...]


@dataclass(frozen=True)
class Access:
    base: Expression
    key: Expression


@dataclass(frozen=True)
class Call:
    function: str
    arguments: tuple[Expression, ...]
    line: int = 0


@dataclass(frozen=True)
class Operation:
    operator: str
    operands: tuple[Expression, ...]


@dataclass(frozen=True)
class Lambda:
    parameter: str
    body: Expression


@dataclass(frozen=True)
class For:
    item: str
    source: Expression
    body: Expression


Expression: TypeAlias = Literal | Interpolated | Name | Array | Object | Access | Call | Operation | Lambda | For


@dataclass(frozen=True)
class Parameter:
    """``param name type = default``; in a parameters file there is no type and ``default`` is the value."""

    name: str
    type: str
    default: Expression | None
    decorators: tuple[Call, ...]
    line: int


@dataclass(frozen=True)
class Variable:
    name: str
    value: Expression


@dataclass(frozen=True)
class Output:
    name: str
    type: str
    value: Expression


@dataclass(frozen=True)
class Resource:
    """``resource name 'type@version' = if (condition) body``; nested ones know their parent's name."""

    name: str
    type: str
    version: str
    condition: Expression | None
    body: Expression
    parent: str | None = None


@dataclass(frozen=True)
class Module:
    name: str
    path: str
    condition: Expression | None
    body: Expression


Declaration: TypeAlias = Parameter | Variable | Output | Resource | Module


@dataclass
class File:
    """A parsed file. ``scope`` is its targetScope, ``using`` the template of a parameters file."""

    path: Path
    scope: str = "resourceGroup"
    using: str | None = None
    declarations: list[Declaration] = field(default_factory=list)


def names_in(node: object) -> Iterator[str]:
    """Every name that something refers to."""
    if isinstance(node, Name):
        yield node.name
    elif isinstance(node, tuple | list):
        for each in node:
            yield from names_in(each)
    elif is_dataclass(node) and not isinstance(node, type):
        for each in fields(node):
            yield from names_in(getattr(node, each.name))


# --- words ----------------------------------------------------------------------------------------------------

WORDS = re.compile(
    r"""(?P<space>[ \t]+|//[^\n]*|/\*.*?\*/)|(?P<newline>\n)|(?P<number>\d+)|(?P<name>[A-Za-z_]\w*)
    |(?P<quote>')|(?P<sign>=>|==|!=|<=|>=|&&|\|\||\?\?|[-+*/%!<>=?:.,@(){}\[\]])""",
    re.VERBOSE | re.DOTALL,
)
PLAIN = re.compile(r"[^'\\$\n]+|\$(?!\{)")
ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "'": "'", "\\": "\\", "$": "$"}
TIGHTNESS = {
    "??": 1,
    "||": 2,
    "&&": 3,
    "==": 4,
    "!=": 4,
    "<": 5,
    ">": 5,
    "<=": 5,
    ">=": 5,
    "+": 6,
    "-": 6,
    "*": 7,
    "/": 7,
    "%": 7,
}


class Parser:
    """Reads one file from its beginning to its end, with one word in hand."""

    def __init__(self, path: Path) -> None:
        self._text = path.read_text(encoding="utf-8")
        self._at = 0
        self._file = File(path)
        self.kind, self.word = "", ""
        self._start = 0
        self._step()

    def parse(self) -> File:
        """The whole file."""
        self._skip_lines()
        while self.kind != "end":
            self._statement()
            if self.kind not in ("newline", "end"):
                raise self._error("a statement ends with its line")
            self._skip_lines()
        return self._file

    # --- words ---

    @property
    def _line(self) -> int:
        return self._text.count("\n", 0, self._start) + 1

    def _error(self, expected: str) -> SyntaxError:
        return SyntaxError(f"{self._file.path.name}:{self._line}: at {self.word!r}: {expected}")

    def _step(self) -> str:
        """Take the word in hand; the next one follows."""
        taken = self.word
        while True:
            self._start = self._at
            found = WORDS.match(self._text, self._at)
            if found is None:
                self.kind, self.word = "end", ""
                if self._at < len(self._text):
                    raise self._error(f"no word of Bicep: {self._text[self._at]!r}")
                return taken
            self._at = found.end()
            if found.lastgroup != "space":
                self.kind, self.word = str(found.lastgroup), found.group()
                return taken

    def _is(self, *words: str) -> bool:
        return self.kind in ("name", "sign") and self.word in words

    def _take(self, word: str) -> None:
        if not self._is(word):
            raise self._error(f"expected {word!r}")
        self._step()

    def _identifier(self) -> str:
        if self.kind != "name":
            raise self._error("expected a name")
        return self._step()

    def _skip_lines(self) -> None:
        while self.kind == "newline":
            self._step()

    # --- statements ---

    def _statement(self) -> None:
        decorators: list[Call] = []
        while self._is("@"):
            self._step()
            decorator = self._expression()
            if not isinstance(decorator, Call):
                raise self._error("a decorator is a call")
            decorators.append(decorator)
            self._skip_lines()
        line, keyword = self._line, self._identifier()
        if keyword in ("targetScope", "using"):
            if keyword == "targetScope":
                self._take("=")
            value = self._plain_string()
            self._file.scope, self._file.using = (
                (value, None) if keyword == "targetScope" else (self._file.scope, value)
            )
            return
        readers: dict[str, Callable[[str], Declaration]] = {
            "param": lambda name: self._parameter(name, tuple(decorators), line),
            "var": self._variable,
            "output": self._output,
            "module": self._module,
        }
        if keyword == "resource":
            self._resource(None, "")
        elif keyword in readers:
            self._file.declarations.append(readers[keyword](self._identifier()))
        else:
            raise self._error(f"no statement begins with {keyword!r}")

    def _parameter(self, name: str, decorators: tuple[Call, ...], line: int) -> Parameter:
        kind = self._identifier() if self.kind == "name" else ""
        default = None
        if self._is("="):
            self._step()
            default = self._expression()
        return Parameter(name, kind, default, decorators, line)

    def _variable(self, name: str) -> Variable:
        self._take("=")
        return Variable(name, self._expression())

    def _output(self, name: str) -> Output:
        kind = self._identifier()
        self._take("=")
        return Output(name, kind, self._expression())

    def _module(self, name: str) -> Module:
        path = self._plain_string()
        self._take("=")
        return Module(name, path, self._condition(), self._expression())

    def _condition(self) -> Expression | None:
        if not self._is("if"):
            return None
        self._step()
        self._take("(")
        condition = self._expression()
        self._take(")")
        return condition

    def _resource(self, parent: str | None, parent_type: str) -> None:
        name = self._identifier()
        kind, at, version = self._plain_string().partition("@")
        self._take("=")
        full = f"{parent_type}/{kind}" if parent else kind
        if bool(at) is bool(parent):
            raise self._error("a resource names its API version, and a nested one has its parent's")
        condition = self._condition()
        body = self._object(full, name) if self._is("{") else self._expression()
        self._file.declarations.append(Resource(name, full, version, condition, body, parent))

    # --- expressions ---

    def _expression(self) -> Expression:
        condition = self._binary(0)
        if not self._is("?"):
            return condition
        self._step()
        chosen = self._expression()
        self._skip_lines()
        self._take(":")
        return Operation("?", (condition, chosen, self._expression()))

    def _binary(self, tightness: int) -> Expression:
        left = self._unary()
        while self.kind == "sign" and (own := TIGHTNESS.get(self.word, 0)) > tightness:
            operator = self._step()
            left = Operation(operator, (left, self._binary(own)))
        return left

    def _unary(self) -> Expression:
        if self._is("!", "-"):
            return Operation(f"unary {self._step()}", (self._unary(),))
        return self._postfix(self._primary())

    def _postfix(self, base: Expression) -> Expression:
        while True:
            if self._is("."):
                self._step()
                base = Access(base, Literal(self._identifier()))
            elif self._is("["):
                self._step()
                base = Access(base, self._expression())
                self._take("]")
            elif self._is("!"):  # "this is not null": nothing to evaluate
                self._step()
            else:
                return base

    def _primary(self) -> Expression:
        line = self._line
        if self.kind == "number":
            return Literal(int(self._step()))
        if self.kind == "quote":
            return self._string()
        if self._is("{"):
            return self._object()
        if self._is("["):
            return self._array()
        if self._is("("):
            self._step()
            inner = self._expression()
            self._take(")")
            return inner
        name = self._identifier()
        if name in ("true", "false", "null"):
            return Literal({"true": True, "false": False, "null": None}[name])
        if self._is("=>"):
            self._step()
            return Lambda(name, self._expression())
        if self._is("("):
            return Call(name, tuple(self._several("(", ")")), line)
        return Name(name, line)

    def _several(self, opening: str, closing: str) -> Iterator[Expression]:
        """Expressions between brackets, with commas or line ends between them."""
        self._take(opening)
        self._skip_lines()
        while not self._is(closing):
            yield self._expression()
            if self._is(","):
                self._step()
            elif self.kind != "newline" and not self._is(closing):
                raise self._error(f"expected {closing!r}")
            self._skip_lines()
        self._step()

    def _array(self) -> Expression:
        before = (self._at, self.kind, self.word, self._start)
        self._step()
        self._skip_lines()
        if not self._is("for"):
            self._at, self.kind, self.word, self._start = before
            return Array(tuple(self._several("[", "]")))
        self._step()
        item = self._identifier()
        self._take("in")
        source = self._expression()
        self._take(":")
        body = self._expression()
        self._skip_lines()
        self._take("]")
        return For(item, source, body)

    def _object(self, resource_type: str = "", resource: str = "") -> Object:
        """An object; the body of a resource may hold further resources."""
        entries: list[tuple[Expression, Expression]] = []
        self._take("{")
        self._skip_lines()
        while not self._is("}"):
            key: Expression = self._string() if self.kind == "quote" else Literal(self._identifier())
            if resource and key == Literal("resource") and self.kind == "name":
                self._resource(resource, resource_type)
            else:
                self._take(":")
                entries.append((key, self._expression()))
            if self._is(","):
                self._step()
            elif self.kind != "newline" and not self._is("}"):
                raise self._error("expected the end of the line or '}'")
            self._skip_lines()
        self._step()
        keys = [key.value for key, _ in entries if isinstance(key, Literal)]
        if len(keys) != len(set(keys)):
            raise self._error(f"a key is there twice: {sorted(map(str, keys))}")
        return Object(tuple(entries))

    # --- strings ---

    def _plain_string(self) -> str:
        found = self._string()
        if not isinstance(found, Literal) or not isinstance(found.value, str):
            raise self._error("expected a string without ${}")
        return found.value

    def _string(self) -> Literal | Interpolated:
        parts: list[Expression] = []
        while True:
            if plain := PLAIN.match(self._text, self._at):
                parts.append(Literal(plain.group()))
                self._at = plain.end()
                continue
            mark = self._text[self._at : self._at + 1]
            if mark == "'":
                self._at += 1
                self._step()
                break
            if mark == "\\" and self._text[self._at + 1] in ESCAPES:
                parts.append(Literal(ESCAPES[self._text[self._at + 1]]))
                self._at += 2
            elif mark == "$":
                self._at += 2
                self._step()
                parts.append(self._expression())
                if not self._is("}"):
                    raise self._error("expected '}' in a string")
            else:
                raise self._error("a string ends in its line")
        if all(isinstance(part, Literal) for part in parts):
            return Literal("".join(str(part.value) for part in parts if isinstance(part, Literal)))
        return Interpolated(tuple(parts))


def parse(path: Path) -> File:
    """What a ``.bicep`` or ``.bicepparam`` file says. SyntaxError if that is not Bicep as this module knows it."""
    return Parser(path).parse()
