"""`build.py bench --edge-load [--seconds N] [--rounds N]`: requests a second, p50, p99 and memory, side by side.

Both have one process, a key to check, and the same fake provider behind them; the fake provider alone is measured too,
and what is above it is what a proxy adds. Rounds of the three take turns, so that a busy machine is busy for all.
LiteLLM's proxy is installed into `build/edge-peers` when it is not there.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from tests.hosts.workerd import serving
from tooling import edge, edge_project, node
from tooling.progress import run_logged, say

ROOT = Path(__file__).resolve().parents[3]
HERE = Path(__file__).parent
PEERS = ROOT / "build" / "edge-peers"
LITELLM = "litellm[proxy]==1.106.12"  # the newest whose proxy the registry has whole
KEY = "sk-key-of-the-load-0123456789"
START_SECONDS = 120.0
CONCURRENCIES = (1, 16)


@dataclass(frozen=True)
class Target:
    """Whom to ask, and whose memory to read."""

    name: str
    url: str
    model: str
    process: int


@contextmanager
def upstream() -> Iterator[Target]:
    """The fake provider."""
    command = [str(node.node()), str(HERE / "upstream.mjs")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        try:
            yield Target("provider alone", f"http://127.0.0.1:{port}/v1/chat/completions", "fake", process.pid)
        finally:
            process.kill()


@contextmanager
def ours(provider: Target, folder: Path) -> Iterator[Target]:
    """Our gateway on workerd."""
    project = serving.make(folder / "edge")
    base_url = provider.url.removesuffix("/chat/completions")
    gateway = {"models": {"fake": [{"model": "openai_compatible:fake", "base_url": base_url}]}}
    settings = {"LIMPET_ACCESS": "keys", "LIMPET_GATEWAY": json.dumps(gateway)}
    env = {"LIMPET_KEYS": json.dumps({"load": {"key": KEY}})}
    with edge.serving(
        ROOT, project.folder, project.packed, port=edge.free_port(), vars=settings, env=env, state=folder / "state"
    ) as server:
        yield Target("limpet on workerd", f"{server.url}v1/chat/completions", "fake", server.process.pid)


@contextmanager
def litellm(provider: Target, folder: Path) -> Iterator[Target]:
    """LiteLLM's proxy, with one worker as it comes."""
    if not (PEERS / "bin" / "litellm").exists():
        say(f"installing {LITELLM}")
        run_logged(
            [sys.executable, "-m", "venv", PEERS],
            log=ROOT / "build/log/edge-peers.log",
            cwd=ROOT,
            time_limit_seconds=120,
        )
        run_logged(
            [PEERS / "bin" / "pip", "install", "-q", LITELLM],
            log=ROOT / "build/log/edge-peers.log",
            cwd=ROOT,
            time_limit_seconds=900,
        )
    base_url = provider.url.removesuffix("/chat/completions")
    model = {"model": "openai/fake", "api_base": base_url, "api_key": "none"}
    config = folder / "litellm.json"
    settings = {
        "model_list": [{"model_name": "fake", "litellm_params": model}],
        "general_settings": {"master_key": KEY},
    }
    config.write_text(json.dumps(settings))
    port = edge.free_port()
    command = [str(PEERS / "bin" / "litellm"), "--config", str(config), "--host", "127.0.0.1", "--port", str(port)]
    env = {**os.environ, "LITELLM_LOG": "ERROR", "LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_TELEMETRY": "False"}
    with (folder / "litellm.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=env, cwd=folder)
    try:
        wait_for(f"http://127.0.0.1:{port}/health/liveliness", process, folder / "litellm.log")
        yield Target("LiteLLM proxy", f"http://127.0.0.1:{port}/v1/chat/completions", "fake", process.pid)
    finally:
        process.kill()
        process.wait()


def wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until somebody answers. Raises `RuntimeError` with the end of the log."""
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            time.sleep(0.2)
    raise RuntimeError(f"nobody answers at {url}:\n{log.read_text(errors='replace')[-2000:]}")


def measure(target: Target, *, stream: bool, seconds: float, concurrency: int) -> dict[str, Any]:
    """Send a load; gives what came of it, with the process's memory in MB and its processor time a request in ms."""
    job = {
        "url": target.url,
        "key": KEY,
        "model": target.model,
        "stream": stream,
        "seconds": seconds,
        "concurrency": concurrency,
    }
    before = cpu_seconds(target.process)
    command = [str(node.node()), str(HERE / "load.mjs"), json.dumps(job)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=seconds + 60)
    seen: dict[str, Any] = json.loads(done.stdout)
    used = cpu_seconds(target.process) - before
    return {**seen, "cpu_ms": round(1000 * used / max(1, seen["answered"]), 2), "rss_mb": memory(target.process)}


def cpu_seconds(process: int) -> float:
    """Give the processor time that a process has used."""
    fields = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory(process: int) -> int:
    """Give the resident memory of a process in MB."""
    line = next(line for line in Path(f"/proc/{process}/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) // 1024


def main() -> int:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(prog="build.py bench --edge-load")
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        provider = stack.enter_context(upstream())
        targets = [
            provider,
            stack.enter_context(ours(provider, folder)),
            stack.enter_context(litellm(provider, folder)),
        ]
        for target in targets:  # whatever is made at the first requests
            measure(target, stream=True, seconds=2, concurrency=4)
            measure(target, stream=False, seconds=2, concurrency=4)
        print("| what | at once | who | requests/s | p50 ms | p99 ms | first p50 | CPU ms | RSS MB | failures |")
        print("|---|---|---|---|---|---|---|---|---|---|")
        for stream in (False, True):
            for concurrency in CONCURRENCIES:
                rounds: dict[str, list[dict[str, Any]]] = {target.name: [] for target in targets}
                for _ in range(options.rounds):
                    for target in targets:
                        rounds[target.name].append(
                            measure(target, stream=stream, seconds=options.seconds, concurrency=concurrency)
                        )
                for name, found in rounds.items():
                    middle = [
                        median(one[key] for one in found)
                        for key in ("per_second", "p50", "p99", "first_p50", "cpu_ms", "rss_mb")
                    ]
                    failures = sum(sum(one["failures"].values()) for one in found)
                    cells = ["stream" if stream else "whole", concurrency, name, *middle, failures]
                    print("| " + " | ".join(map(str, cells)) + " |", flush=True)
    print(f"load of the machine: {os.getloadavg()}; {edge_project.SDK}, {LITELLM}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
