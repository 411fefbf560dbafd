"""A loaded chat model and what its state holds: only what is new of a prompt is computed.

The session holds one sequence of tokens. A prompt that begins as that sequence does goes on from where the two part; a
sequence that is left for quite another one is kept aside, so that two conversations may take turns. Whoever uses an
`Engine` holds its `lock` from `prefill` to the last `feed`. Cancelling is possible at every await; what the state then
holds beyond the last whole step is forgotten.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..host import Candidates, InferenceSession
from .tokenizer import AnyTokenizer

_LEAST_KEPT = 192
"""A sequence that would lose so many tokens is kept aside: computing them again takes longer than copying."""
_MOST_KEPT = 2
_MOST_REPLIES = 64
_FNV_OFFSET, _FNV_PRIME = 0xCBF29CE484222325, 0x100000001B3

Report = Callable[[int, int], None]
"""Called with the tokens computed so far, and those that are to be computed."""


class Engine:
    """Lives as long as its session. `tokenizer` must be the model's own."""

    def __init__(self, session: InferenceSession, tokenizer: AnyTokenizer) -> None:
        self.session = session
        self.tokenizer = tokenizer
        self._held: list[int] = []
        self._is_torn = False
        self._can_rewind = True
        self._kept: dict[str, list[int]] = {}
        self._slots = [f"aside-{number}" for number in range(_MOST_KEPT)]
        self._replies: dict[str, tuple[int, ...]] = {}

    def remember(self, text: str, token_ids: Sequence[int]) -> None:
        """Note in which tokens the model wrote an answer: told again in these, it need not be computed again."""
        self._replies.pop(text, None)
        self._replies[text] = tuple(token_ids)
        while len(self._replies) > _MOST_REPLIES:
            del self._replies[next(iter(self._replies))]

    def spelling(self, text: str) -> tuple[int, ...] | None:
        """Give the tokens in which the model wrote an answer, where it did."""
        return self._replies.get(text)

    async def prefill(
        self, ids: Sequence[int], *, top_k: int, step: int = 64, report: Report | None = None
    ) -> tuple[Candidates, int]:
        """Bring the state to the end of `ids`; give what may follow, and how many tokens needed no computing."""
        start = await self._go_back(ids)
        count = len(ids) - start
        place = start
        while True:
            if report is not None:
                report(place - start, count)
            piece = ids[place : place + step]
            place += len(piece)
            candidates = await self.feed(piece, top_k=top_k if place == len(ids) else 1)
            if place == len(ids):
                return candidates, start

    async def prefill_prefix(self, ids: Sequence[int], *, step: int = 64, report: Report | None = None) -> bool:
        """Bring the state to the end of `ids`, or farther, and say whether it needed no computing.

        It is kept for good, and where the host can also for later sessions.
        """
        if not self._is_torn and common_length(self._held, ids) == len(ids):
            return True
        key = _key_of(ids)
        await self._set_aside(common_length(self._held, ids))
        if await self._restore(key, ids):
            return True
        await self.prefill(ids, top_k=1, step=step, report=report)
        await self.session.snapshot(key)
        return False

    async def feed(self, ids: Sequence[int], *, top_k: int) -> Candidates:
        """Append tokens to the state and give what may follow."""
        self._is_torn = True
        candidates = await self.session.forward(ids, top_k=top_k)
        self._held += ids
        self._is_torn = False
        return candidates

    async def rank(self, *, top_k: int, allowed: Sequence[int] | None) -> Candidates:
        """Give once more what may follow, more of it or among some tokens only."""
        return await self.session.forward((), top_k=top_k, allowed=allowed)

    async def _go_back(self, ids: Sequence[int]) -> int:
        """Shorten the state to the beginning that it has in common with `ids`; say how long that is.

        At least one token is left to be computed, for without that there is nothing to choose from.
        """
        if self.session.length != len(self._held) and not self._is_torn:
            self._held, self._is_torn = [], True  # somebody else used the session
        most = len(ids) - 1
        best = self._usable(self._held, ids, most)
        await self._set_aside(best)
        for key, kept in list(self._kept.items()):
            usable = self._usable(kept, ids, most)
            if usable >= best + _LEAST_KEPT // 2:
                if await self._restore(key, kept):
                    best = usable
                else:
                    del self._kept[key]
        if best == len(self._held) and not self._is_torn:
            return best
        was_torn, self._is_torn = self._is_torn, True
        if best > 0 and self._can_rewind:
            if await self.session.rewind(best):
                del self._held[best:]
                self._is_torn = False
                return best
            self._can_rewind = was_torn
        await self.session.reset()
        self._held, self._is_torn = [], False
        return 0

    async def _restore(self, key: str, tokens: Sequence[int]) -> bool:
        was_torn, self._is_torn = self._is_torn, True
        if not await self.session.restore(key):
            self._is_torn = was_torn
            return False
        self._held, self._is_torn = list(tokens), False
        return True

    def _usable(self, held: Sequence[int], ids: Sequence[int], most: int) -> int:
        common = min(common_length(held, ids), most)
        return common if self._can_rewind or common == len(held) else 0

    async def _set_aside(self, common: int) -> None:
        """Keep the sequence when the next one has little in common with it."""
        if self._is_torn or len(self._held) - common < max(_LEAST_KEPT, common):
            return
        key = self._slots.pop(0)
        self._slots.append(key)
        self._kept.pop(key, None)
        await self.session.snapshot(key, is_temporary=True)
        self._kept[key] = list(self._held)


def common_length(left: Sequence[int], right: Sequence[int]) -> int:
    """Give how many tokens two sequences have in common at their beginning."""
    for place, (one, other) in enumerate(zip(left, right, strict=False)):
        if one != other:
            return place
    return min(len(left), len(right))


def _key_of(token_ids: Sequence[int]) -> str:
    """Name a prefix by its tokens (64-bit FNV-1a): `hashlib` costs Pyodide an import, and nobody attacks this name."""
    value = _FNV_OFFSET
    for token_id in token_ids:
        value = ((value ^ token_id) * _FNV_PRIME) & 0xFFFFFFFFFFFFFFFF
    return f"prefix-{len(token_ids)}-{value:016x}"
