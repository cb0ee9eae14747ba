"""Where to, as whom, to which model: what is refused, what is kept quiet, and what the environment means."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import Any

import pytest
from azure.core.credentials import AccessToken, AzureKeyCredential

from voicelive_agent._connection import Connection
from voicelive_agent._session_config import SessionConfig
from voicelive_agent._session_parts import Transcription
from voicelive_agent._settings import (
    DEFAULT_MODEL,
    EMULATOR_PORT,
    Settings,
    default_credential,
    from_env,
)
from voicelive_agent._targets import AgentTarget, ModelTarget
from voicelive_agent._turn_detection import AzureSemanticVad
from voicelive_agent.errors import ConfigurationError

AZURE = "https://contoso.services.ai.azure.com"


class AsyncCredential:
    async def get_token(self, *scopes: str) -> AccessToken:
        return AccessToken("token", 0)


class SyncCredential:
    def get_token(self, *scopes: str) -> AccessToken:
        return AccessToken("token", 0)


class OwnKey:
    key = "s3cret"


class InMemory:
    async def connect(self, settings: Settings) -> Connection:
        raise NotImplementedError


# --- what is refused ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "endpoint",
    [
        AZURE,
        AZURE + "/",
        "wss://contoso.cognitiveservices.azure.com",
        "https://contoso.services.ai.azure.com?subscription-key=none",
        "http://127.0.0.1:8765",
        "http://127.9.9.9",
        "ws://localhost:1",
        "http://LOCALHOST",
        "http://[::1]:8765",
    ],
)
def test_good_endpoints(endpoint: str) -> None:
    Settings(endpoint=endpoint).check()


@pytest.mark.parametrize(
    ("endpoint", "message"),
    [
        ("", "The endpoint '' has no https:// and host"),
        ("contoso.services.ai.azure.com", "has no https:// and host"),
        ("https://", "has no https:// and host"),
        ("ftp://contoso", "has no https:// and host"),
        ("https://<your-resource>.services.ai.azure.com", "has spaces or a placeholder"),
        ("https://contoso .azure.com", "has spaces or a placeholder"),
        ("https://contoso:65536", "is not a URL: its host or port is wrong"),
        ("https://[::1", "is not a URL"),
        ("https://me@contoso", "may have no user name"),
        ("https://contoso#here", "no fragment (#)"),
        (AZURE + "/voice-live/realtime/", "Leave out /voice-live/realtime"),
        (
            "http://contoso.services.ai.azure.com",
            "would send the credential and the voice unencrypted. Use https://",
        ),
        ("ws://192.168.1.5:8765", "unencrypted"),
        ("http://127.0.0.1.example.org", "unencrypted"),
        ("http://[::ffff:10.0.0.1]", "unencrypted"),
    ],
)
def test_bad_endpoints(endpoint: str, message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Settings(endpoint=endpoint).check()
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "endpoint", ["https://me:s3cret@contoso", "https://me:s3/cret@contoso", "https://me:s3cret@h:x"]
)
def test_an_error_never_shows_a_password(endpoint: str) -> None:
    settings = Settings(endpoint=endpoint)
    with pytest.raises(ConfigurationError) as caught:
        settings.check()
    assert "s3" not in f"{caught.value} {caught.value.__cause__} {settings!r}"


@pytest.mark.parametrize("credential", [None, "key", AzureKeyCredential("key"), OwnKey(), AsyncCredential()])
def test_good_credentials(credential: Any) -> None:
    Settings(endpoint=AZURE, credential=credential).check()


@pytest.mark.parametrize("credential", [None, AsyncCredential()])
def test_agents_take_entra_identities(credential: Any) -> None:
    Settings(endpoint=AZURE, credential=credential, target=AgentTarget("clerk", "library")).check()


@pytest.mark.parametrize("name", ["model", "agent-id", "agent_id", "project_id", "agent-name"])
def test_no_query_names_a_second_target(name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"Settings.query has '{name}', which would be a second target"):
        Settings(endpoint=AZURE, query={name: "x"}).check()
    with pytest.raises(ConfigurationError, match=f"The endpoint has '{name}', which would be a second target"):
        Settings(endpoint=f"{AZURE}/?{name}=x").check()


def test_how_a_model_is_reached_is_said_once_and_where_it_counts() -> None:
    own, newer = ModelTarget("own", "byom-azure-openai-realtime"), {"profile": "byom-something-new"}
    with pytest.raises(ConfigurationError, match=r"Settings\.query has the profile 'byom-azure-openai-realtime'"):
        Settings(
            endpoint=AZURE, target=ModelTarget("own"), query={"profile": "byom-azure-openai-realtime"}
        ).check()
    with pytest.raises(ConfigurationError, match=r"Settings\.query has the profile 'byom-something-new'"):
        Settings(endpoint=AZURE, target=own, query=newer).check()
    Settings(endpoint=AZURE, target=own).check()
    Settings(endpoint=AZURE, target=ModelTarget("own"), query=newer).check()
    with pytest.raises(
        ConfigurationError, match=r"The endpoint has 'api-version'.*\n?.*Settings\(api_version=\.\.\.\)"
    ):
        Settings(endpoint=f"{AZURE}?api-version=v1").check()
    Settings(endpoint=InMemory(), target=own).check()


@pytest.mark.parametrize(
    "session", [SessionConfig(instructions="x"), SessionConfig(tools=[{"type": "function", "name": "f"}])]
)
def test_agents_take_no_instructions_and_no_tools(session: SessionConfig) -> None:
    with pytest.raises(ConfigurationError, match="a Foundry agent has"):
        Settings(endpoint=AZURE, target=AgentTarget("clerk", "library"), session=session).check()


@pytest.mark.parametrize(
    ("credential", "target", "message"),
    [
        (" ", ModelTarget("m"), "The API key is empty"),
        ("key", AgentTarget("clerk", "library"), "accepts Microsoft Entra identities only"),
        (AzureKeyCredential("key"), AgentTarget("clerk", "library"), "accepts Microsoft Entra identities only"),
        (SyncCredential(), ModelTarget("m"), "from azure.identity.aio import SyncCredential"),
        (42, ModelTarget("m"), "The credential is of type int; it must be an API key"),
    ],
)
def test_bad_credentials(credential: Any, target: ModelTarget | AgentTarget, message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Settings(endpoint=AZURE, credential=credential, target=target).check()
    assert message in str(caught.value)


def test_an_object_that_connects_needs_no_url_and_no_credential() -> None:
    settings = Settings(endpoint=InMemory(), credential=SyncCredential())  # type: ignore[arg-type]
    settings.check()
    assert not settings.is_local
    with pytest.raises(ConfigurationError, match=r"The endpoint is of type object; it must be a URL or"):
        Settings(endpoint=object()).check()  # type: ignore[arg-type]


def test_realtime_models_transcribe_with_azure_speech_only_behind_azures_detection() -> None:
    hears = SessionConfig(input_audio_transcription=Transcription(model="azure-speech"))
    realtime = ModelTarget("gpt-realtime")
    with pytest.raises(ConfigurationError, match=r"turn_detection=AzureSemanticVad\(\)"):
        Settings(endpoint=AZURE, target=realtime, session=hears).check()
    manual = dataclasses.replace(hears, turn_detection=None)
    with pytest.raises(ConfigurationError, match="azure_semantic_vad"):
        Settings(endpoint=AZURE, target=realtime, session=manual).check()
    Settings(endpoint=AZURE, target=ModelTarget("gpt-4.1"), session=hears).check()
    semantic = dataclasses.replace(hears, turn_detection=AzureSemanticVad())
    Settings(endpoint=AZURE, target=realtime, session=semantic).check()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"connect_timeout_s": 0}, "Settings.connect_timeout_s is 0; it must be a number greater than 0"),
        ({"first_event_timeout_s": float("nan")}, "Settings.first_event_timeout_s is nan"),
        ({"heartbeat_s": "5"}, "Settings.heartbeat_s is '5'"),
        ({"max_message_bytes": True}, "Settings.max_message_bytes is True"),
        ({"application_id": "a" * 25}, "plain ASCII text of at most 24 characters"),
        ({"application_id": "a\nb"}, "Settings.application_id"),
        ({"application_id": None}, "Settings.application_id is None"),
        ({"query": ["a"]}, "Settings.query is of type list; it must be a mapping of text to text"),
        ({"query": {"a": 1}}, "Settings.query['a'] is of type int; it must be text on one line"),
        ({"headers": {"a": "b\r\nc: d"}}, "Settings.headers['a'] is of type str; it must be text on one line"),
        ({"session": {"instruction": ""}}, "Did you mean 'instructions'?"),
    ],
)
def test_bad_values(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Settings(endpoint=AZURE, **fields)
    assert message in str(caught.value)


# --- what is kept quiet ------------------------------------------------------------------------------------


@pytest.mark.parametrize("credential", ["s3cret", OwnKey(), None])
def test_repr_shows_no_secret(credential: Any) -> None:
    settings = Settings(
        endpoint="https://contoso.azure.com/path?api-key=s3cret#s3cret",
        credential=credential,
        query={"agent-access-token": "s3cret"},
        headers={"x-key": "s3cret"},
        application_id="library",
    )
    shown = repr(settings)
    assert "s3cret" not in shown
    assert "endpoint='https://contoso.azure.com/path'" in shown
    assert "query=<agent-access-token>, headers=<x-key>" in shown
    assert "application_id='library'" in shown
    assert f"credential={'None' if credential is None else f'<{type(credential).__name__}>'}" in shown
    assert "endpoint=<InMemory>" in repr(Settings(endpoint=InMemory()))


def test_settings_keep_copies() -> None:
    query = {"a": "b"}
    settings = Settings(endpoint=AZURE, query=query)
    query["c"] = "d"
    assert settings.query == {"a": "b"}


# --- credentials -------------------------------------------------------------------------------------------


def test_a_given_credential_is_used_and_not_owned() -> None:
    own, key = AsyncCredential(), AzureKeyCredential("key")
    assert Settings(endpoint=AZURE, credential=own).open_credential() == (own, False)
    assert Settings(endpoint=AZURE, credential=key).open_credential() == (key, False)


@pytest.mark.parametrize(("credential", "key"), [("key", "key"), (OwnKey(), "s3cret")])
def test_a_key_becomes_a_key_credential(credential: Any, key: str) -> None:
    made, owned = Settings(endpoint=AZURE, credential=credential).open_credential()
    assert isinstance(made, AzureKeyCredential)
    assert made.key == key
    assert not owned


def test_an_emulator_needs_none_and_is_sent_no_identity() -> None:
    settings = Settings(endpoint="http://localhost:1")
    settings.check()
    made, owned = settings.open_credential()
    assert isinstance(made, AzureKeyCredential)
    assert not owned


async def test_an_emulated_agent_takes_no_key_but_any_token() -> None:
    settings = Settings(endpoint="http://localhost:1", target=AgentTarget("clerk", "library"))
    settings.check()
    made, owned = settings.open_credential()
    assert (await made.get_token("https://ai.azure.com/.default")).token == "emulator"
    assert not owned


async def test_the_default_is_made_when_asked_for_and_owned_by_who_asked() -> None:
    made, owned = Settings(endpoint=AZURE).open_credential()
    assert type(made).__module__.startswith("azure.identity.aio")
    assert owned
    await asyncio.gather(made.close(), default_credential().close())  # type: ignore[attr-defined]


# --- the environment ---------------------------------------------------------------------------------------


def test_official_names_win_over_the_labs() -> None:
    lab = {
        "AZURE_VOICE_LIVE_ENDPOINT": "https://lab.azure.com",
        "AZURE_VOICE_LIVE_API_KEY": "lab-key",
        "VOICE_LIVE_MODEL": "gpt-realtime",
        "VOICE_LIVE_VOICE": "alloy",
        "VOICE_LIVE_INSTRUCTIONS": "lab",
        "VOICE_LIVE_VERBOSE": "1",
    }
    official = {
        "AZURE_VOICELIVE_ENDPOINT": AZURE,
        "AZURE_VOICELIVE_API_KEY": "key",
        "AZURE_VOICELIVE_MODEL": "gpt-4o",
        "AZURE_VOICELIVE_VOICE": "en-US-JennyNeural",
        "AZURE_VOICELIVE_INSTRUCTIONS": "official",
    }
    assert from_env(lab) == Settings(
        endpoint="https://lab.azure.com",
        credential="lab-key",
        target=ModelTarget("gpt-realtime"),
        session=SessionConfig(voice="alloy", instructions="lab"),
        verbose=True,
    )
    assert Settings.from_env(lab | official) == Settings(
        endpoint=AZURE,
        credential="key",
        target=ModelTarget("gpt-4o"),
        session=SessionConfig(voice="en-US-JennyNeural", instructions="official"),
        verbose=True,
    )
    assert from_env(lab | dict.fromkeys(official, " ")) == from_env(lab)


def test_only_the_endpoint_is_required() -> None:
    settings = from_env({"AZURE_VOICELIVE_ENDPOINT": AZURE})
    assert settings == Settings(endpoint=AZURE, target=ModelTarget(DEFAULT_MODEL))
    assert settings.credential is None
    assert not settings.verbose


@pytest.mark.parametrize("text", ["", "0", "false", "No", "off"])
def test_verbose_can_be_switched_off(text: str) -> None:
    assert not from_env({"AZURE_VOICELIVE_ENDPOINT": AZURE, "VOICE_LIVE_VERBOSE": text}).verbose


def test_the_process_environment_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_VOICELIVE_ENDPOINT", "emulator:1234")
    assert from_env().endpoint == "http://127.0.0.1:1234"
    assert Settings.from_env().endpoint == "http://127.0.0.1:1234"


def test_a_missing_endpoint_is_one_clear_error_with_a_way_out() -> None:
    with pytest.raises(ConfigurationError) as caught:
        from_env({"AZURE_VOICELIVE_ENDPOINT": " ", "AZURE_VOICELIVE_VOICE": "alloy"})
    text = str(caught.value)
    for name in ("AZURE_VOICELIVE_ENDPOINT", "AZURE_VOICE_LIVE_ENDPOINT", "AZURE_VOICELIVE_API_KEY"):
        assert name in text
    assert "AZURE_VOICELIVE_MODEL (gpt-4.1)" in text
    assert "AZURE_VOICELIVE_INSTRUCTIONS" in text
    assert "AZURE_VOICELIVE_VOICE" not in text
    assert "voicelive-agent demo" in caught.value.hint
    assert "AZURE_VOICELIVE_ENDPOINT=emulator" in caught.value.hint


def test_what_is_set_is_not_called_missing() -> None:
    names = ("API_KEY", "MODEL", "VOICE", "INSTRUCTIONS")
    with pytest.raises(ConfigurationError) as caught:
        from_env({f"AZURE_VOICELIVE_{name}": "x" for name in names})
    assert "Not set either" not in str(caught.value)


@pytest.mark.parametrize(
    ("endpoint", "url"),
    [
        ("emulator", f"http://127.0.0.1:{EMULATOR_PORT}"),
        ("Emulator", f"http://127.0.0.1:{EMULATOR_PORT}"),
        ("emulator:9000", "http://127.0.0.1:9000"),
    ],
)
def test_the_emulator_is_a_word_and_is_sent_no_key(endpoint: str, url: str) -> None:
    settings = from_env({"AZURE_VOICELIVE_ENDPOINT": endpoint, "AZURE_VOICELIVE_API_KEY": "s3cret"})
    assert settings.endpoint == url
    assert settings.credential is None
    assert settings.is_local


@pytest.mark.parametrize("port", ["x", "0", "65536", "-1"])
def test_a_wrong_port_of_the_emulator(port: str) -> None:
    with pytest.raises(ConfigurationError, match="The port of the emulator is"):
        from_env({"AZURE_VOICELIVE_ENDPOINT": f"emulator:{port}"})


def test_what_the_environment_says_is_checked() -> None:
    with pytest.raises(ConfigurationError, match="has no https://"):
        from_env({"AZURE_VOICELIVE_ENDPOINT": "contoso.azure.com"})
