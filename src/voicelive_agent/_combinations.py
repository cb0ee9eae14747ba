"""Which settings exclude each other, or the model or agent that answers: one table, looked at before connecting.

A rule reads the session as the JSON that would be sent, so that it holds for typed fields, for mappings and for
``extra`` alike. Each one is known to be refused by the service, or documented to be without any effect; what is
merely unusual is left to the service.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ._voices import OPENAI_VOICES
from .errors import ConfigurationError

__all__ = [
    "COMBINATIONS",
    "Backend",
    "Combination",
    "Facts",
    "check_combinations",
    "check_tool_choice",
    "check_tool_names",
]

_OPENAI_FORMATS: Final = ("pcm16", "g711_ulaw", "g711_alaw")
_OPENAI_TRANSCRIPTION: Final = ("whisper", "gpt-4o")
_PHRASES: Final = ("azure-speech", "mai-transcribe")
_GA_FIELDS: Final = ("type", "audio", "output_modalities", "max_output_tokens")
_LONGEST: Final = 60


@dataclass(frozen=True, slots=True)
class Backend:
    """Who answers, as far as that limits what can be configured."""

    model: str
    """The name asked for; "" for an agent, which has a model of its own."""
    realtime: bool
    """It hears and speaks by itself, rather than between speech to text and text to speech."""
    agent: bool
    """A Foundry agent, not a model."""


@dataclass(frozen=True, slots=True)
class Facts:
    """A session, as it would be sent, and who is to answer; ``backend`` is None while that is not known."""

    session: Mapping[str, Any]
    backend: Backend | None = None

    def part(self, name: str) -> Mapping[str, Any]:
        """An object of the session; an empty one where there is none."""
        value = self.session.get(name)
        return value if isinstance(value, Mapping) else {}

    @property
    def realtime(self) -> bool:
        """Known to be answered by a realtime audio model."""
        return self.backend is not None and self.backend.realtime

    @property
    def cascade(self) -> bool:
        """Known to be answered by a chat model or an agent, between speech to text and text to speech."""
        return self.backend is not None and not self.backend.realtime

    @property
    def agent(self) -> bool:
        """Known to be answered by a Foundry agent."""
        return self.backend is not None and self.backend.agent

    @property
    def azure_realtime(self) -> bool:
        """Known to be answered by the model azure-realtime, which has voices of its own."""
        return self.backend is not None and self.backend.model.startswith("azure-realtime")

    @property
    def openai_voice(self) -> bool:
        """A voice of OpenAI speaks, or would since none is asked for."""
        voice = self.session.get("voice")
        if voice is None:
            return self.realtime and not self.azure_realtime
        return voice in OPENAI_VOICES if isinstance(voice, str) else self.part("voice").get("type") == "openai"

    @property
    def transcriber(self) -> str:
        """The transcription model that is asked for, or ""."""
        return str(self.part("input_audio_transcription").get("model") or "")

    @property
    def detection(self) -> str:
        """The type of turn detection that is asked for, or ""."""
        return str(self.part("turn_detection").get("type") or "")

    @property
    def functions(self) -> list[Mapping[str, Any]]:
        """The functions that are declared to the model."""
        return self._tools("function")

    @property
    def servers(self) -> list[str]:
        """The labels of the MCP servers."""
        return [str(tool.get("server_label")) for tool in self._tools("mcp")]

    def _tools(self, kind: str) -> list[Mapping[str, Any]]:
        tools = self.session.get("tools")
        given = tools if isinstance(tools, list | tuple) else ()
        return [tool for tool in given if isinstance(tool, Mapping) and tool.get("type") == kind]


@dataclass(frozen=True, slots=True)
class Combination:
    """One rule: ``broken`` says whether a session breaks it, the rest how to say so."""

    fields: Sequence[str]
    """The settings it is about, as dotted paths; the first is the one to blame."""
    why: str
    fix: str
    source: str
    """Where that is known from: "recorded" and "reported" traffic of the service, or its documentation."""
    broken: Callable[[Facts], bool]


def check_combinations(session: Mapping[str, Any], backend: Backend | None = None) -> None:
    """Refuse a session that the service is known to refuse, or of which a part would do nothing.

    Without a ``backend`` only what is wrong with every model. Raises
    :class:`~voicelive_agent.errors.ConfigurationError`, which names the fields, their values and the fix.
    """
    facts = Facts(session, backend)
    for rule in COMBINATIONS:
        if rule.broken(facts):
            given = [path for path in rule.fields if path.partition(".")[0] in session]
            shown = " with ".join(_shown(session, path) for path in given)
            raise ConfigurationError(f"{shown}: {rule.why}.", hint=rule.fix)
    check_tool_names(session)


def check_tool_names(session: Mapping[str, Any]) -> None:
    """Refuse two functions of one name, wherever they come from: a call says nothing but the name.

    Tools of MCP servers are called by their server's label and may have any. Raises
    :class:`~voicelive_agent.errors.ConfigurationError`, which tells the two apart by their descriptions.
    """
    found: dict[str, Mapping[str, Any]] = {}
    for function in Facts(session).functions:
        name = function.get("name")
        if not isinstance(name, str):  # only ``extra`` can say so, and the service judges it
            continue
        if name in found:
            both = " and ".join(_short(repr(one.get("description", ""))) for one in (found[name], function))
            hint = "Rename one: FunctionTool(name=...), @tool(name=...). A @tool needs no FunctionTool beside it."
            raise ConfigurationError(
                f"tools: two functions are called {name!r:.80}, described as {both}.", hint=hint
            )
        found[name] = function


def check_tool_choice(session: Mapping[str, Any], backend: Backend) -> None:
    """Refuse a ``tool_choice`` that no tool of the session can meet; to be asked when all tools are there.

    A Foundry agent has tools that are not listed here. Raises
    :class:`~voicelive_agent.errors.ConfigurationError`.
    """
    if backend.agent:
        return
    tools, choice = session.get("tools") or (), session.get("tool_choice")
    if choice == "required" and not tools:
        hint = "Give the agent a tool, or leave out tool_choice."
        raise ConfigurationError("tool_choice='required': there is no tool to call.", hint=hint)
    name = choice.get("name") if isinstance(choice, Mapping) else None
    names = [tool.get("name") for tool in tools if isinstance(tool, Mapping)]
    # A tool without a name is a server's or another agent's: it has functions that are not listed.
    if name is not None and name not in names and None not in names:
        hint = "Name one of the agent's tools, or use tool_choice='auto'."
        raise ConfigurationError(f"tool_choice names {name!r:.80}, and no tool is called so.", hint=hint)


def _shown(session: Mapping[str, Any], path: str) -> str:
    """A setting and its value; of an object its type or model, which hold no secret."""
    value: Any = session
    for name in path.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    if isinstance(value, Mapping):
        value = value.get("type") or value.get("model") or ()
    if isinstance(value, list | tuple):
        return path
    return f"{path}={_short(repr(value))}"


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."


def _untyped_branch(facts: Facts) -> bool:
    """Whether some branch of an ``anyOf`` in a function's schema says nothing of its type."""
    waiting: list[Any] = [function.get("parameters") for function in facts.functions]
    while waiting:
        schema = waiting.pop()
        if isinstance(schema, Mapping):
            branches = schema.get("anyOf")
            for branch in branches if isinstance(branches, list | tuple) else ():
                if isinstance(branch, Mapping) and not {"type", "$ref", "anyOf"} & branch.keys():
                    return True
            waiting += schema.values()
        elif isinstance(schema, list | tuple):
            waiting += schema
    return False


_ECHO: Final = "input_audio_echo_cancellation"
_HEARS: Final = "input_audio_transcription"

COMBINATIONS: Final[Sequence[Combination]] = (
    # --- the session by itself ---
    Combination(
        ("model",),
        "a session cannot change its model",
        "It belongs to the connection: VoiceAgent(target=...) or AZURE_VOICELIVE_MODEL.",
        "reported: ignored or refused",
        lambda facts: facts.session.get("model") is not None,
    ),
    Combination(
        _GA_FIELDS,
        "Voice Live speaks the flat session of the preview protocol, not the nested one of OpenAI's GA protocol",
        "Use SessionConfig's own fields: modalities, voice, input_audio_format, turn_detection ...",
        "reported: unknown fields are refused",
        lambda facts: any(name in facts.session for name in _GA_FIELDS),
    ),
    Combination(
        ("modalities",),
        "audio does not come without its text",
        "Use modalities=['text', 'audio'], or ['text'] for a silent agent.",
        "documentation",
        lambda facts: list(facts.session.get("modalities") or ()) == ["audio"],
    ),
    Combination(
        ("input_audio_sampling_rate", "input_audio_format"),
        "G.711 has 8000 samples a second",
        "It must be 8000 (or left out).",
        "documentation",
        lambda facts: (
            facts.session.get("input_audio_format") in ("g711_ulaw", "g711_alaw")
            and facts.session.get("input_audio_sampling_rate") not in (None, 8_000)
        ),
    ),
    Combination(
        (_ECHO, "modalities"),
        "there is no echo to cancel where the agent does not speak",
        'Add "audio" to the modalities (and give the call a sink), or leave out the echo cancellation.',
        "documentation, ec_not_supported",
        lambda facts: bool(facts.part(_ECHO)) and "audio" not in (facts.session.get("modalities") or ("audio",)),
    ),
    Combination(
        (f"{_ECHO}.reference_source", f"{_ECHO}.channels"),
        "the second channel is the client's echo reference",
        "EchoCancellation.reference_source must be 'client' with channels=2.",
        "documentation, invalid_ec_channels_requires_client",
        lambda facts: (
            facts.part(_ECHO).get("channels") == 2 and facts.part(_ECHO).get("reference_source") != "client"
        ),
    ),
    Combination(
        (f"{_ECHO}.channels", f"{_ECHO}.reference_source"),
        "the client's echo reference is a second channel",
        "EchoCancellation.channels must be 2 with reference_source='client'.",
        "documentation, invalid_ec_reference_channels",
        lambda facts: (
            facts.part(_ECHO).get("reference_source") == "client" and facts.part(_ECHO).get("channels") != 2
        ),
    ),
    Combination(
        ("input_audio_format", f"{_ECHO}.channels"),
        "G.711 has one channel",
        "It must be 'pcm16' with an echo reference in the second channel.",
        "documentation, invalid_ec_channels_format",
        lambda facts: (
            facts.part(_ECHO).get("channels") == 2 and facts.session.get("input_audio_format", "pcm16") != "pcm16"
        ),
    ),
    Combination(
        (f"{_HEARS}.phrase_list", f"{_HEARS}.model"),
        "only azure-speech and mai-transcribe can be told that",
        "Use Transcription(model='azure-speech', phrase_list=...), or leave out phrase_list.",
        "documentation",
        lambda facts: bool(facts.part(_HEARS).get("phrase_list")) and not facts.transcriber.startswith(_PHRASES),
    ),
    Combination(
        (f"{_HEARS}.custom_speech", f"{_HEARS}.model"),
        "only azure-speech can be told that",
        "Use Transcription(model='azure-speech', custom_speech=...), or leave out custom_speech.",
        "documentation",
        lambda facts: bool(facts.part(_HEARS).get("custom_speech")) and facts.transcriber != "azure-speech",
    ),
    Combination(
        (f"{_HEARS}.prompt", f"{_HEARS}.model"),
        "only the transcription models of OpenAI take a prompt",
        "Use phrase_list with azure-speech, or Transcription(model='gpt-4o-transcribe', prompt=...).",
        "documentation",
        lambda facts: (
            bool(facts.part(_HEARS).get("prompt")) and not facts.transcriber.startswith(_OPENAI_TRANSCRIPTION)
        ),
    ),
    Combination(
        ("tools",),
        "a branch of an anyOf in a function's parameters has no type",
        'Give every branch of the anyOf a "type", or a "$ref" to what has one.',
        "reported: invalid_function_parameters",
        _untyped_branch,
    ),
    Combination(
        ("tools",),
        "two MCP servers have the same server_label, which alone tells them apart in events and approvals",
        "Give every MCPServer a server_label of its own.",
        "documentation: the label identifies the server",
        lambda facts: len(facts.servers) != len(set(facts.servers)),
    ),
    # --- the voice ---
    Combination(
        ("output_audio_format", "voice"),
        "the voices of OpenAI speak pcm16 (24 kHz) and G.711 only",
        "Use output_audio_format='pcm16', or an Azure voice such as 'en-US-AvaNeural'.",
        "recorded by the SDK's live tests",
        lambda facts: (
            facts.openai_voice and facts.session.get("output_audio_format", "pcm16") not in _OPENAI_FORMATS
        ),
    ),
    *(
        Combination(
            (name, "voice"),
            "it comes from Azure's text to speech, and a voice of OpenAI has none of it",
            f"Use an Azure voice such as 'en-US-AvaNeural', or leave out {name}.",
            "documentation: without effect",
            lambda facts, name=name: (  # type: ignore[misc]  # mypy knows no lambda with a default
                bool(facts.session.get(name)) and facts.openai_voice
            ),
        )
        for name in ("output_audio_timestamp_types", "animation")
    ),
    Combination(
        ("voice",),
        "only the model azure-realtime has voices of the type azure-realtime-native",
        "Use the target 'azure-realtime', or another voice.",
        "documentation",
        lambda facts: (
            facts.backend is not None
            and facts.part("voice").get("type") == "azure-realtime-native"
            and not facts.azure_realtime
        ),
    ),
    Combination(
        ("voice",),
        "a Foundry agent speaks with an Azure voice",
        "Use an Azure voice such as 'en-US-AvaNeural', or voice=None for the agent's own.",
        "documentation",
        lambda facts: facts.agent and facts.openai_voice,
    ),
    Combination(
        ("interim_response", "voice"),
        "only the service itself can say something meanwhile: a cascade model or an agent with an Azure voice",
        "Use an Azure voice and a target such as 'gpt-4.1', or leave out interim_response.",
        "documentation",
        lambda facts: bool(facts.session.get("interim_response")) and (facts.realtime or facts.openai_voice),
    ),
    # --- who answers ---
    Combination(
        ("turn_detection", _HEARS),
        "a realtime model transcribes with azure-speech only if an azure_semantic_vad detects the turns",
        "Use turn_detection=AzureSemanticVad(), or Transcription(model='gpt-4o-transcribe').",
        "recorded",
        lambda facts: (
            facts.realtime
            and facts.transcriber == "azure-speech"
            and not facts.detection.startswith("azure_semantic_vad")
        ),
    ),
    Combination(
        ("turn_detection",),
        "only realtime audio models have OpenAI's semantic detection",
        "Use turn_detection=AzureSemanticVad(), or a target such as 'gpt-realtime'.",
        "documentation",
        lambda facts: facts.cascade and facts.detection == "semantic_vad",
    ),
    Combination(
        (f"{_HEARS}.model",),
        "only realtime audio models can be transcribed by it",
        "Use Transcription(model='azure-speech'), or a target such as 'gpt-realtime'.",
        "documentation",
        lambda facts: facts.cascade and facts.transcriber.startswith(_OPENAI_TRANSCRIPTION),
    ),
    Combination(
        ("temperature",),
        "realtime audio models take 0.6 to 1.2",
        "Use a value in that range, or leave it out for 0.8.",
        "documentation",
        lambda facts: facts.realtime and not 0.6 <= _number(facts.session.get("temperature")) <= 1.2,
    ),
    Combination(
        ("instructions",),
        "a Foundry agent has instructions of its own, and the service takes no others",
        "Write them into the agent in Foundry, and leave them out here.",
        "documentation",
        lambda facts: facts.agent and facts.session.get("instructions") is not None,
    ),
    Combination(
        ("tools",),
        "a Foundry agent has tools of its own",
        "Give the agent its tools in Foundry, and leave out tools=, @tool methods and MCP servers here.",
        "nobody says that an agent takes others, so that they would be offered to nobody",
        lambda facts: facts.agent and bool(facts.session.get("tools")),
    ),
)
"""All rules, those that need no backend first; the first one that is broken is told."""


def _number(value: Any) -> float:
    """A temperature, the service's own where none is given."""
    return value if isinstance(value, int | float) else 0.8
