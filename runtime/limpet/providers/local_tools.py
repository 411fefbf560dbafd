"""Which of many tools a small model is shown, by a model of embeddings where one can be had, else by words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from ..errors import ModelUnavailableError
from ..host import Host, InferenceBackend
from ..inference.tool_choice import describe_tool, pick_tools, rank_by_vectors, rank_by_words
from ..model import ToolSpec
from .local_embeddings import LocalEmbeddings
from .local_session import Notify

_MOST_KEPT = 2000
"""Descriptions whose vectors are kept: 384 numbers each, about 12 kB."""
# By the back end that made them: models are made anew for every run, it stays.
_VECTORS: WeakKeyDictionary[InferenceBackend, dict[tuple[str, str], list[float]]] = WeakKeyDictionary()


@dataclass(frozen=True, slots=True)
class ToolChooser:
    """Chooses at most `most` tools (more when more were used), comparing by the model `embeddings`; "" for none."""

    host: Host
    most: int
    embeddings: str

    async def choose(
        self, tools: Sequence[ToolSpec], question: str, used: Sequence[str], notify: Notify
    ) -> tuple[ToolSpec, ...]:
        """Give the tools to show, in their order: all when they are few."""
        if len(tools) <= self.most:
            return tuple(tools)
        scores = await self._by_vectors(tools, question, notify) or rank_by_words(question, tools)
        return pick_tools(tools, scores, used, self.most)

    async def _by_vectors(self, tools: Sequence[ToolSpec], question: str, notify: Notify) -> list[float] | None:
        """Rank by likeness; None when the model isn't there, or the host may not download it by itself."""
        backend = self.host.inference
        if backend is None or not self.embeddings or not question:
            return None
        try:
            kept = _VECTORS.setdefault(backend, {})
            texts = [describe_tool(tool) for tool in tools]
            missing = [text for text in dict.fromkeys(texts) if (self.embeddings, text) not in kept]
            if len(kept) + len(missing) > _MOST_KEPT:
                kept.clear()
                missing = list(dict.fromkeys(texts))
            model = LocalEmbeddings(self.embeddings, self.host)
            made = await model.embed([*missing, question], notify=notify)
        except ModelUnavailableError:
            return None
        kept.update(((self.embeddings, text), vector) for text, vector in zip(missing, made, strict=False))
        return rank_by_vectors(made[-1], [kept[self.embeddings, text] for text in texts])
