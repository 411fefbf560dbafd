"""Memory of `local:smollm2` in a CPython process of its own: before, loaded, after many turns and closed.

    python -m tests.bench.local.native [TURNS] [THREADS]

Prints one JSON object, in bytes of resident memory.
"""

from __future__ import annotations

import asyncio
import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path

from limpet.agent import Agent
from limpet.host import Host
from limpet.hosts.cpython import create_host
from limpet.hosts.onnx_session import OnnxBackend
from limpet.messages import Message
from limpet.model import ModelReference

from .visits import resident_bytes

ROOT = Path(__file__).resolve().parents[3]
MODEL = "smollm2"
SYSTEM = "You answer questions about a household."
LIMIT_SECONDS = 600.0


async def measure(turns: int, threads: int) -> dict[str, float]:
    """Load, talk and close. Needs the model in `build/models`."""
    host = create_host(inference=OnnxBackend(ROOT / "build" / "models", threads=threads))
    made = {"booted": resident_bytes()}
    assert host.inference is not None
    session = await host.inference.load(MODEL, lambda *_: None)
    made["loaded"] = resident_bytes()
    made["tokens"] = await talk(host, turns)
    made["used"] = resident_bytes()
    await session.close()
    made["closed"] = resident_bytes()
    return made


async def talk(host: Host, turns: int) -> float:
    """Have a conversation of short turns; give how many tokens it has at the end."""
    agent = Agent(ModelReference("local", MODEL), instructions=SYSTEM, max_output_tokens=8)
    messages: list[Message] = []
    tokens = math.nan
    for number in range(turns):
        result = await agent.run(f"What is number {number} on the list?", host=host, messages=messages)
        messages = [one for one in result.messages if one.role != "system"]
        tokens = result.usage.input_tokens + result.usage.output_tokens
    return tokens


async def in_a_process(turns: int, threads: int) -> dict[str, float]:
    """Measure in a process in which nothing else was loaded."""
    words = [sys.executable, "-m", __name__, str(turns), str(threads)]
    process = await asyncio.create_subprocess_exec(*words, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
    try:
        told, _ = await asyncio.wait_for(process.communicate(), LIMIT_SECONDS)
    except BaseException:
        process.kill()
        raise
    if process.returncode:
        raise RuntimeError(f"{__name__} ended with {process.returncode}")
    made: dict[str, float] = json.loads(told)
    return made


def main(words: Sequence[str]) -> None:
    """Measure and print."""
    turns, threads = (int(words[place]) if len(words) > place else usual for place, usual in enumerate((50, 2)))
    print(json.dumps(asyncio.run(measure(turns, threads))))


if __name__ == "__main__":
    main(sys.argv[1:])
