"""Local models at the edge: the Worker of the folder `onnx/`, behind the service binding `ONNX`.

A session here is a list of tokens and no more. Each call names the whole sequence, and the other side computes what it
does not hold any more. So an eviction there loses nothing but time, and many isolates may ask one Worker.
"""

from __future__ import annotations

import asyncio
import json
from array import array
from collections.abc import Callable, Sequence
from typing import Literal, Protocol, cast

from ..errors import ModelTooBigError, ModelUnavailableError
from ..host import Candidates, InferenceSession, LoadProgress
from ..wire import Availability, JsonObject
from .ffi import Foreign, ForeignError, from_ints, to_bytes, to_floats, to_ints, wait

LIMIT_SECONDS = 60.0
"""How long one call may take: loading the model is a part of the first."""
_MOST_KEPT = 32


class JsOnnx(Protocol):
    """`env.ONNX`, the default class of `web/edge/onnx/worker.ts`."""

    def describe(self, model_id: str, /) -> Foreign: ...

    def read(self, model_id: str, name: str, /) -> Foreign: ...

    def forward(self, model_id: str, ids: object, k: int, allowed: object, /) -> Foreign: ...

    def keep(self, model_id: str, ids: object, /) -> Foreign: ...

    def embed(self, model_id: str, ids: object, lengths: object, /) -> Foreign: ...


class OnnxBackend:
    """Asks the binding; where there is none, it says so when a model is wanted.

    `keeps_sessions` in a Durable Object only: a session's lock may not be shared by requests.
    """

    def __init__(self, onnx: JsOnnx | None, *, keeps_sessions: bool, limit_seconds: float = LIMIT_SECONDS) -> None:
        self._onnx = onnx
        self._keeps_sessions = keeps_sessions
        self._limit_seconds = limit_seconds
        self._sessions: dict[str, _Session] = {}
        # Plain data, which requests may share.
        self._manifests: dict[str, JsonObject] = {}
        self._files: dict[tuple[str, str], bytes] = {}
        self._prefixes: dict[tuple[str, str], array[int]] = {}

    async def availability(self, model_id: str) -> Availability:
        """Say whether the Worker has the model."""
        try:
            await self.describe(model_id)
        except ModelUnavailableError:
            return "unavailable"
        return "available"

    async def load(self, model_id: str, progress: LoadProgress) -> InferenceSession:
        """Give a session; the Worker loads the model when it is first asked for something of it."""
        session = self._sessions.get(model_id)
        if session is None:
            session = _Session(self, model_id, await self.describe(model_id))
            if self._keeps_sessions:
                session = self._sessions.setdefault(model_id, session)
        return session

    async def describe(self, model_id: str) -> JsonObject:
        """Give the model's `model.json`. Raises `ModelUnavailableError`."""
        if model_id not in self._manifests:
            text = str(await self._ask(model_id, lambda onnx: onnx.describe(model_id)))
            self._manifests[model_id] = json.loads(text)
        return self._manifests[model_id]

    async def read(self, model_id: str, name: str) -> bytes:
        """Read a file of a model."""
        if (model_id, name) not in self._files:
            self._files[model_id, name] = to_bytes(await self._ask(model_id, lambda onnx: onnx.read(model_id, name)))
        return self._files[model_id, name]

    async def forward(
        self, model_id: str, tokens: Sequence[int], top_k: int, allowed: Sequence[int] | None
    ) -> Candidates:
        """Rank what may follow a whole sequence."""
        ids, chosen = from_ints(tokens), None if allowed is None else from_ints(allowed)
        reply = await self._ask(model_id, lambda onnx: onnx.forward(model_id, ids, top_k, chosen))
        return Candidates(
            ids=to_ints(reply.ids),
            logits=to_floats(reply.logits),
            log_sum_exp=float(reply.logSumExp),
            scalars={str(name): float(value) for name, value in reply.scalars.to_py().items()},
        )

    async def keep(self, model_id: str, tokens: array[int]) -> None:
        """Ask the Worker to keep what it computed of a sequence."""
        await self._ask(model_id, lambda onnx: onnx.keep(model_id, from_ints(tokens)))

    async def embed(self, model_id: str, batch: Sequence[Sequence[int]]) -> list[list[float]]:
        """Give a vector for each sequence."""
        ids = from_ints([token_id for sequence in batch for token_id in sequence])
        lengths = from_ints([len(sequence) for sequence in batch])
        flat = to_floats(await self._ask(model_id, lambda onnx: onnx.embed(model_id, ids, lengths)))
        width = len(flat) // len(batch)
        return [flat[start : start + width] for start in range(0, len(flat), width)]

    def remember(self, model_id: str, key: str, tokens: array[int]) -> None:
        """Note the tokens of a key, for sessions that did not see them."""
        self._prefixes[model_id, key] = tokens
        while len(self._prefixes) > _MOST_KEPT:
            del self._prefixes[next(iter(self._prefixes))]

    def recall(self, model_id: str, key: str) -> array[int] | None:
        """Give the tokens of a key."""
        return self._prefixes.get((model_id, key))

    def forget(self, model_id: str, session: InferenceSession) -> None:
        """Give out another session from now on."""
        if self._sessions.get(model_id) is session:
            del self._sessions[model_id]

    async def _ask(self, model_id: str, call: Callable[[JsOnnx], Foreign]) -> Foreign:
        """Call the binding and wait for its answer. Raises `ModelUnavailableError`."""
        if self._onnx is None:
            raise _failure(
                model_id,
                "this Worker has no binding ONNX: deploy the folder onnx/ that build.py edge makes, and name it under "
                "services in wrangler.jsonc",
            )
        try:
            async with asyncio.timeout(self._limit_seconds):
                answer = await wait(call(self._onnx))
        except TimeoutError:
            raise _failure(model_id, f"its Worker gave no answer within {self._limit_seconds:g} s") from None
        except ForeignError as error:
            raise _failure(model_id, f"its Worker, behind the binding ONNX, failed ({error.name})") from error
        told = getattr(answer, "error", None)
        if told is not None:
            raise _translate(model_id, told)
        return answer.value if hasattr(answer, "value") else None


class _Session:
    """The tokens of one sequence, and those that were kept by key."""

    def __init__(self, backend: OnnxBackend, model_id: str, manifest: JsonObject) -> None:
        self.lock = asyncio.Lock()
        self.manifest = manifest
        self._backend = backend
        self._model_id = model_id
        self._tokens = array("i")
        self._kept: dict[str, array[int]] = {}

    @property
    def length(self) -> int:
        return len(self._tokens)

    async def read(self, name: str) -> bytes:
        return await self._backend.read(self._model_id, name)

    async def forward(
        self, token_ids: Sequence[int], *, top_k: int, allowed: Sequence[int] | None = None
    ) -> Candidates:
        wanted = self._tokens + array("i", token_ids)
        candidates = await self._backend.forward(self._model_id, wanted, top_k, allowed)
        self._tokens = wanted
        return candidates

    async def embed(self, batch: Sequence[Sequence[int]]) -> list[list[float]]:
        return await self._backend.embed(self._model_id, batch) if batch else []

    async def rewind(self, length: int) -> bool:
        if length > len(self._tokens):
            return False
        self._tokens = self._tokens[:length]
        return True

    async def reset(self) -> None:
        self._tokens = array("i")

    async def snapshot(self, key: str, *, is_temporary: bool = False) -> None:
        self._kept[key] = self._tokens
        self._backend.remember(self._model_id, key, self._tokens)
        await self._backend.keep(self._model_id, self._tokens)

    async def restore(self, key: str) -> bool:
        # Of others only what they computed, too: a key that is restored without having been kept names its tokens.
        tokens = self._kept.get(key) or self._backend.recall(self._model_id, key)
        if tokens is None:
            return False
        self._tokens = tokens
        return True

    async def close(self) -> None:
        self._backend.forget(self._model_id, self)


_ADVICE = {
    "http": "its Worker does not have it; make the project again with build.py edge, and deploy its folder onnx/",
    "not_downloaded": "a file of it is missing in the upload, or is not what its model.json promises",
    "bad_hash": "a file of it is not what its model.json promises",
    "out_of_memory": "its Worker has not enough memory for it",
}
_TOO_BIG: Literal["memory"] = "memory"


def _translate(model_id: str, error: Foreign) -> ModelUnavailableError:
    kind, message = str(error.kind), str(error.message)
    if kind == "too_big":
        numbers = cast("dict[str, float]", error.details.to_py())
        return ModelTooBigError(
            f"local:{model_id}: {message}",
            resource=_TOO_BIG,
            needed_bytes=int(numbers["needed"]),
            available_bytes=int(numbers["available"]),
            provider="local",
            model=model_id,
        )
    return _failure(model_id, _ADVICE.get(kind) or f"it failed in its Worker ({kind}: {message})")


def _failure(model_id: str, text: str) -> ModelUnavailableError:
    return ModelUnavailableError(f"local:{model_id}: {text}", provider="local", model=model_id)
