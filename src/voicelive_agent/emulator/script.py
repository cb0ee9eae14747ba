"""Answers written down: a script that needs no speech package, no model and no network.

A script is a YAML file (extra ``scenarios``) or a Python file. It has rules, and optionally what the emulator's
ears are to hear::

    transcripts: [What is the weather in Rome?]
    rules:
      - when: {matches: 'weather in (?P<city>\\w+)'}
        call: get_weather
        arguments: {city: '\\g<city>'}
      - when: {output_of: get_weather}
        say: The weather is \\0.
      - when: anything
        say: Pardon?
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from itertools import cycle
from pathlib import Path

from ._script_file import read_script
from ._script_rules import Happening, Rule, happenings, pending
from .protocols import Action, Call, Fail, Say, Turn
from .scripted import EnergyEars

__all__ = ["Script"]


class Script:
    """A brain that answers by a script: the first rule that applies says what is done.

    How often a rule has applied is counted in the conversation, so one script serves any number of sessions. What
    no rule is for fails the response with the code ``no_rule``, so that a gap in the script is seen.
    """

    def __init__(
        self,
        rules: Sequence[Rule] = (),
        *,
        transcripts: Sequence[str] = (),
        answer: Callable[[Turn], Iterator[Action]] | None = None,
        name: str = "script",
    ) -> None:
        self._rules = tuple(rules)
        self._transcripts = tuple(transcripts)
        self._answer = answer
        self._name = name

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Script:
        """Read a script: Python where the name ends in ``.py``, otherwise YAML.

        Raises :class:`~voicelive_agent.ConfigurationError` for a file that cannot be read or is not a script,
        naming the line, the rule, the field and the fix.
        """
        content = read_script(Path(path))
        return cls(
            content.rules, transcripts=content.transcripts, answer=content.answer, name=os.path.basename(path)
        )

    def ears(self) -> EnergyEars | None:
        """Ears that hear the script's transcripts, one for each loud utterance and then from the first again.

        They are new each time: give every session its own, or sessions take words from each other. None if the
        script has no transcripts.
        """
        return EnergyEars(cycle(self._transcripts)) if self._transcripts else None

    @property
    def silences_ms(self) -> tuple[float, ...]:
        """After how long a silence of the user the script speaks by itself, ascending."""
        return tuple(sorted({rule.when.silence_ms for rule in self._rules if rule.when.kind == "silence"}))

    def answer(self, turn: Turn) -> Iterator[Action]:
        """What the script says about the turn."""
        exact = re.search(r'Say exactly: "(.*)"', str(turn.request.get("instructions") or ""), re.DOTALL)
        if exact:
            yield Say(exact[1])
        elif self._answer is not None:
            yield from self._answer(turn)
        else:
            for happening in pending(turn):
                yield from self._by_rule(turn, happening)

    def _by_rule(self, turn: Turn, happening: Happening) -> Iterator[Action]:
        rule = self._rule_for(happening)
        match = rule.when.match(happening) if rule else None
        if rule is None or match is None:
            yield Fail(f"No rule of {self._name} is for {_described(happening)}.", "no_rule")
            return
        for action in rule.actions(match, self._times_before(turn, rule, happening)):
            if turn.tool_choice != "none" or not isinstance(action, Call):
                yield action

    def _rule_for(self, happening: Happening) -> Rule | None:
        return next((rule for rule in self._rules if rule.when.match(happening)), None)

    def _times_before(self, turn: Turn, rule: Rule, happening: Happening) -> int:
        """How often the rule has applied earlier in this conversation."""
        past = happenings(turn.items)
        if happening.kind in ("start", "silence"):
            # Neither leaves an item behind: what does is the answer.
            return sum(each.kind == "answer" and each.turn == happening.turn for each in past)
        return sum(self._rule_for(each) is rule for each in past[: happening.at])


def _described(happening: Happening) -> str:
    match happening.kind:
        case "said":
            return f'turn {happening.turn} of the user: "{happening.text}"'
        case "output":
            return f"the output of {happening.name or 'an unknown function'}: {happening.text:.80}"
        case "silence":
            return f"a silence of {happening.silence_ms:g} ms"
        case _:
            return "an answer before the user has said anything (when: start)"
