"""The public module: everything is there under its name, and importing it costs nothing."""

from __future__ import annotations

import subprocess
import sys

from voicelive_agent import config


def test_all_names_exist_and_are_sorted() -> None:
    assert all(hasattr(config, name) for name in config.__all__)
    constants = [name for name in config.__all__ if name.isupper()]
    classes = [name for name in config.__all__ if name[0].isupper() and not name.isupper()]
    functions = [name for name in config.__all__ if name[0].islower()]
    assert [*sorted(constants), *sorted(classes), *sorted(functions)] == config.__all__


def test_importing_it_loads_no_heavy_package() -> None:
    program = "import sys, voicelive_agent.config; print(*{name.partition('.')[0] for name in sys.modules})"
    loaded = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not {"azure", "aiohttp", "numpy", "sounddevice", "anyio"} & set(loaded)


def test_making_and_checking_settings_loads_no_heavy_package() -> None:
    program = (
        "import sys; from voicelive_agent.config import Settings;"
        "Settings(endpoint='https://a.azure.com', credential='key', session={'voice': 'alloy'}).check();"
        "print(*{name.partition('.')[0] for name in sys.modules})"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not {"azure", "aiohttp", "numpy"} & set(loaded)
