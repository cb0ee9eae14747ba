"""The command line: ``voicelive-agent``. Each command is a module of this package, imported when it is used."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import fields

from .. import __version__
from ..errors import VoiceLiveError
from ._emulator_options import Settings, add_options, port_number

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; its exit code: 0, 1 for a failure, 2 for wrong usage or setup, 130 after Ctrl-C."""
    arguments = _parser().parse_args(argv)
    try:
        return int(arguments.command(arguments))
    except VoiceLiveError as error:
        print(f"voicelive-agent: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # whoever read our output has gone; so does the rest of it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="voicelive-agent", description="Voice agents on Azure AI Voice Live.")
    parser.add_argument("--version", action="version", version=f"voicelive-agent {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    demo = commands.add_parser("demo", help="three conversations with recorded people: no account, no microphone")
    demo.add_argument(
        "--out", metavar="DIR", default="voicelive-demo", help="where the recording goes (%(default)s)"
    )
    demo.add_argument("--fast", action="store_true", help="eight times as fast as real time")
    demo.set_defaults(command=_demo)

    _add_talk(commands)
    _add_serve(commands)
    _add_test(commands)
    emulator = commands.add_parser("emulator", help="Voice Live on this machine, for any client")
    add_options(emulator)
    emulator.set_defaults(command=_emulator)

    devices = commands.add_parser("devices", help="the microphones and speakers that there are")
    devices.add_argument("--json", action="store_true", help="for programs: a list of objects")
    devices.set_defaults(command=_devices)
    return parser


def _add_talk(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    talk = commands.add_parser(
        "talk",
        help="a conversation with an agent, by microphone and speaker or between files",
        description="A conversation with an agent: yours, or a friendly one that is built in.",
    )
    talk.add_argument(
        "target", nargs="?", metavar="TARGET", help="your agent: hello.py, hello.py:Name, module:Name"
    )
    talk.add_argument("--emulator", action="store_true", help="Voice Live in this process: no account is needed")
    talk.add_argument("--source", metavar="FILE", help="what is said, instead of the microphone")
    talk.add_argument("--sink", metavar="FILE", help="record what is heard in a WAV file, instead of the speaker")
    talk.add_argument("--input", metavar="DEVICE", type=_device, help="the microphone: its number or its name")
    talk.add_argument("--output", metavar="DEVICE", type=_device, help="the speaker: its number or its name")
    talk.add_argument(
        "--echo-reference", action="store_true", help="send what is played along, so that its echo can be removed"
    )
    talk.add_argument(
        "--half-duplex", action="store_true", help="no microphone while the agent speaks: nothing can interrupt it"
    )
    talk.add_argument("--reopen", action="store_true", help="take the default device when one is lost")
    talk.add_argument("--reload", action="store_true", help="start anew whenever the code of TARGET has changed")
    talk.add_argument("--plain", action="store_true", help="lines, as for a log, though this is a terminal")
    talk.set_defaults(command=_talk)


def _add_serve(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    serve = commands.add_parser(
        "serve",
        help="a web page that talks to an agent",
        description="A web page that talks to an agent, with one agent for each visitor.",
    )
    serve.add_argument(
        "target", nargs="?", metavar="TARGET", help="your agent: hello.py, hello.py:Name, module:Name"
    )
    serve.add_argument("--emulator", action="store_true", help="Voice Live in this process: no account is needed")
    serve.add_argument("--host", default="127.0.0.1", help="the address to listen on (%(default)s)")
    serve.add_argument("--port", type=port_number, default=8000, help="the port, 0 for a free one (%(default)s)")
    serve.add_argument("--reload", action="store_true", help="new visitors get the code of TARGET as it is then")
    serve.add_argument("--title", help="what the page is called")
    serve.add_argument(
        "--allow-origin",
        metavar="ORIGIN",
        action="append",
        default=[],
        help="another site whose pages may connect",
    )
    serve.add_argument(
        "--allow-host", metavar="HOST", action="append", default=[], help="a name that this server goes by"
    )
    serve.add_argument(
        "--proxies", type=int, default=0, metavar="N", help="trusted proxies in front (%(default)s)"
    )
    serve.add_argument("--sessions", type=int, default=50, metavar="N", help="visitors at once (%(default)s)")
    serve.add_argument(
        "--sessions-per-address", type=int, default=4, metavar="N", help="of these from one address (%(default)s)"
    )
    serve.set_defaults(command=_serve)


def _add_test(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    test = commands.add_parser(
        "test",
        help="conversations written down as YAML, held with an agent",
        description="Hold the conversations of scenarios with an agent, in memory and without waiting.",
    )
    test.add_argument("path", metavar="PATH", help="a file of scenarios, or a folder of them")
    test.add_argument(
        "target",
        nargs="?",
        metavar="TARGET",
        help="your agent: hello.py, hello.py:Name, module:Name (default: what the file says)",
    )
    test.add_argument("--junit", metavar="FILE", help="write a report in the JUnit format")
    test.add_argument("-k", dest="word", metavar="WORD", help="only scenarios with this in their name or file")
    test.add_argument("--verbose", action="store_true", help="show the conversations that passed as well")
    test.add_argument("--fail-fast", action="store_true", help="stop at the first failure")
    test.set_defaults(command=_test)


def _device(text: str) -> int | str:
    return int(text) if text.isdecimal() else text


def _demo(arguments: argparse.Namespace) -> int:
    from .demo import demo

    return demo(arguments.out, fast=arguments.fast)


def _emulator(arguments: argparse.Namespace) -> int:
    from .emulator import emulator

    given = vars(arguments)
    return emulator(Settings(**{each.name: given[each.name] for each in fields(Settings) if each.init}))


def _talk(arguments: argparse.Namespace) -> int:
    from ._options import Audio
    from .talk import Options, talk

    audio = Audio(
        source=arguments.source,
        sink=arguments.sink,
        input=arguments.input,
        output=arguments.output,
        echo_reference=arguments.echo_reference,
        half_duplex=arguments.half_duplex,
        reopen=arguments.reopen,
    )
    options = Options(
        arguments.target, audio, emulator=arguments.emulator, reload=arguments.reload, plain=arguments.plain
    )
    return talk(options)


def _serve(arguments: argparse.Namespace) -> int:
    from ..web import WebLimits
    from .serve import Options, serve

    limits = WebLimits(sessions=arguments.sessions, sessions_per_address=arguments.sessions_per_address)
    options = Options(
        arguments.target,
        host=arguments.host,
        port=arguments.port,
        emulator=arguments.emulator,
        reload=arguments.reload,
        origins=arguments.allow_origin,
        hosts=arguments.allow_host,
        proxies=arguments.proxies,
        title=arguments.title,
        limits=limits,
    )
    return serve(options)


def _test(arguments: argparse.Namespace) -> int:
    from .test import Options, test

    options = Options(
        arguments.path,
        arguments.target,
        junit=arguments.junit,
        word=arguments.word,
        verbose=arguments.verbose,
        fail_fast=arguments.fail_fast,
    )
    return test(options)


def _devices(arguments: argparse.Namespace) -> int:
    from .devices import devices

    return devices(as_json=arguments.json)
