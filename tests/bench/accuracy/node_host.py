"""The local model on onnxruntime-web's plain wasm build in Node, for `LocalModel` on this side.

Only the forwards run over there: `node_host.ts` and the package `onnxruntime-web-bridge`, as in a browser. Choosing
tokens, grammar, grounding and confidence are the same Python as ever, so what differs is the runtime's alone.
"""

from __future__ import annotations

import asyncio
import base64
import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from limpet.errors import ModelUnavailableError
from limpet.host import Candidates, LoadProgress
from limpet.wire import Availability, Json, JsonObject
from tooling import node

ROOT = Path(__file__).resolve().parents[3]
RUNTIME = ROOT / "web" / "node_modules" / "onnxruntime-web" / "dist" / "ort-wasm-simd-threaded.mjs"
BUNDLE = ROOT / "build" / "accuracy" / "node_host.mjs"
_BUNDLE_LIMIT_SECONDS = 60.0
_REPLY_LIMIT_SECONDS = 120.0
_LONGEST_LINE = 1 << 24


def bundle() -> None:
    """Bundle the TypeScript side with esbuild, from the source of the bridge."""
    script = (
        "import { build } from 'esbuild'; await build({ entryPoints: [process.argv[1]], outfile: process.argv[2], "
        "bundle: true, format: 'esm', platform: 'node', target: 'es2022', conditions: ['source'], "
        "nodePaths: ['node_modules'], logLevel: 'warning' });"
    )
    words = [str(node.node()), "--input-type=module", "-e", script, str(Path(__file__).with_suffix(".ts")), str(BUNDLE)]
    subprocess.run(words, cwd=ROOT / "web", check=True, timeout=_BUNDLE_LIMIT_SECONDS)


class NodeBackend:
    """An `InferenceBackend` with one process of Node, begun when a model is first loaded."""

    def __init__(self, models_dir: Path, *, threads: int | None = None) -> None:
        self._models_dir = models_dir.resolve()
        self._threads = threads or 1
        self._session: NodeSession | None = None

    async def availability(self, model_id: str) -> Availability:
        return "available" if (self._models_dir / model_id / "model.json").is_file() else "unavailable"

    async def load(self, model_id: str, progress: LoadProgress) -> NodeSession:
        """Give the session of the one model that this backend is used for. Raises `ModelUnavailableError`."""
        if self._session is None:
            if not RUNTIME.is_file():
                raise ModelUnavailableError(
                    "onnxruntime-web is not installed; run it through: python3 build.py bench --accuracy --host node",
                    provider="local",
                    model=model_id,
                )
            await asyncio.to_thread(bundle)
            words = [node.node(), BUNDLE, self._models_dir, RUNTIME, self._threads]
            process = await asyncio.create_subprocess_exec(
                *map(str, words),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                limit=_LONGEST_LINE,
            )
            self._session = NodeSession(process)
            await self._session.open(model_id)
        return self._session


class NodeSession:
    """A loaded model over there; see `InferenceSession`. One request at a time."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._lock = asyncio.Lock()
        self._turn = asyncio.Lock()
        self._manifest: JsonObject = {}
        self._length = 0

    @property
    def manifest(self) -> JsonObject:
        return self._manifest

    @property
    def lock(self) -> asyncio.Lock:
        return self._lock

    @property
    def length(self) -> int:
        return self._length

    async def open(self, model_id: str) -> None:
        """Load the model, which takes its files from the folder and checks them."""
        self._manifest = (await self._ask({"op": "load", "model": model_id}))["manifest"]

    async def read(self, name: str) -> bytes:
        return base64.b64decode((await self._ask({"op": "read", "name": name}))["base64"])

    async def forward(
        self, token_ids: Sequence[int], *, top_k: int, allowed: Sequence[int] | None = None
    ) -> Candidates:
        wanted: list[Json] | None = None if allowed is None else list(allowed)
        reply = await self._ask({"op": "forward", "ids": list(token_ids), "k": top_k, "allowed": wanted})
        self._length = reply["length"]
        return Candidates(reply["ids"], reply["logits"], reply["logSumExp"], reply["scalars"])

    async def reset(self) -> None:
        await self._ask({"op": "reset"})
        self._length = 0

    async def rewind(self, length: int) -> bool:
        reply = await self._ask({"op": "rewind", "length": length})
        self._length = reply["length"]
        return bool(reply["done"])

    async def snapshot(self, key: str, *, is_temporary: bool = False) -> None:
        await self._ask({"op": "snapshot", "key": key})

    async def restore(self, key: str) -> bool:
        reply = await self._ask({"op": "restore", "key": key})
        self._length = reply["length"]
        return bool(reply["found"])

    async def close(self) -> None:
        """End the process; harmless when called twice."""
        process = self._process
        if process.stdin is not None:
            process.stdin.close()
        try:
            async with asyncio.timeout(10):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()

    async def _ask(self, request: JsonObject) -> dict[str, Any]:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        async with self._turn, asyncio.timeout(_REPLY_LIMIT_SECONDS):
            stdin.write(json.dumps(request).encode() + b"\n")
            await stdin.drain()
            line = await stdout.readline()
        reply: dict[str, Any] = json.loads(line) if line else {"error": "Node has ended"}
        if "error" in reply:
            raise ModelUnavailableError(f"onnxruntime-web in Node: {reply['error']}", provider="local", model="needle")
        return reply
