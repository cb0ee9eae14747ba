"""What importing the package costs: a fresh interpreter with it, minus one without.

python tests/benchmarks/bench_import.py
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

RUNS = 15


def once(code: str) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return (time.perf_counter() - began) * 1000


def main() -> None:
    cases = {
        "import voicelive_agent": "import voicelive_agent",
        "from voicelive_agent import VoiceAgent": "from voicelive_agent import VoiceAgent",
        "import aiohttp (beside it)": "import aiohttp",
    }
    bare = statistics.median(once("pass") for _ in range(RUNS))
    for name, code in cases.items():
        took = statistics.median(once(code) for _ in range(RUNS))
        print(f"{name:40} {took - bare:6.0f} ms above {bare:.0f} ms of a bare interpreter")


if __name__ == "__main__":
    main()
