"""Write `fixtures/tokens.json`: what Needle answers on `onnxruntime`, token by token.

    python -m tests.inference.make_tokens

Another host must give the same. It may feed `prefixes[toolset]`, then each list of `feeds`, which begin with the turn,
and compare the best token after each with `best`; or ask the whole `LocalModel` and compare `token_ids`.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from limpet.host import Candidates, InferenceSession, LoadProgress
from limpet.hosts.cpython import create_host
from limpet.hosts.onnx_session import OnnxBackend
from limpet.messages import Message
from limpet.model import ModelRequest
from limpet.providers.local import LocalModel
from limpet.stores.memory import MemoryStorage
from limpet.wire import Availability, JsonObject
from tests.bench.accuracy.cases import CASES
from tests.bench.accuracy.toolsets import TOOLSETS

FIXTURE = Path(__file__).parent / "fixtures" / "tokens.json"
PROMPTS_OF_A_TOOLSET = 3
THINK = 6
"""The id of Needle's `<think>`, with which a turn ends."""


class NotingSession:
    """Hands everything on and notes what was fed and what was best."""

    def __init__(self, session: InferenceSession) -> None:
        self._session = session
        self.feeds: list[list[int]] = []
        self.best: list[int] = []

    @property
    def manifest(self) -> JsonObject:
        return self._session.manifest

    @property
    def lock(self) -> asyncio.Lock:
        return self._session.lock

    @property
    def length(self) -> int:
        return self._session.length

    async def read(self, name: str) -> bytes:
        return await self._session.read(name)

    async def forward(
        self, token_ids: Sequence[int], *, top_k: int, allowed: Sequence[int] | None = None
    ) -> Candidates:
        candidates = await self._session.forward(token_ids, top_k=top_k, allowed=allowed)
        if token_ids:
            self.feeds.append(list(token_ids))
            self.best.append(candidates.ids[0])
        return candidates

    async def reset(self) -> None:
        await self._session.reset()

    async def snapshot(self, key: str, *, is_temporary: bool = False) -> None:
        await self._session.snapshot(key, is_temporary=is_temporary)

    async def restore(self, key: str) -> bool:
        return await self._session.restore(key)

    async def close(self) -> None:
        await self._session.close()


class NotingBackend:
    """Gives a noting session for every model."""

    def __init__(self, backend: OnnxBackend) -> None:
        self._backend = backend
        self.session: NotingSession | None = None

    async def availability(self, model_id: str) -> Availability:
        return await self._backend.availability(model_id)

    async def load(self, model_id: str, progress: LoadProgress) -> NotingSession:
        if self.session is None:
            self.session = NotingSession(await self._backend.load(model_id, progress))
        return self.session


async def measure(models_dir: Path) -> dict[str, Any]:
    """Ask the prompts and give the fixture."""
    backend = NotingBackend(OnnxBackend(models_dir))
    model = LocalModel("needle", create_host(storage=MemoryStorage(), inference=backend, secrets={}))
    session = await backend.load("needle", lambda *_: None)
    prefixes: dict[str, list[int]] = {}
    prompts: list[dict[str, Any]] = []
    for toolset, tools in TOOLSETS.items():
        cases = [case for case in CASES if case.toolset == toolset]
        for case in cases[:: max(len(cases) // PROMPTS_OF_A_TOOLSET, 1)][:PROMPTS_OF_A_TOOLSET]:
            session.feeds, session.best = [], []
            request = ModelRequest((Message.user(case.prompt),), tuple(tool.spec for tool in tools))
            answer = await model.answer(request, lambda _: None)
            turn = next(place for place, feed in enumerate(session.feeds) if feed[-1] == THINK)
            prefixes.setdefault(toolset, [token_id for feed in session.feeds[:turn] for token_id in feed])
            prompts.append(
                {
                    "toolset": toolset,
                    "prompt": case.prompt,
                    "feeds": session.feeds[turn:],
                    "best": session.best[turn:],
                    "token_ids": list(answer.token_ids),
                    "confidence": round(answer.head_confidence or 0.0, 5),
                }
            )
    return {"model": "needle", "prefixes": prefixes, "prompts": prompts}


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def main() -> int:
    """Write the fixture beside this file."""
    models_dir = Path(sys.argv[1] if len(sys.argv) > 1 else "build/models")
    fixture = asyncio.run(measure(models_dir))
    prefixes = ",\n".join(f"{_json(name)}:{_json(ids)}" for name, ids in fixture["prefixes"].items())
    prompts = ",\n".join(map(_json, fixture["prompts"]))
    FIXTURE.write_text(f'{{"model":"needle","prefixes":{{\n{prefixes}}},"prompts":[\n{prompts}]}}\n', "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
