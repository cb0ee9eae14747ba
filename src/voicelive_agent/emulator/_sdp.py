"""An answer to a WebRTC offer that no media follows: what ``session.avatar.connect`` is answered with.

The answer takes every media section of the offer, in its order, with one codec each, so that a client's WebRTC
stack accepts it (RFC 8829, RFC 8843). It names no candidate: nothing is ever connected.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from ._errors import ClientError

_CODECS = {"audio": "opus/48000", "video": "h264/90000"}
_REVERSED = {"sendrecv": "sendrecv", "recvonly": "sendonly", "sendonly": "recvonly", "inactive": "inactive"}
_PASSED_ON = ("rtcp-mux", "rtcp-rsize", "extmap-allow-mixed")


@dataclass(slots=True)
class _Section:
    """One media section of an offer."""

    kind: str
    protocol: str
    formats: list[str]
    attributes: list[tuple[str, str]] = field(default_factory=list)

    def values(self, name: str) -> Iterator[str]:
        return (value for each, value in self.attributes if each == name)

    def first(self, name: str, default: str = "") -> str:
        return next(self.values(name), default)


def answer(client_sdp: str, letters: Callable[[int], str]) -> str:
    """The base64 JSON answer to a base64 JSON offer; ``letters(n)`` makes random ones.

    Raises ClientError where ``client_sdp`` is none.
    """
    sections, session = _parsed(_offer(client_sdp))
    fragment, password = letters(8), letters(24)
    fingerprint = ":".join(f"{ord(each) * 7 % 256:02X}" for each in letters(32))
    lines = ["v=0", "o=- 1 1 IN IP4 127.0.0.1", "s=-", "t=0 0"]
    lines += [f"a=group:{group}" for group in session.values("group")]
    lines += [f"a=msid-semantic:{each}" for each in session.values("msid-semantic")]
    for section in sections:
        lines += _answered(section)
        lines += [f"a=ice-ufrag:{fragment}", f"a=ice-pwd:{password}", f"a=fingerprint:sha-256 {fingerprint}"]
        setup = section.first("setup", session.first("setup", "actpass"))
        lines += [f"a=setup:{'passive' if setup == 'active' else 'active'}"]
    text = "\r\n".join([*lines, ""])
    return base64.b64encode(json.dumps({"type": "answer", "sdp": text}).encode()).decode("ascii")


def _offer(client_sdp: str) -> str:
    try:
        offer = json.loads(base64.b64decode(client_sdp, validate=True))
    except (binascii.Error, ValueError, RecursionError) as error:
        raise _invalid(f"base64 of a JSON object is expected ({error})") from error
    if not isinstance(offer, dict) or offer.get("type") != "offer" or not isinstance(offer.get("sdp"), str):
        raise _invalid('{"type": "offer", "sdp": "..."} is expected')
    return str(offer["sdp"])


def _parsed(sdp: str) -> tuple[list[_Section], _Section]:
    """The media sections, and what precedes them."""
    session = current = _Section("", "", [])
    sections: list[_Section] = []
    lines = sdp.splitlines()
    if not lines or lines[0] != "v=0":
        raise _invalid("an SDP begins with v=0")
    for line in filter(None, lines):
        match = re.fullmatch(r"([a-z])=(.*)", line)
        if match is None:
            raise _invalid(f"'{line[:40]}' is not a line of SDP")
        if match[1] == "m":
            words = match[2].split()
            if len(words) < 4:
                raise _invalid(f"'{line[:40]}' is not a media section")
            current = _Section(words[0], words[2], words[3:])
            sections.append(current)
        elif match[1] == "a":
            name, _, value = match[2].partition(":")
            current.attributes.append((name, value))
    if not sections:
        raise _invalid("it has no media section")
    return sections, session


def _invalid(problem: str) -> ClientError:
    return ClientError(f"Invalid 'client_sdp': {problem}.", code="invalid_value", param="client_sdp")


def _answered(section: _Section) -> list[str]:
    if section.kind == "application":
        taken, codec = section.formats, [f"a=sctp-port:{section.first('sctp-port', '5000')}"]
    else:
        payload = _payload(section)
        taken = [payload]
        codec = [
            f"a={name}:{value}"
            for name, value in section.attributes
            if name in ("rtpmap", "fmtp", "rtcp-fb") and value.split(" ")[0] == payload
        ]
        names = {name for name, _ in section.attributes}
        codec += [f"a={name}" for name in _PASSED_ON if name in names]
        codec += [f"a={_REVERSED[name]}" for name in _REVERSED if name in names] or ["a=sendrecv"]
    head = [f"m={section.kind} 9 {section.protocol} {' '.join(taken)}", "c=IN IP4 0.0.0.0"]
    return [*head, *(f"a=mid:{mid}" for mid in section.values("mid")), *codec]


def _payload(section: _Section) -> str:
    """The payload type of the codec the service speaks with, else the first one offered."""
    wanted = _CODECS.get(section.kind, "")
    for value in section.values("rtpmap"):
        payload, _, codec = value.partition(" ")
        if wanted and codec.lower().startswith(wanted) and payload in section.formats:
            return payload
    return section.formats[0]
