"""Answers to schemas made by chance, on CPython and on onnxruntime-web: are all valid, and are they the same?

    PYTHONPATH=runtime:web python -m tests.bench.schemas [--model smollm2] [--count 500] [--batch 25] [--exact]

Each batch is written by both hosts, CPython first, and an answer that does not fit ends the run with its schema. With
`--exact` the model is the float32 one of `build/oracle`, and only its forwards run in Node; else the other host is
Pyodide in Node with all of the runtime.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from limpet.host import InferenceSession
from limpet.hosts.onnx_session import OnnxBackend
from limpet.inference.bpe import BpeTokenizer
from limpet.inference.engine import Engine
from limpet.inference.vocabulary import Vocabulary
from tests.bench.accuracy.node_host import NodeBackend
from tests.inference.schema_sweep import digest_of, write
from tests.inference.sweep_agent import agent_source

ROOT = Path(__file__).resolve().parents[2]
BATCH_LIMIT_SECONDS = 1800.0

Digests = list[int]
Host = Callable[[range], Awaitable[Digests]]


@dataclass
class Written:
    """What a host has written so far."""

    digests: Digests = field(default_factory=list)
    seconds: float = 0.0


def in_this_process(session: InferenceSession, tokenizer: BpeTokenizer) -> Host:
    """Write here, with the forwards of any session."""
    engine, vocabulary = Engine(session, tokenizer), Vocabulary(tokenizer)
    start, end = (tokenizer.markers[text] for text in ("<|im_start|>", "<|im_end|>"))
    prompt = [start, *tokenizer.encode("user\nAnswer in JSON."), end, start, *tokenizer.encode("assistant\n")]

    async def run(seeds: range) -> Digests:
        ends = frozenset([0, start, end])
        return [digest_of([await write(seed, engine, vocabulary, ends, prompt)]) for seed in seeds]

    return run


def in_pyodide(model: str, folder: Path) -> Host:
    """Write in Pyodide under Node, a batch a process."""

    async def run(seeds: range) -> Digests:
        agent = folder / "agent.py"
        agent.write_text(agent_source(model, seeds.start, seeds.stop), encoding="utf-8")
        words = ["--json", "--host", "node", "--time-limit", str(BATCH_LIMIT_SECONDS), "--agent", str(agent), "go"]
        done = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-m", "tooling.ask", "ask", *words],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": f"{ROOT / 'web'}{os.pathsep}{ROOT / 'runtime'}"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=BATCH_LIMIT_SECONDS + 60,
        )
        if done.returncode:
            sys.exit(f"Pyodide: {done.stdout[-1000:]}{done.stderr[-1000:]}")
        events = [json.loads(line) for line in done.stdout.splitlines()]
        told = json.loads("".join(event["text"] for event in events if event["type"] == "text_delta"))
        digests: Digests = told["digests"]
        return digests

    return run


async def measure(options: argparse.Namespace) -> None:
    """Write batch after batch, and say after each how things stand."""
    models = ROOT / "build" / ("oracle" if options.exact else "models")
    session = await OnnxBackend(models, threads=options.threads).load(options.model, lambda *_: None)
    tokenizer = BpeTokenizer.parse(await session.read("tokenizer.json"))
    hosts: dict[str, Host] = {"CPython": in_this_process(session, tokenizer)}
    with tempfile.TemporaryDirectory() as folder:
        node = None
        if options.exact:
            node = await NodeBackend(models, threads=options.threads).load(options.model, lambda *_: None)
            hosts["onnxruntime-web in Node"] = in_this_process(node, tokenizer)
        else:
            hosts["Pyodide in Node"] = in_pyodide(options.model, Path(folder))
        written = {name: Written() for name in hosts}
        for first in range(options.first, options.count, options.batch):
            seeds = range(first, min(first + options.batch, options.count))
            for name, host in hosts.items():
                began = time.perf_counter()
                written[name].digests += await host(seeds)
                written[name].seconds += time.perf_counter() - began
            one, other = written.values()
            same = sum(left == right for left, right in zip(one.digests, other.digests, strict=True))
            seconds = ", ".join(f"{name} {each.seconds:.0f} s" for name, each in written.items())
            count = len(one.digests)
            print(f"{options.model}: {count} valid and within budget on both, {same} the same; {seconds}", flush=True)
        if node is not None:
            await node.close()
    await session.close()


def main() -> None:
    """Measure as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2", help="a chat model with a ChatML template")
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--first", type=int, default=0, help="the seed to begin with")
    parser.add_argument("--batch", type=int, default=25)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--exact", action="store_true", help="the float32 model of build/oracle")
    asyncio.run(measure(parser.parse_args()))


if __name__ == "__main__":
    main()
