"""What the service granted, compared with what it was asked for.

The service fills in what was left out, says "nothing" in several ways, and refines what was vague; none of that is
a difference. What is told is only a value that was asked for and is not what is in force now. Of what the echo
does not mention nothing can be said (realtime models leave the temperature out).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from .events import SettingNotGranted

_SECRET: Final = frozenset({"authorization", "headers", "username", "credential", "query"})
_HIDDEN: Final = "..."
_LANGUAGES: Final = frozenset({"language", "languages", "locale", "prefer_locales"})
_NAMES: Final = ("name", "server_label")  # what tells one tool from another
_OFF: Final = frozenset(
    {
        "turn_detection",
        "input_audio_noise_reduction",
        "input_audio_echo_cancellation",
        "output_audio_timestamp_types",
        "interim_response",
        "animation",
        "avatar",
    }
)
"""What null switches off; of everything else it asks for the service's default."""
_ON: Final = frozenset({"create_response", "interrupt_response", "parallel_tool_calls"})
"""What is on by default, so that null does not mean no."""


def not_granted(asked: Mapping[str, Any], granted: Mapping[str, Any]) -> Iterator[SettingNotGranted]:
    """The differences between the session that was sent and the one in ``session.updated``, in the order sent.

    No secret is shown: not the headers of MCP servers, not the passwords of relays.
    """
    for key, value in asked.items():
        if key not in granted or (value is None and key not in _OFF):
            continue
        yield from _compared(key, key, value, granted[key])


def _compared(path: str, key: str, asked: Any, granted: Any) -> Iterator[SettingNotGranted]:
    if key in _SECRET or _same(key, asked, granted):
        return
    if isinstance(asked, Mapping) and isinstance(granted, Mapping):
        for name, value in asked.items():
            if name in granted:
                yield from _compared(f"{path}.{name}", name, value, granted[name])
    elif _is_list(asked) and _is_list(granted) and _names(asked) == _names(granted):
        given = {_name(each, index): each for index, each in enumerate(granted)}
        for index, each in enumerate(asked):
            name = _name(each, index)
            yield from _compared(f"{path}[{name}]", key, each, given[name])
    else:
        yield SettingNotGranted(path, _shown(asked), _shown(granted))


def _same(key: str, asked: Any, granted: Any) -> bool:
    """Whether two values mean the same, objects and lists of them aside."""
    if asked == granted:
        return True
    if not asked and not granted and not _is_number(asked) and not _is_number(granted):
        return key not in _ON  # of everything else null, "", [] and false all say "no"
    if _is_number(asked) and _is_number(granted):
        return math.isclose(asked, granted, rel_tol=1e-6)  # single precision on the way
    if isinstance(asked, str) != isinstance(granted, str):  # a voice or a function: its name, or an object
        text, other = (asked, granted) if isinstance(asked, str) else (granted, asked)
        return isinstance(other, Mapping) and other.get("name") == text
    if key in _LANGUAGES:
        wanted, got = _languages(asked), _languages(granted)
        return len(wanted) == len(got) and all(map(_refines, got, wanted))
    if _is_list(asked) and _is_list(granted) and not any(isinstance(each, Mapping) for each in [*asked, *granted]):
        return sorted(map(str, asked)) == sorted(map(str, granted))
    return False


def _languages(value: Any) -> Sequence[str]:
    """Languages as a sorted list, from a list or from text such as ``en,zh``."""
    each = value if _is_list(value) else str(value).split(",")
    return sorted(str(language).strip().lower() for language in each)


def _refines(got: str, wanted: str) -> bool:
    """Whether a language is the one wanted, or a variant of it: ``en-US`` for ``en``."""
    return got == wanted or got.startswith(f"{wanted}-")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple)


def _names(values: Sequence[Any]) -> Sequence[str]:
    return sorted(_name(value, index) for index, value in enumerate(values))


def _name(value: Any, index: int) -> str:
    """What an object of a list is called: by its name, else by its place."""
    own = (value.get(key) for key in _NAMES) if isinstance(value, Mapping) else ()
    return next((str(name) for name in own if name), str(index))


def _shown(value: Any) -> Any:
    """A value without what is secret in it; of tools only their names."""
    if isinstance(value, Mapping):
        return {key: _HIDDEN if key in _SECRET and each else _shown(each) for key, each in value.items()}
    if _is_list(value):
        named = any(isinstance(each, Mapping) for each in value)
        return _names(value) if named else list(value)
    return value
