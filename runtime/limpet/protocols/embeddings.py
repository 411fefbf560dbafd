"""The formats of embeddings: texts out, vectors in, one request for a batch of them.

They differ in the names of fields only, so a format is data. Sources: the API references of OpenAI ("Embeddings"),
Voyage AI, Jina AI, Cohere ("v2/embed"), Gemini ("batchEmbedContents"), Ollama ("/api/embed") and Cloudflare.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ..model import Purpose
from ..wire import Json
from .json_answer import as_list, as_object
from .wire_protocol import AnswerContext, RenderedRequest, quote_path, quote_segment


@dataclass(frozen=True, slots=True)
class EmbeddingFormat:
    """How texts are sent, and where the vectors stand in the answer.

    `purposes` are the words for `Purpose` in the field `purpose_field`. `vectors_at` is the way to the list of vectors;
    an item of it is a vector, or has one in `vector_field`. In the path `{model}` stands for the model's name, `{path}`
    for one whose slashes are the path's. `is_gemini`: each text is a request of its own within the batch.
    """

    path: str = "/embeddings"
    texts_field: str = "input"
    most_texts: int = 128
    purpose_field: str = ""
    purposes: Mapping[Purpose, str] = field(default_factory=dict)
    extra: Mapping[str, Json] = field(default_factory=dict)
    vectors_at: tuple[str, ...] = ("data",)
    vector_field: str = "embedding"
    is_gemini: bool = False

    def render(self, texts: Sequence[str], *, model: str, purpose: Purpose) -> RenderedRequest:
        """Make the request for the vectors of a batch."""
        path = self.path.replace("{model}", quote_segment(model)).replace("{path}", quote_path(model))
        said: dict[str, Json] = {self.purpose_field: self.purposes[purpose]} if self.purpose_field else {}
        if self.is_gemini:
            items: list[Json] = [
                {"model": f"models/{model}", "content": {"parts": [{"text": text}]}, **said} for text in texts
            ]
            return RenderedRequest(path, {self.texts_field: items})
        named: dict[str, Json] = {} if "{" in self.path else {"model": model}
        return RenderedRequest(path, {**named, self.texts_field: list(texts), **said, **self.extra})

    def read(self, answer: object, context: AnswerContext, count: int) -> list[list[float]]:
        """Read `count` vectors, in the order of their texts. Raises `WireFormatError`."""
        found: object = answer
        for name in self.vectors_at:
            found = as_object(found).get(name)
        items = as_list(found)
        if len(items) != count:
            raise context.broken(f"sent {len(items)} vectors for {count} texts")
        indices = [as_object(item).get("index") for item in items]
        if sorted(index for index in indices if isinstance(index, int)) == list(range(count)):
            items = [item for _, item in sorted(zip(indices, items, strict=True), key=lambda pair: pair[0])]  # type: ignore[arg-type, return-value]  # numbers
        return [_vector(as_object(item).get(self.vector_field, item), context) for item in items]


def _vector(value: object, context: AnswerContext) -> list[float]:
    numbers = as_list(value)
    if not numbers or any(isinstance(number, bool) or not isinstance(number, (int, float)) for number in numbers):
        raise context.broken("sent a vector that is not a list of numbers")
    return [float(number) for number in numbers]  # type: ignore[arg-type]  # just looked at


OPENAI = EmbeddingFormat(most_texts=256)
VOYAGE = EmbeddingFormat(purpose_field="input_type", purposes={"document": "document", "query": "query"})
JINA = EmbeddingFormat(purpose_field="task", purposes={"document": "retrieval.passage", "query": "retrieval.query"})
COHERE = EmbeddingFormat(
    path="/embed",
    texts_field="texts",
    most_texts=96,
    purpose_field="input_type",
    purposes={"document": "search_document", "query": "search_query"},
    extra={"embedding_types": ["float"]},
    vectors_at=("embeddings", "float"),
)
GEMINI = EmbeddingFormat(
    path="/models/{model}:batchEmbedContents",
    texts_field="requests",
    most_texts=100,
    purpose_field="taskType",
    purposes={"document": "RETRIEVAL_DOCUMENT", "query": "RETRIEVAL_QUERY"},
    vectors_at=("embeddings",),
    vector_field="values",
    is_gemini=True,
)
OLLAMA = EmbeddingFormat(path="/api/embed", vectors_at=("embeddings",))
WORKERS_AI = EmbeddingFormat(path="/run/{path}", texts_field="text", most_texts=100, vectors_at=("result", "data"))
