"""The command line: ``voicelive-agent``. Each command is a module of this package, imported when it is used."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from .. import __version__
from ..errors import VoiceLiveError

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

    emulator = commands.add_parser("emulator", help="Voice Live on this machine, for any client")
    emulator.add_argument(
        "--port", type=_port, default=8765, help="the port to listen on, 0 for a free one (%(default)s)"
    )
    emulator.add_argument("--api-key", metavar="KEY", help="refuse every other key (default: any key will do)")
    emulator.add_argument(
        "--latency",
        choices=("none", "service"),
        default="none",
        help="add the delays of the service (%(default)s)",
    )
    emulator.add_argument(
        "--scripted", action="store_true", help="no speech packages: loudness for ears, rules, a tone for a voice"
    )
    emulator.set_defaults(command=_emulator)
    return parser


def _port(text: str) -> int:
    port = int(text)
    if not 0 <= port < 65_536:
        raise ValueError(text)
    return port


_port.__name__ = "port (0 to 65535)"  # argparse says: invalid port (0 to 65535) value: '99999'


def _demo(arguments: argparse.Namespace) -> int:
    from .demo import demo

    return demo(arguments.out, fast=arguments.fast)


def _emulator(arguments: argparse.Namespace) -> int:
    from .emulator import emulator

    return emulator(
        arguments.port, api_key=arguments.api_key, latency=arguments.latency, scripted=arguments.scripted
    )
